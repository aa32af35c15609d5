"""`printf` and `print` in templates: Go's verbs for strings and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from app.gotemplate.formats import Spec, pieces_of
from app.query.logql.templates.functions import Kind, Value, text_of
from app.query.logql.templates.scope import Scope

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
    values = list(arguments[1:])
    parts = ["''"]
    for piece in pieces_of(arguments[0].constant):
        if isinstance(piece, str):
            parts.append(scope.constant(piece))
        elif piece.verb == "%":
            parts.append("'%'")
        elif not values:
            raise ValueError(f"printf in a template has no value for {piece.text}")
        else:
            parts.append(_printed(scope, piece, values.pop(0)))
    if values:
        raise ValueError("printf in a template has more values than verbs")
    return Value(f"concat({', '.join(parts)}, '')", "text")


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


def _printed(scope: Scope, spec: Spec, value: Value) -> str:
    width, precision = spec.width, spec.precision
    unknown = value.kind not in _VERBS.get(spec.verb, ()) or any(index is not None for index in spec.indexes)
    if unknown or isinstance(width, str) or isinstance(precision, str) or max(width or 0, precision or 0) > _WIDEST:
        raise ValueError(f"printf in a template does not print {value.kind} with {spec.text}")
    if spec.verb in "dxfeg":
        return f"printf({scope.constant(spec.text)}, {value.sql})"
    text = f"toJSONString({value.sql})" if spec.verb == "q" else text_of(value)
    if precision is not None:
        text = f"substringUTF8({text}, 1, {precision:d})"
    if not width:
        return text
    pad = "rightPadUTF8" if spec.flags.minus else "leftPadUTF8"
    return f"if(lengthUTF8({text}) < {width:d}, {pad}({text}, {width:d}), {text})"
