"""Go's own functions: comparisons, index, slice, len, print, printf, html, js, urlquery, call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NoReturn
from urllib.parse import quote_plus

from app.gotemplate.calls import VALUE, Function, Signature
from app.gotemplate.errors import CallError
from app.gotemplate.formats import sprintf
from app.gotemplate.objects import fields_of
from app.gotemplate.printing import sprint, sprintln, text_of
from app.gotemplate.quoting import printable
from app.gotemplate.values import (
    ANY,
    INVALID,
    STRING,
    Byte,
    GoType,
    as_bytes,
    as_text,
    fits,
    is_nil,
    true,
    type_of,
    zero_of,
)

_HTML = re.compile("[\0\"'&<>]")
_HTML_ESCAPES = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JS = re.compile(r"[\\'\"<>&=\x00-\x1f\x80-\U0010ffff]")
_JS_ESCAPES = {"\\": r"\\", "'": r"\'", '"': r"\""} | {sign: f"\\u{ord(sign):04X}" for sign in "<>&="}
_BASIC = frozenset(("bool", "int", "uint", "float", "complex", "string"))
_WHOLE = frozenset(("int", "uint"))


def html_escaped(text: str) -> str:
    """Text for HTML, as Go's HTMLEscapeString makes it."""
    return _HTML.sub(lambda match: _HTML_ESCAPES[match[0]], text)


def js_escaped(text: str) -> str:
    """Text for a JavaScript string, as Go's JSEscapeString makes it."""

    def escape(match: re.Match[str]) -> str:
        sign = match[0]
        if sign in _JS_ESCAPES:
            return _JS_ESCAPES[sign]
        if 0xDC80 <= ord(sign) <= 0xDCFF:
            return "\\uFFFD"
        return sign if ord(sign) >= 0x80 and printable(sign) else f"\\u{ord(sign):04X}"

    return _JS.sub(escape, text)


def query_escaped(text: str) -> str:
    """Text for a URL's query, as Go's url.QueryEscape makes it."""
    return quote_plus(as_bytes(text), safe="~-_.")


def as_one_text(values: Sequence[object]) -> str:
    """What html, js and urlquery escape: one string as it is, else the values as print has them."""
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return sprint(["<no value>" if is_nil(value) else value for value in values])


def length(item: object) -> int:
    """`len`"""
    if item is None:
        raise CallError("len of nil pointer")
    if item is INVALID:
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    go_type = type_of(item)
    if go_type.kind == "string" and isinstance(item, str):
        return len(item) if item.isascii() else len(as_bytes(item))
    if go_type.kind in ("map", "slice") and isinstance(item, Sequence | Mapping):
        return len(item)
    raise CallError(f"len of type {go_type}")


def _position(index: object, limit: int) -> int:
    if is_nil(index):
        raise CallError("cannot index slice/array with nil")
    go_type = type_of(index)
    if go_type.kind not in _WHOLE or not isinstance(index, int):
        raise CallError(f"cannot index slice/array with type {go_type}")
    if index < 0 or index > limit:
        raise CallError(f"index out of range: {int(index)}")
    return int(index)


def index(item: object, *indexes: object) -> object:
    """`index`: x[1][2][3]."""
    if is_nil(item):
        raise CallError("index of untyped nil")
    for key in indexes:
        if is_nil(item):
            raise CallError("index of nil pointer")
        go_type = type_of(item)
        if go_type.kind == "map" and isinstance(item, Mapping):
            item = _looked_up(item, go_type, key)
        elif go_type.kind == "string" and isinstance(item, str):
            data = as_bytes(item)
            at = _position(key, len(data))
            item = Byte(data[at]) if at < len(data) else _beyond("string")
        elif go_type.kind == "slice" and isinstance(item, Sequence):
            at = _position(key, len(item))
            item = item[at] if at < len(item) else _beyond("slice")
        else:
            raise CallError(f"can't index item of type {go_type}")
    return item


def _looked_up(item: Mapping[object, object], go_type: GoType, key: object) -> object:
    if is_nil(key):
        raise CallError("value is nil; should be of type string")
    if not fits(type_of(key), STRING):
        raise CallError(f"value has type {type_of(key)}; should be string")
    return item[key] if key in item else zero_of(go_type.element or ANY)


def _beyond(what: str) -> NoReturn:
    raise CallError(f"reflect: {what} index out of range")


