"""`printf` and `print` in templates: Go's verbs for strings and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.query.logql.templates.functions import Kind, Value, text_of
from app.query.logql.templates.scope import Scope

_VERB = re.compile(r"%(?:%|(?P<flags>[-+0 #]*)(?P<width>[0-9]*)(?:\.(?P<precision>[0-9]*))?(?P<verb>[a-zA-Z]))")
_VERBS: dict[str, tuple[Kind, ...]] = {
    "s": ("text",),
    "v": ("text", "int", "float", "bool"),
    "q": ("text",),
    "d": ("int",),
    "x": ("int",),
    "f": ("float",),
    "e": ("float",),
    "g": ("float",),
}
_WIDEST = 1000


def printf(scope: Scope, arguments: Sequence[Value]) -> Value:
    """The text of a format, which the query itself must give, and of as many values as it has verbs."""
    if not arguments or arguments[0].constant is None:
        raise ValueError("printf in a template wants a constant format before its values")
    form, values = arguments[0].constant, list(arguments[1:])
    parts, end = ["''"], 0
    for match in _VERB.finditer(form):
        parts.append(scope.constant(form[end : match.start()]))
        end = match.end()
        if match["verb"] is None:
            parts.append("'%'")
            continue
        if not values:
            raise ValueError(f"printf in a template has no value for {match[0]}")
        parts.append(_printed(scope, match, values.pop(0)))
    if values:
        raise ValueError("printf in a template has more values than verbs")
    parts.append(scope.constant(form[end:]))
    return Value(f"concat({', '.join(parts)})", "text")


def printed(scope: Scope, arguments: Sequence[Value], *, lines: bool) -> Value:
    """`print`, and with `lines` `println`: values side by side; print puts spaces only where neither is a text."""
    parts = ["''"]
    for at, value in enumerate(arguments):
        if at and (lines or "text" not in (value.kind, arguments[at - 1].kind)):
            parts.append("' '")
        parts.append(text_of(value))
    if lines:
        parts.append(scope.constant("\n"))
    return Value(f"concat({', '.join(parts)}, '')", "text")


def _printed(scope: Scope, match: re.Match[str], value: Value) -> str:
    verb, width = match["verb"], int(match["width"] or 0)
    if value.kind not in _VERBS.get(verb, ()) or width > _WIDEST or int(match["precision"] or 0) > _WIDEST:
        raise ValueError(f"printf in a template does not print {value.kind} with {match[0]}")
    if verb in "dxfeg":
        return f"printf({scope.constant(match[0])}, {value.sql})"
    text = f"toJSONString({value.sql})" if verb == "q" else text_of(value)
    if match["precision"] is not None:
        text = f"substringUTF8({text}, 1, {int(match['precision'] or 0):d})"
    if not width:
        return text
    pad = "rightPadUTF8" if "-" in match["flags"] else "leftPadUTF8"
    return f"if(lengthUTF8({text}) < {width:d}, {pad}({text}, {width:d}), {text})"
