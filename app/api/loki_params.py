"""Parameters of Loki's API: where they stand and how their times are read."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request

from app.api.body import read_body
from app.durations import parse_duration_ms
from app.errors import BadQuery
from app.query.logql.lines import Direction
from app.query.logql.text import duration_ms

_NS = 10**9
_DEFAULT_STEPS = 250
_MAX_NS = 2**63 - 1


class Params:
    """The parameters of one request, of its URL and of its form. Each method raises BadQuery naming what is wrong."""

    def __init__(self, pairs: list[tuple[str, str]], now_ns: int) -> None:
        self._pairs = pairs
        self.now_ns = now_ns

    def get(self, name: str, default: str = "") -> str:
        """The first value that is not empty."""
        return next((value for key, value in self._pairs if key == name and value), default)

    def all(self, *names: str) -> list[str]:
        """Every value under any of the names."""
        return [value for key, value in self._pairs if key in names and value]

    def query(self) -> str:
        """The query, which must be there."""
        found = self.get("query")
        return found if found else _refuse("the parameter query is missing")

    def interval_ns(self, window_ns: int) -> tuple[int, int]:
        """start and end: by default `since`, or the window, before the end or now; the end is now."""
        end = self.time_ns("end", self.now_ns)
        since = self.get("since")
        if since:
            window_ns = _since_ns(since)
        start = self.time_ns("start", min(end, self.now_ns) - window_ns)
        if end < start:
            raise BadQuery("end timestamp must not be before or equal to start time")
        return start, end

    def time_ns(self, name: str, default: int) -> int:
        """A time: nanoseconds, seconds (ten digits at most, or with a point), or RFC 3339."""
        text = self.get(name)
        return read_time_ns(text, name) if text else default

    def limit(self, default: int) -> int:
        """How many lines are wanted."""
        text = self.get("limit")
        if not text:
            return default
        if not text.isascii() or not text.lstrip("-").isdigit() or len(text) > 18:
            raise BadQuery(f"limit is not a whole number: {text!r}")
        return int(text) if int(text) > 0 else _refuse("limit must be a positive value")

    def direction(self) -> Direction:
        """forward or backward, whatever the case."""
        word = self.get("direction", "backward").lower()
        if word == "forward":
            return "forward"
        return "backward" if word == "backward" else _refuse(f"invalid direction: {word!r} (forward or backward)")

    def step_ms(self, start_ns: int, end_ns: int) -> int:
        """The step: a duration or seconds; by default one of about 250 in the interval, a second at least."""
        text = self.get("step")
        if not text:
            return max(1, (end_ns - start_ns) // _NS // _DEFAULT_STEPS) * 1000
        try:
            step = round(float(text) * 1000)
        except (ValueError, OverflowError):
            return duration_ms(text, 0)
        if step <= 0:
            raise BadQuery("zero or negative query resolution step widths are not accepted. Try a positive integer")
        return step

    def refuse_interval(self) -> None:
        """Says that `interval` is not taken, rather than to leave it out unnoticed."""
        if self.get("interval", "0") not in ("0", "0s"):
            raise BadQuery("the parameter interval is not supported")


async def loki_params(request: Request, max_bytes: int) -> Params:
    """The parameters of a request. Raises BadQuery, or TooLarge for a form that is."""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        body = await read_body(request, max_bytes)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000) + pairs
        except ValueError as error:
            raise BadQuery(f"the form cannot be read: {error}") from None
    return Params(pairs, time.time_ns())


def read_time_ns(text: str, name: str) -> int:
    """Nanoseconds since the epoch of a time as Loki reads it. Raises BadQuery naming the parameter."""
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 20:
        value = int(text) if len(digits) > 10 else int(text) * _NS
        return max(0, min(value, _MAX_NS))
    try:
        if "." in text and "T" not in text and "t" not in text:
            whole, _, fraction = text.partition(".")
            if (whole + fraction).isascii() and (whole + fraction).isdigit() and len(whole) <= 10:
                return int(whole or 0) * _NS + int(fraction[:9].ljust(9, "0") or 0)
            return max(0, min(round(float(text) * 1e6) * 1000, _MAX_NS))
        return _rfc3339_ns(text)
    except (ValueError, OverflowError):
        raise BadQuery(f"could not parse {name!r} parameter: cannot parse {text!r} to a valid timestamp") from None


def _rfc3339_ns(text: str) -> int:
    if len(text) < len("2026-01-01T00:00:00Z"):
        raise ValueError(text)
    seconds, point, rest = text.upper().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment = datetime.fromisoformat(seconds + rest[len(digits) :])
    if moment.tzinfo is None or (point and not digits):
        raise ValueError(text)
    value = int(moment.astimezone(UTC).timestamp()) * _NS + int(digits[:9].ljust(9, "0"))
    return max(0, min(value, _MAX_NS))


def _since_ns(text: str) -> int:
    try:
        return parse_duration_ms(text) * 1_000_000
    except ValueError:
        raise BadQuery(f"could not parse 'since' parameter: {text!r} is no duration") from None


def _refuse(message: str) -> NoReturn:
    raise BadQuery(message)