def cut(item: object, *indexes: object) -> object:
    """`slice`: x[1:2]."""
    if is_nil(item):
        raise CallError("slice of untyped nil")
    go_type = type_of(item)
    if len(indexes) > 3:
        raise CallError(f"too many slice indexes: {len(indexes)}")
    if go_type.kind == "string" and len(indexes) == 3:
        raise CallError("cannot 3-index slice a string")
    whole = as_bytes(item) if go_type.kind == "string" and isinstance(item, str) else item
    if go_type.kind not in ("string", "slice") or not isinstance(whole, bytes | list | tuple):
        raise CallError(f"can't slice item of type {go_type}")
    bounds = [0, len(whole), len(whole)]
    for at, bound in enumerate(indexes):
        bounds[at] = _position(bound, len(whole))
    if bounds[0] > bounds[1]:
        raise CallError(f"invalid slice index: {bounds[0]} > {bounds[1]}")
    if len(indexes) == 3 and bounds[1] > bounds[2]:
        raise CallError(f"invalid slice index: {bounds[1]} > {bounds[2]}")
    piece = whole[bounds[0] : bounds[1]]
    if isinstance(piece, bytes):
        return as_text(piece)
    return type(whole)(piece)


def _basic(value: object) -> str:
    kind = "invalid" if is_nil(value) else type_of(value).kind
    return kind if kind in _BASIC else ""


def equal(first: object, *others: object) -> bool:
    """`eq`: whether the first equals any of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    kind = _basic(first)
    for other in others:
        other_kind = _basic(other)
        if kind != other_kind:
            if {kind, other_kind} == _WHOLE:
                if first == other:
                    return True
            elif not is_nil(first) and not is_nil(other):
                raise CallError(f"incompatible types for comparison: {type_of(first)} and {type_of(other)}")
        elif kind:
            if first == other:
                return True
        elif _same(first, other):
            return True
    return False


def _same(first: object, other: object) -> bool:
    if is_nil(first) or is_nil(other):
        return is_nil(first) and is_nil(other)
    one, two = type_of(first), type_of(other)
    if one.kind != two.kind:
        raise CallError(f"non-comparable types {sprintf('%s', [first])}: {one}, {two}: {text_of(other)}")
    if not comparable(other):
        raise CallError(f"non-comparable type {sprintf('%s', [other])}: {two}")
    return first is other if one.kind == "ptr" else first == other


def comparable(value: object) -> bool:
    """Whether Go's == takes a value: no map, no slice, and no structure that has one."""
    kind = type_of(value).kind
    return kind not in ("map", "slice", "func") and (
        kind != "struct" or all(is_nil(item) or comparable(item) for _, item in fields_of(value))
    )


def less(first: object, second: object) -> bool:
    """`lt`"""
    kinds = _basic(first), _basic(second)
    if not kinds[0] or not kinds[1]:
        raise CallError("invalid type for comparison")
    if kinds[0] != kinds[1] and set(kinds) != _WHOLE:
        raise CallError(f"incompatible types for comparison: {type_of(first)} and {type_of(second)}")
    if isinstance(first, str) and isinstance(second, str):
        return as_bytes(first) < as_bytes(second)
    if kinds[0] in ("bool", "complex"):
        raise CallError("invalid type for comparison")
    return first < second  # type: ignore[operator,no-any-return]  # numbers both


def at_most(first: object, second: object) -> bool:
    """`le`"""
    return less(first, second) or equal(first, second)


def _builtin(call: Callable[..., object], fixed: int, *, more: bool = False) -> Function:
    return Function(call, Signature((VALUE,) * fixed, VALUE if more else None), builtin=True)


def _decided_before(*values: object) -> object:
    raise AssertionError("and, or and call are done by the executor")


def _texts(escape: Callable[[str], str]) -> Function:
    return Function(lambda *values: escape(as_one_text(values)), Signature((), ANY), builtin=True)


def _printed(make: Callable[[Sequence[object]], str]) -> Function:
    return Function(lambda *values: make(values), Signature((), ANY), builtin=True)


BUILTINS: Mapping[str, Function] = {
    "and": _builtin(_decided_before, 1, more=True),
    "or": _builtin(_decided_before, 1, more=True),
    "call": _builtin(_decided_before, 1, more=True),
    "not": _builtin(lambda value: not true(value), 1),
    "len": _builtin(length, 1),
    "index": _builtin(index, 1, more=True),
    "slice": _builtin(cut, 1, more=True),
    "eq": _builtin(equal, 1, more=True),
    "ne": _builtin(lambda first, second: not equal(first, second), 2),
    "lt": _builtin(less, 2),
    "le": _builtin(at_most, 2),
    "gt": _builtin(lambda first, second: not at_most(first, second), 2),
    "ge": _builtin(lambda first, second: not less(first, second), 2),
    "print": _printed(sprint),
    "println": _printed(sprintln),
    "printf": Function(lambda form, *values: sprintf(form, values), Signature((STRING,), ANY), builtin=True),
    "html": _texts(html_escaped),
    "js": _texts(js_escaped),
    "urlquery": _texts(query_escaped),
}
SHORT_CIRCUITS: Mapping[str, Literal[True, False]] = {"or": True, "and": False}
