"""Rows of the tables of templates: what Go made of each, and the values they were given.

A table is JSON: `data` is what a template is executed with, `rows` have the template `t` and `out` or `err`, which
Go 1.26 gave for it; `d` is other data, `files` are texts parsed before. A member named `$…` is a value that JSON has no
type for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

from app.gotemplate import CallError, Duration, GoType, StringMap, StringSlice, TemplateError, Time
from app.gotemplate.html.types import HTML, URL
from app.gotemplate.timeparse import parse_time

_HERE = Path(__file__).parent / "templates"
_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6}


@dataclass(eq=True)
class Inner:
    """A structure in a structure."""

    __go__: ClassVar[Mapping[str, str]] = {"Depth": "depth"}
    __go_type__: ClassVar[GoType] = GoType("main.Inner", "struct")

    depth: int = 7


@dataclass
class Thing:
    """A structure with methods."""

    __go__: ClassVar[Mapping[str, str]] = {
        "Name": "name",
        "Count": "count",
        "Ratio": "ratio",
        "Tags": "tags",
        "Inner": "inner",
        "Any": "any",
        "secret": "secret",
        "Greet": "greet",
        "Sum": "sum",
        "Self": "self_again",
        "Fails": "fails",
        "Two": "two",
    }
    __go_type__: ClassVar[GoType] = GoType("main.Thing", "struct")

    name: str = ""
    count: int = 0
    ratio: float = 0.0
    tags: StringSlice = field(default_factory=StringSlice)
    inner: Inner = field(default_factory=Inner)
    any: object = None
    secret: str = ""

    def greet(self, who: str) -> str:
        return f"{self.name} greets {who}"

    def sum(self, *values: int) -> int:
        return sum(values)

    def self_again(self) -> object:
        return self

    def fails(self) -> str:
        raise CallError("it fails")

    def two(self) -> int:
        return 2


def _upper(text: str) -> str:
    return text.upper()


def _add(one: int, other: int) -> int:
    return one + other


def _half(value: float) -> float:
    return value / 2


def _fail() -> str:
    raise CallError("no luck")


def _joined(separator: str, texts: list[str]) -> str:
    return separator.join(texts or ())


def _many(*values: object) -> int:
    return len(values)


def _first_of(text: str, *others: str) -> str:
    return others[0] if others else text


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _nothing() -> None:
    return None


def _list(*values: object) -> list[object]:
    return list(values)


def _dict(key: str, value: object) -> dict[str, object]:
    return {key: value}


def _echo(value: object) -> object:
    return value


def _texts(*texts: str) -> StringSlice:
    return StringSlice(texts)


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "upper": _upper,
    "add": _add,
    "half": _half,
    "fail": _fail,
    "joined": _joined,
    "many": _many,
    "firstof": _first_of,
    "yes": _yes,
    "nothing": _nothing,
    "list": _list,
    "dict": _dict,
    "echo": _echo,
    "strs": _texts,
}


def _duration(text: str) -> Duration:
    total, number = 0.0, ""
    for at, sign in enumerate(text):
        if sign.isdigit() or sign == ".":
            number += sign
        elif number:
            unit = "ms" if text[at : at + 2] == "ms" else sign
            total += float(number) * _UNITS[unit]
            number = ""
    return Duration(round(total))


def _thing(given: Mapping[str, Any]) -> Thing:
    return Thing(
        given.get("Name", ""),
        given.get("Count", 0),
        given.get("Ratio", 0.0),
        StringSlice(given.get("Tags", ())),
        Inner(),
        decoded(given.get("Any")),
    )


def _time(text: str) -> Time:
    time = parse_time("2006-01-02T15:04:05Z07:00", text)
    offset = datetime.fromtimestamp(0, time.zone).utcoffset()
    return time if not offset else time.in_zone(timezone(offset))


_SPECIAL: Mapping[str, Callable[[Any], object]] = {
    "$nil": lambda _: None,
    "$strings": StringSlice,
    "$map": StringMap,
    "$time": _time,
    "$duration": _duration,
    "$html": HTML,
    "$url": URL,
    "$thing": _thing,
    "$func": lambda name: FUNCTIONS[name],
}


def decoded(value: object) -> object:
    """A value of a table."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and (name := next(iter(value))) in _SPECIAL:
            return _SPECIAL[name](value[name])
        return {key: decoded(item) for key, item in value.items()}
    return value


def table(name: str) -> tuple[object, list[dict[str, Any]]]:
    """A table's data and rows."""
    read = json.loads((_HERE / name).read_text(encoding="utf-8"))
    return read["data"], read["rows"]


def outcome(make: Callable[[], str]) -> dict[str, str]:
    """What a template gives, as a row has it."""
    try:
        return {"out": make()}
    except TemplateError as problem:
        return {"err": str(problem)}


def expected(row: Mapping[str, Any]) -> dict[str, str]:
    """What Go gave."""
    return {"out": row["out"]} if "out" in row else {"err": row["err"]}
