"""Go's types as templates know them, and which Python value is of which.

None is nil, bool, int, float and str are Go's bool, int, float64 and string (a str may hold single bytes as surrogate
escapes, since Go's strings are bytes). A plain dict is `map[string]interface {}`, a plain list `[]interface {}`.
Other types are classes with a `__go_type__`; `__go__` names their fields and methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal

Kind = Literal[
    "invalid", "bool", "int", "uint", "float", "complex", "string", "map", "slice", "struct", "ptr", "interface", "func"
]
NILABLE: Final = frozenset({"map", "slice", "ptr", "interface", "func"})


@dataclass(frozen=True, slots=True)
class GoType:
    """A type: its name as Go prints it, its kind, and what a map or slice holds.

    `underlying` is the name of the type a named map or slice is made of: a value of one fits where the other is wanted.
    """

    name: str
    kind: Kind
    element: GoType | None = None
    underlying: str = ""

    def __str__(self) -> str:
        return self.name


BOOL = GoType("bool", "bool")
INT = GoType("int", "int")
UINT8 = GoType("uint8", "uint")
FLOAT64 = GoType("float64", "float")
COMPLEX128 = GoType("complex128", "complex")
STRING = GoType("string", "string")
ANY = GoType("interface {}", "interface")
ANY_MAP = GoType("map[string]interface {}", "map", ANY)
ANY_SLICE = GoType("[]interface {}", "slice", ANY)
STRING_MAP = GoType("map[string]string", "map", STRING)
STRING_SLICE = GoType("[]string", "slice", STRING)
FUNCTION = GoType("func(...interface {}) interface {}", "func")
TIME = GoType("time.Time", "struct")
DURATION = GoType("time.Duration", "int")


class Invalid:
    """What a lookup gives that finds nothing: it prints as `<no value>`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<no value>"

    def __bool__(self) -> bool:
        return False


INVALID: Final = Invalid()


class StringMap(dict[str, str]):
    """Go's `map[string]string`: a missing key is "" with missingkey=zero."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = STRING_MAP


class StringSlice(list[str]):
    """Go's `[]string`."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = STRING_SLICE


class Byte(int):
    """Go's `uint8`: what indexing a string gives."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = UINT8


_SIMPLE: dict[type, GoType] = {
    str: STRING,
    bool: BOOL,
    int: INT,
    float: FLOAT64,
    complex: COMPLEX128,
    dict: ANY_MAP,
    list: ANY_SLICE,
    tuple: ANY_SLICE,
    datetime: TIME,
    timedelta: DURATION,
}


def type_of(value: object) -> GoType:
    """The type of a value that is not nil."""
    found = _SIMPLE.get(type(value))
    if found is not None:
        return found
    declared = getattr(value, "__go_type__", None)
    if isinstance(declared, GoType):
        return declared
    if callable(value):
        return FUNCTION
    for python, go in ((dict, ANY_MAP), (list, ANY_SLICE), (str, STRING), (int, INT), (float, FLOAT64)):
        if isinstance(value, python):
            return go
    return ANY_MAP if isinstance(value, Mapping) else GoType(type(value).__name__, "struct")


def is_nil(value: object) -> bool:
    """Whether a value is nil or nothing."""
    return value is None or value is INVALID


def true(value: object) -> bool:
    """Go's truth: not nil and not the zero of its type; a structure is always true."""
    if value is None or value is INVALID:
        return False
    if isinstance(value, bool | int | float | complex | str | list | tuple | dict):
        return bool(value)
    if isinstance(value, timedelta):
        return value != timedelta()
    return len(value) > 0 if isinstance(value, Mapping) else True


def zero_of(wanted: GoType) -> object:
    """The zero value of a map's elements: what a missing key is with missingkey=zero."""
    zeros: dict[str, object] = {"string": "", "bool": False, "int": 0, "uint": 0, "float": 0.0}
    return zeros.get(wanted.kind)


def fits(value_type: GoType, wanted: GoType) -> bool:
    """Whether a value of one type may be given where the other is wanted."""
    if wanted.kind == "interface" or value_type == wanted:
        return True
    one, other = value_type.underlying, wanted.underlying
    return (bool(one) and one == wanted.name) or (bool(other) and other == value_type.name)


def as_bytes(text: str) -> bytes:
    """A string as Go holds it."""
    return text.encode("utf-8", "surrogateescape")


def as_text(data: bytes) -> str:
    """Bytes as a string; what is not UTF-8 is kept as surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")


def well_formed(text: str) -> str:
    """A text for the world outside: bytes that are no UTF-8 become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


Data = Mapping[str, Any]
