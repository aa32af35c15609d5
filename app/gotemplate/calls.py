"""Functions of templates: what they take, by the annotations of their parameters, and how arguments are checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import get_args, get_origin

from app.gotemplate.times import Duration, Time
from app.gotemplate.values import (
    ANY,
    ANY_MAP,
    ANY_SLICE,
    BOOL,
    DURATION,
    FLOAT64,
    INT,
    STRING,
    STRING_MAP,
    STRING_SLICE,
    TIME,
    GoType,
)

VALUE = GoType("reflect.Value", "struct")
_ANNOTATED: dict[object, GoType] = {
    str: STRING, bool: BOOL, int: INT, float: FLOAT64, object: ANY, dict: ANY_MAP, list: ANY_SLICE,
    Time: TIME, Duration: DURATION,
    inspect.Parameter.empty: ANY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of a function's parameters; `more` is that of any number of arguments after them."""

    takes: tuple[GoType, ...]
    more: GoType | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """Something a template can call. `builtin` ones get nothing as INVALID and not as nil, and need no check."""

    call: Callable[..., object]
    signature: Signature
    builtin: bool = False


def function_of(call: Callable[..., object]) -> Function:
    """A Python function as one of templates: parameters annotated str, int, float, bool, object, list[str], a class
    with `__go_type__` … want just that type, as in Go; `*values: object` takes any number."""
    return Function(call, signature_of(call))


def signature_of(call: Callable[..., object]) -> Signature:
    """What a function wants. Annotations must be resolvable in its module."""
    code = getattr(call, "__code__", None)
    if not isinstance(code, CodeType):
        return _read(call)
    key = code, inspect.ismethod(call)
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = _read(call)
    return found


# by code: closures made anew for every execution are read once
_KNOWN: dict[tuple[CodeType, bool], Signature] = {}


def _read(call: Callable[..., object]) -> Signature:
    takes: list[GoType] = []
    more = None
    for parameter in inspect.signature(call, eval_str=True).parameters.values():
        wanted = go_type_of(parameter.annotation)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            more = wanted
        elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            takes.append(wanted)
    return Signature(tuple(takes), more)


@lru_cache(maxsize=256)
def go_type_of(annotation: object) -> GoType:
    """The type an annotation means."""
    declared = getattr(annotation, "__go_type__", None)
    if isinstance(declared, GoType):
        return declared
    origin = get_origin(annotation)
    if origin is not None:
        arguments = get_args(annotation)
        if issubclass(origin, Mapping):
            return STRING_MAP if arguments[-1] is str else ANY_MAP
        return STRING_SLICE if arguments[0] is str else ANY_SLICE
    return _ANNOTATED.get(annotation, ANY)
