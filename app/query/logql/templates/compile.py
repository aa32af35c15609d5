"""A template's tree → SQL of the text it makes of a line."""

from __future__ import annotations

from collections.abc import Sequence

from app.query.logql.templates.expressions import EXPRESSION_FUNCTIONS
from app.query.logql.templates.functions import COMPARED, FUNCTIONS, UNSUPPORTED, Value, text_of, truth
from app.query.logql.templates.parse import parse_template
from app.query.logql.templates.printf import printf
from app.query.logql.templates.scope import Scope
from app.query.logql.templates.tree import Call, Condition, Constant, Expression, Field, Template

_NUMBERS = ("int", "float")


class _Nothing:
    """A scope for templates that are only checked."""

    def label(self, name: str) -> str:
        return "''"

    def constant(self, text: str) -> str:
        return "''"

    line_text = time_ns = lambda self: "''"


def check_template(text: str) -> None:
    """Raises ValueError for a template that is none, or has what is not supported."""
    Compiler(_Nothing()).text(parse_template(text))


class Compiler:
    """Compiles one template; `failures` are then SQL of (when, why) no text can be made."""

    def __init__(self, scope: Scope) -> None:
        self.failures: list[tuple[str, str]] = []
        self._scope = scope
        self._reached = ""

    def text(self, nodes: Template) -> str:
        """SQL of the text. Raises ValueError naming what is wrong."""
        parts = [self._node(node) for node in nodes]
        return parts[0] if len(parts) == 1 else f"concat({', '.join(parts)})" if parts else "''"

    def _node(self, node: str | Expression | Condition) -> str:
        if isinstance(node, str):
            return self._scope.constant(node)
        if not isinstance(node, Condition):
            return text_of(self._value(node))
        holds = truth(self._value(node.value))
        then = self._branch(holds, node.then)
        return f"if({holds}, {then}, {self._branch(f'NOT {holds}', node.otherwise)})"

    def _branch(self, holds: str, nodes: Template) -> str:
        before = self._reached
        self._reached = f"{before} AND {holds}" if before else holds
        made = self.text(nodes)
        self._reached = before
        return made

    def _value(self, node: Expression) -> Value:
        match node:
            case Field():
                return Value(self._scope.label(node.name), "text")
            case Constant():
                return self._constant(node.value)
            case Call():
                return self._call(node)

    def _constant(self, value: str | int | float | bool) -> Value:
        if isinstance(value, str):
            return Value(self._scope.constant(value), "text", value)
        if isinstance(value, bool):
            return Value(str(value).lower(), "bool")
        if abs(value) >= 2**63:
            raise ValueError(f"a number in a template that is too large: {value}")
        return Value(repr(value), "int" if isinstance(value, int) else "float")

    def _call(self, node: Call) -> Value:
        name = node.function
        if name == "__line__" and not node.arguments:
            return Value(self._scope.line_text(), "text")
        if name == "__timestamp__" and not node.arguments:
            return Value(self._scope.time_ns(), "time")
        arguments = [self._value(argument) for argument in node.arguments]
        if name in COMPARED:
            return _compared(name, arguments)
        if name in ("and", "or"):
            return _one_of(name, arguments)
        if name in EXPRESSION_FUNCTIONS:
            return EXPRESSION_FUNCTIONS[name](self._scope, arguments)
        if name == "printf":
            return printf(self._scope, arguments)
        return self._called(name, arguments)

    def _called(self, name: str, arguments: Sequence[Value]) -> Value:
        function = FUNCTIONS.get(name)
        if function is None:
            known = "is not supported" if name in UNSUPPORTED else "not defined"
            raise ValueError(f'function "{name}" {known} in a template')
        least, given = len(function.takes), len(arguments)
        if given < least or (given > least and not function.more):
            raise ValueError(f"wrong number of args for {name} in a template: want {least} got {given}")
        wanted = (*function.takes, *[function.takes[-1]] * (given - least))
        for kind, argument in zip(wanted, arguments, strict=True):
            if kind != argument.kind and kind != "any" and (kind != "number" or argument.kind in ("bool", "time")):
                raise ValueError(f"wrong type for an argument of {name} in a template: want {kind} got {argument.kind}")
        if function.fails is not None:
            when, why = function.fails(*arguments)
            self.failures.append((f"({self._reached} AND {when})" if self._reached else when, why))
        return Value(function.build(*arguments), function.gives)


def _compared(name: str, arguments: Sequence[Value]) -> Value:
    if len(arguments) < 2 or (len(arguments) > 2 and name != "eq"):
        raise ValueError(f"wrong number of args for {name} in a template: want 2 got {len(arguments)}")
    first, *others = arguments
    for other in others:
        if first.kind != other.kind and not (first.kind in _NUMBERS and other.kind in _NUMBERS):
            raise ValueError(f"incompatible types for {name} in a template: {first.kind} and {other.kind}")
    tests = [f"({first.sql} {COMPARED[name]} {other.sql})" for other in others]
    return Value("(" + " OR ".join(tests) + ")", "bool")


def _one_of(name: str, arguments: Sequence[Value]) -> Value:
    """The first argument that decides, as Go's `and` and `or` give it."""
    if not arguments or any(a.kind != arguments[0].kind for a in arguments):
        raise ValueError(f"{name} in a template wants values of one kind")
    found = arguments[-1].sql
    for argument in reversed(arguments[:-1]):
        pair = (found, argument.sql) if name == "and" else (argument.sql, found)
        found = f"if({truth(argument)}, {pair[0]}, {pair[1]})"
    return Value(found, arguments[0].kind)
