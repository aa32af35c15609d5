"""Parameters of Prometheus's HTTP API, read as Prometheus reads them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qs

from fastapi import Request

from app.durations import parse_duration_ms
from app.errors import BadQuery

_MAX_BODY = 4 * 2**20
_MAX_FIELDS = 10_000
# what Prometheus itself writes for the least and the greatest time
_EXTREMES = {"-292273086-05-16T16:47:06Z": None, "292277025-08-18T07:12:54.999999999Z": None}
_MAX_SECONDS = 9.2e14
_ESCAPED = re.compile(r"__|_([0-9a-fA-F]{1,6})_|(_)")


class Parameters:
    """Query string and form together; a name may be given more than once."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        """The first value, or ""."""
        values = self._values.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """Every value."""
        return list(self._values.get(name, ()))

    def time_ms(self, name: str, default: int | None = None) -> int:
        """A time, in milliseconds."""
        text = self.get(name)
        if not text and default is not None:
            return default
        found = parse_time_ms(text)
        if found is None:
            raise _invalid(name, f'cannot parse "{text}" to a valid timestamp')
        return found

    def bound_ms(self, name: str) -> int | None:
        """A time that may be left out, or be Prometheus's own least or greatest."""
        text = self.get(name)
        return None if not text or text in _EXTREMES else self.time_ms(name)

    def duration_ms(self, name: str) -> int | None:
        """A duration, as float seconds or as Prometheus writes durations; None when it is not given."""
        text = self.get(name)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            try:
                return parse_duration_ms(text)
            except ValueError:
                raise _invalid(name, f'cannot parse "{text}" to a valid duration') from None
        if not abs(seconds) < _MAX_SECONDS:
            raise _invalid(name, f'cannot parse "{text}" to a valid duration. It overflows int64')
        return round(seconds * 1000)

    def limit(self, name: str = "limit") -> int:
        """A limit; 0 when there is none."""
        text = self.get(name)
        if not text:
            return 0
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise _invalid(name, "limit must be a non-negative number")
        return int(text)


async def read(request: Request) -> Parameters:
    """The parameters of a request. Raises BadQuery."""
    found: dict[str, list[str]] = {}
    if request.method == "POST":
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                raise BadQuery(f"the request body is larger than {_MAX_BODY} bytes")
        try:
            found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except UnicodeDecodeError:
            raise BadQuery("the form is not UTF-8") from None
        except ValueError:
            raise BadQuery(f"the form has more than {_MAX_FIELDS} fields") from None
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return Parameters(found)


def read_query(request: Request) -> Parameters:
    """The parameters of a request's address alone, where its body is something else."""
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return Parameters(found)


def now_ms() -> int:
    """The present, in milliseconds."""
    return time.time_ns() // 1_000_000


def unescape_label_name(name: str) -> str:
    """The label name that a `U__…` path segment stands for; any other name is itself."""
    if not name.startswith("U__"):
        return name
    wrong = False

    def character(match: re.Match[str]) -> str:
        nonlocal wrong
        if match[1] is None:
            wrong = wrong or match[2] is not None
            return "_"
        code = int(match[1], 16)
        wrong = wrong or code > 0x10FFFF or 0xD800 <= code < 0xE000
        return "" if wrong else chr(code)

    plain = _ESCAPED.sub(character, name[3:])
    return name if wrong else plain


def parse_time_ms(text: str) -> int | None:
    """A time as Prometheus takes it, Unix seconds or RFC 3339, in milliseconds; None for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return None if moment.tzinfo is None else round(moment.timestamp() * 1000)
    return round(seconds * 1000) if math.isfinite(seconds) and abs(seconds) < _MAX_SECONDS else None


def _invalid(name: str, message: str) -> BadQuery:
    return BadQuery(f'invalid parameter "{name}": {message}')
