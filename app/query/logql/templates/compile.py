"""A template's tree → SQL of the text it makes of a line."""

from __future__ import annotations

from collections.abc import Sequence

from app.gotemplate.tree import (
    Action,
    Bool,
    Branch,
    Command,
    Dot,
    Field,
    Identifier,
    If,
    Invoke,
    List,
    Nil,
    Node,
    Number,
    Pipe,
    Range,
    String,
    Text,
    Variable,
    With,
)
from app.query.logql.templates.expressions import EXPRESSION_FUNCTIONS
from app.query.logql.templates.functions import COMPARED, FUNCTIONS, UNSUPPORTED, Value, text_of, truth
from app.query.logql.templates.parse import parse_template
from app.query.logql.templates.printf import printed, printf
from app.query.logql.templates.scope import Scope

_NUMBERS = ("int", "float")
# every level is one of the statement's expression, which ClickHouse has to understand
_MAX_DEPTH = 20


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
        self._depth = 0
        self._variables: dict[str, Value] = {}
        self._dot: Value | None = None

    def text(self, template: List) -> str:
        """SQL of the text. Raises ValueError naming what is wrong."""
        parts = [made for node in template.nodes if (made := self._node(node))]
        return parts[0] if len(parts) == 1 else f"concat({', '.join(parts)})" if parts else "''"

    def _node(self, node: Node) -> str:
        match node:
            case Text():
                return self._scope.constant(node.text)
            case Action():
                value = self._pipe(node.pipe)
                return "" if node.pipe.declared else text_of(value)
            case If() | With():
                return self._branches(node)
            case Invoke():
                raise ValueError("{{template}} in a template is not supported")
            case Range():
                raise ValueError("{{range}} in a template is not supported")
        raise ValueError(f"{node} in a template is not supported")

    def _branches(self, node: Branch) -> str:
        before = dict(self._variables)
        value = self._pipe(node.pipe)
        holds = truth(value)
        then = self._branch(holds, node.then, value if isinstance(node, With) else self._dot)
        otherwise = "''" if node.otherwise is None else self._branch(f"NOT {holds}", node.otherwise, self._dot)
        self._variables = before
        return f"if({holds}, {then}, {otherwise})"

    def _branch(self, holds: str, nodes: List, dot: Value | None) -> str:
        self._deeper()
        before = self._reached, self._dot, dict(self._variables)
        self._reached = f"{self._reached} AND {holds}" if self._reached else holds
        self._dot = dot
        made = self.text(nodes)
        self._reached, self._dot, self._variables = before
        self._depth -= 1
        return made

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"a template is nested deeper than {_MAX_DEPTH} levels")

    def _pipe(self, pipe: Pipe) -> Value:
        self._deeper()
        value: Value | None = None
        for command in pipe.commands:
            value = self._command(command, value)
        self._depth -= 1
        assert value is not None
        if pipe.assigns:
            raise ValueError("= in a template is not supported: a variable keeps what := gave it")
        for variable in pipe.declared:
            self._variables[variable.names[0]] = value
        return value

    def _command(self, command: Command, piped: Value | None) -> Value:
        first, *others = command.operands
        if isinstance(first, Identifier):
            arguments = [self._operand(operand) for operand in others]
            return self._call(first.name, arguments if piped is None else [*arguments, piped])
        if others or piped is not None:
            raise ValueError(f"can't give argument to non-function {first} in a template")
        return self._operand(first)

    def _operand(self, node: Node) -> Value:
        match node:
            case Field(names=(name,)):
                return self._field(name)
            case Variable(names=("$", name)):
                return Value(self._scope.label(name), "text")
            case Variable(names=(name,)) if name in self._variables:
                return self._variables[name]
            case Field() | Variable():
                raise ValueError(f"{node} in a template is not supported: a label has no fields")
            case Dot():
                if self._dot is None:
                    raise ValueError("the dot alone (.) in a template is not supported: it is all labels")
                return self._dot
            case Pipe():
                return self._pipe(node)
            case Identifier():
                return self._call(node.name, [])
            case String():
                return self._text(node)
            case Bool():
                return Value(str(node), "bool")
            case Number():
                return _number(node)
            case Nil():
                raise ValueError("nil in a template is not supported")
        raise ValueError(f"{node} in a template is not supported")

    def _field(self, name: str) -> Value:
        if self._dot is not None:
            raise ValueError(f".{name} in {{{{with}}}} in a template is not supported: use $.{name} for the label")
        return Value(self._scope.label(name), "text")

    def _text(self, node: String) -> Value:
        try:
            node.value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"a text in a template that is not UTF-8: {node}") from None
        return Value(self._scope.constant(node.value), "text", node.value)

    def _call(self, name: str, arguments: Sequence[Value]) -> Value:
        if name == "__line__" and not arguments:
            return Value(self._scope.line_text(), "text")
        if name == "__timestamp__" and not arguments:
            return Value(self._scope.time_ns(), "time")
        if name in COMPARED:
            return _compared(name, arguments)
        if name in ("and", "or"):
            return _one_of(name, arguments)
        if name in EXPRESSION_FUNCTIONS:
            return EXPRESSION_FUNCTIONS[name](self._scope, arguments)
        if name == "printf":
            return printf(self._scope, arguments)
        if name in ("print", "println"):
            return printed(self._scope, arguments, lines=name == "println")
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


def _number(node: Number) -> Value:
    value = node.constant()
    if isinstance(value, complex) or value is None or abs(value) >= 2**63:
        raise ValueError(f"a number in a template that is not supported: {node}")
    return Value(repr(value), "int" if isinstance(value, int) else "float")


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
