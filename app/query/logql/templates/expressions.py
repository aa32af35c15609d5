"""Functions of templates that take regular expressions, which the query itself must give."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from app.query.logql.expressions import named_groups
from app.query.logql.templates.functions import Value
from app.query.logql.templates.scope import Scope

ExpressionFunction = Callable[[Scope, Sequence[Value]], Value]
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def _texts(name: str, count: int, arguments: Sequence[Value]) -> None:
    if len(arguments) != count:
        raise ValueError(f"wrong number of args for {name} in a template: want {count} got {len(arguments)}")
    if any(argument.kind != "text" for argument in arguments):
        raise ValueError(f"wrong type for an argument of {name} in a template: want text")


def _constant(value: Value, what: str) -> str:
    if value.constant is None:
        raise ValueError(f"{what} in a template must be a constant")
    return value.constant


def _expression(scope: Scope, value: Value, name: str) -> tuple[str, dict[str, int]]:
    """(SQL of an expression, the numbers of its named groups)."""
    text = _constant(value, f"the expression of {name}")
    return scope.constant(f"(?-s){text}"), named_groups(text)


def _replace_all(scope: Scope, arguments: Sequence[Value]) -> Value:
    _texts("regexReplaceAll", 3, arguments)
    expression, groups = _expression(scope, arguments[0], "regexReplaceAll")
    wanted = _constant(arguments[2], "the replacement of regexReplaceAll")

    def reference(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name.isdigit():
            return rf"\{name}" if len(name) == 1 else ""
        return rf"\{groups[name]}" if groups.get(name, 10) < 10 else ""

    made = scope.constant(_REFERENCE.sub(reference, wanted.replace("\\", "\\\\")))
    return Value(f"replaceRegexpAll({arguments[1].sql}, {expression}, {made})", "text")


def _replace_literally(scope: Scope, arguments: Sequence[Value]) -> Value:
    _texts("regexReplaceAllLiteral", 3, arguments)
    expression, _ = _expression(scope, arguments[0], "regexReplaceAllLiteral")
    made = _constant(arguments[2], "the replacement of regexReplaceAllLiteral").replace("\\", "\\\\")
    return Value(f"replaceRegexpAll({arguments[1].sql}, {expression}, {scope.constant(made)})", "text")


def _count(scope: Scope, arguments: Sequence[Value]) -> Value:
    _texts("count", 2, arguments)
    expression, _ = _expression(scope, arguments[0], "count")
    return Value(f"toInt64(countMatches({arguments[1].sql}, {expression}))", "int")


EXPRESSION_FUNCTIONS: Mapping[str, ExpressionFunction] = {
    "regexReplaceAll": _replace_all,
    "regexReplaceAllLiteral": _replace_literally,
    "count": _count,
}
