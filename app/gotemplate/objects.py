"""Fields and methods of the values of templates.

A class says with `__go__`, a mapping from Go's names to the names of its Python attributes, what templates see of it.
Attributes that are methods are Go's methods; the others are fields, in this order. An attribute named "String" in Go
is how a value prints. `__go_type__` is its `GoType`; without one it is a structure with the class's name.

    @dataclass
    class Alert:
        __go__ = {"Status": "status", "Labels": "labels", "StartsAt": "starts_at"}
        __go_type__ = GoType("template.Alert", "struct")
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from app.gotemplate.times import DURATION_METHODS, TIME_METHODS, Duration, Time

_METHODS = (types.MethodType, types.BuiltinMethodType)


def names_of(value: object) -> Mapping[str, str] | None:
    """What a value's class says its fields and methods are."""
    return getattr(value, "__go__", None)


def method_of(value: object, name: str) -> Callable[..., object] | None:
    """A method of a value."""
    if isinstance(value, datetime):
        value = Time.of(value)
    elif isinstance(value, timedelta):
        value = Duration.of(value)
    if isinstance(value, Time):
        attribute = TIME_METHODS.get(name)
        return None if attribute is None else getattr(value, attribute)
    if isinstance(value, Duration):
        attribute = DURATION_METHODS.get(name)
        return None if attribute is None else getattr(value, attribute)
    names = getattr(value, "__go__", None)
    if names is None or name not in names:
        return None
    found = getattr(value, names[name])
    return found if isinstance(found, _METHODS) else None


def fields_of(value: object) -> Iterator[tuple[str, object]]:
    """A structure's fields and what they hold."""
    for name, attribute in (names_of(value) or {}).items():
        found = getattr(value, attribute)
        if not isinstance(found, _METHODS):
            yield name, found


def text_method(value: object) -> Callable[[], str] | None:
    """How a value prints itself, if it does."""
    if type(value) in (str, int, float, bool, dict, list):
        return None
    return method_of(value, "String")  # type: ignore[return-value]  # String gives a text
