"""Values of templates as JSON, as Go's json.Marshal writes it.

A class names the members of its objects with `__go_json__`, a mapping from Go's field names to those of JSON; fields
that are not in it are left out, and without the mapping all go under Go's names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.gotemplate.errors import CallError, TooLong
from app.gotemplate.floats import format_float
from app.gotemplate.meter import charge
from app.gotemplate.objects import fields_of
from app.gotemplate.printing import sorted_keys
from app.gotemplate.times import Time
from app.gotemplate.values import is_nil, type_of, well_formed

_ESCAPED = re.compile('["\\\\<>&\x00-\x1f\u2028\u2029]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# the labels and annotations of 10,000 alerts are some 5 MB
_MOST_CHARACTERS = 16 << 20
_CHARGED = 256
# what one part costs in steps
_PART = 2
_RFC3339 = "2006-01-02T15:04:05.999999999Z07:00"


def json_of(value: object) -> str:
    """The JSON of a value; <, > and & are escaped. Raises CallError, and TooLong."""
    writer = _Writer()
    writer.value(value)
    return writer.text()


class _Writer:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def text(self) -> str:
        charge(len(self._parts) % _CHARGED * _PART)
        return "".join(self._parts)

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > _MOST_CHARACTERS:
            raise TooLong
        if not len(self._parts) % _CHARGED:
            charge(_CHARGED * _PART)

    def value(self, value: object) -> None:
        if isinstance(value, Mapping):
            self._members([(str(key), value[key]) for key in sorted_keys(value)])
        elif isinstance(value, Sequence) and not isinstance(value, str):
            self._write("[")
            for at, item in enumerate(value):
                if at:
                    self._write(",")
                self.value(item)
            self._write("]")
        elif (simple := _simple(value)) is not None:
            self._write(simple)
        elif type_of(value).kind in ("struct", "ptr"):
            self._members(_named(value))
        else:
            raise CallError(f"json: unsupported type: {type_of(value)}")

    def _members(self, members: Sequence[tuple[str, object]]) -> None:
        self._write("{")
        for at, (name, item) in enumerate(members):
            self._write(f"{',' if at else ''}{json_string(name)}:")
            self.value(item)
        self._write("}")


def _simple(value: object) -> str | None:
    """A value without members, None for others."""
    if is_nil(value):
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json_string(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime) and value.tzinfo is UTC:
        # most of them, in a tenth of the time that a layout takes
        text = value.replace(tzinfo=None).isoformat()
        return f'"{text.rstrip("0").rstrip(".") if "." in text else text}Z"'
    if isinstance(value, datetime | Time):
        moment = value if isinstance(value, Time) else Time.of(value)
        return f'"{moment.format(_RFC3339)}"'
    return None


def _named(value: object) -> list[tuple[str, object]]:
    names: Mapping[str, str] | None = getattr(value, "__go_json__", None)
    fields = [(name, item) for name, item in fields_of(value) if name[0].isupper()]
    return fields if names is None else [(names[name], item) for name, item in fields if name in names]


def json_string(text: str) -> str:
    """A JSON string that may also stand in HTML."""
    return f'"{_ESCAPED.sub(_escape, well_formed(text))}"'


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04x}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise CallError(f"json: unsupported value: {format_float(value, 'g')}")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format_float(value, "f")
    return re.sub(r"e-0([0-9])\Z", r"e-\1", format_float(value, "e"))
