"""Pipelines of templates: variables, fields, calls, and the types of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from app.gotemplate.builtins import SHORT_CIRCUITS
from app.gotemplate.calls import VALUE, Function, function_of
from app.gotemplate.errors import CallError, TemplateError, TemplateLimit, TooLong
from app.gotemplate.objects import method_of, names_of
from app.gotemplate.printing import text_of
from app.gotemplate.quoting import quoted
from app.gotemplate.times import Duration, Time
from app.gotemplate.tree import (
    Bool,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Nil,
    Node,
    Number,
    Pipe,
    String,
    Template,
    Variable,
)
from app.gotemplate.values import ANY, INVALID, NILABLE, GoType, fits, is_nil, true, type_of, zero_of

MissingKey = Literal["default", "zero", "error"]
_NOTHING: Final = object()
_LITERALS: Mapping[str, tuple[type[Node], str]] = {
    "bool": (Bool, "bool"),
    "string": (String, "string"),
    "int": (Number, "integer"),
    "uint": (Number, "unsigned integer"),
    "float": (Number, "float"),
    "complex": (Number, "complex"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one execution may do. A step is a node or a call, 256 characters a function takes
    or gives, or a part of a value that is printed."""

    steps: int = 1_000_000
    output: int = 4 << 20
    depth: int = 100


class Slot:
    """A value in a variable or as dot; `boxed` if it was held as an interface, which errors show."""

    __slots__ = ("boxed", "value")

    def __init__(self, value: object, boxed: bool = False) -> None:
        self.value = value
        self.boxed = boxed


class Evaluator:
    """Works out pipelines for one execution, and knows what it may still do."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        missing_key: MissingKey,
        limits: Limits,
    ) -> None:
        self._functions = functions
        self._missing_key = missing_key
        self._limits = limits
        self._steps = 0
        self._variables: list[tuple[str, Slot]] = []
        self._template: Template
        self._node: Node | None = None

    # limits and errors

    def _error(self, message: str, kind: type[TemplateError] = TemplateError) -> TemplateError:
        name = self._template.name
        if self._node is None:
            return kind(f"template: {name}: {message}")
        place = self._template.place(self._node)
        return kind(f"template: {place}: executing {quoted(name)} at <{self._node}>: {message}")

    def _too_long(self) -> TemplateError:
        return self._error(f"more than {self._limits.output} characters of output", TemplateLimit)

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > self._limits.steps:
            raise self._error(f"more than {self._limits.steps} steps", TemplateLimit)

    # pipelines

    def pipeline(self, dot: Slot, pipe: Pipe) -> object:
        """What a pipeline gives, INVALID for nil. Raises TemplateError."""
        self._node = pipe
        value: object = _NOTHING
        for command in pipe.commands:
            value = self._command(dot, command, value)
            if value is None:
                value = INVALID
        for variable in pipe.declared:
            if pipe.assigns:
                self._assign(variable.names[0], Slot(value))
            else:
                self._variables.append((variable.names[0], Slot(value)))
        return value

    def _assign(self, name: str, slot: Slot) -> None:
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                self._variables[at] = (name, slot)
                return
        raise self._error(f"undefined variable: {name}")

    def _variable(self, name: str) -> Slot:
        for known, slot in reversed(self._variables):
            if known == name:
                return slot
        raise self._error(f"undefined variable: {name}")

    def _command(self, dot: Slot, command: Command, final: object) -> object:
        first = command.operands[0]
        match first:
            case Field():
                self._node = first
                return self._chain(dot, dot, first, first.names, command.operands, final)
            case Identifier():
                return self._call_named(dot, first, command, command.operands, final)
            case Variable():
                return self._of_variable(dot, first, command.operands, final)
            case Chain():
                return self._of_chain(dot, first, command.operands, final)
        if isinstance(first, Pipe):
            self._no_function(command.operands, final)
            return self.pipeline(dot, first)
        self._node = first
        self._no_function(command.operands, final)
        if isinstance(first, Nil):
            raise self._error("nil is not a command")
        return dot.value if isinstance(first, Dot) else self._literal(first)

    def _no_function(self, operands: Sequence[Node], final: object) -> None:
        if len(operands) > 1 or final is not _NOTHING:
            raise self._error(f"can't give argument to non-function {operands[0]}")

    def _literal(self, node: Node) -> object:
        """A constant of which no type is wanted: its syntax says what it is."""
        self._node = node
        match node:
            case Bool() | String():
                return node.value
            case Number():
                value = node.constant()
                if value is None:
                    raise self._error(f"{node} overflows int")
                return value
        raise self._error(f"can't evaluate command {quoted(str(node))}")

    def _of_variable(self, dot: Slot, node: Variable, operands: Sequence[Node] | None, final: object) -> object:
        self._node = node
        slot = self._variable(node.names[0])
        if len(node.names) == 1:
            if operands is not None:
                self._no_function(operands, final)
            return slot.value
        return self._chain(dot, slot, node, node.names[1:], operands, final)

    def _of_chain(self, dot: Slot, node: Chain, operands: Sequence[Node] | None, final: object) -> object:
        self._node = node
        if isinstance(node.node, Nil):
            raise self._error(f"indirection through explicit nil in {node}")
        value = self._argument(dot, node.node, None)
        return self._chain(dot, Slot(value), node, node.names, operands, final)

    def _chain(
        self,
        dot: Slot,
        receiver: Slot,
        node: Node,
        names: tuple[str, ...],
        operands: Sequence[Node] | None,
        final: object,
    ) -> object:
        """`.X.Y.Z`, of which the last may be a method that gets the arguments."""
        value, boxed = receiver.value, receiver.boxed
        last = len(names) - 1
        for at, name in enumerate(names):
            if at == last:
                return self._field(dot, name, node, operands, final, value, boxed)
            holder = value
            value = self._field(dot, name, node, None, _NOTHING, value, boxed)
            boxed = self._holds_interfaces(holder)
        return value

    @staticmethod
    def _holds_interfaces(holder: object) -> bool:
        return isinstance(holder, dict) and (type_of(holder).element or ANY).kind == "interface"

    def _field(
        self,
        dot: Slot,
        name: str,
        node: Node,
        operands: Sequence[Node] | None,
        final: object,
        receiver: object,
        boxed: bool,
    ) -> object:
        if receiver is INVALID:
            if self._missing_key == "error":
                raise self._error(f"nil data; no entry for key {quoted(name)}")
            return INVALID
        if receiver is None:
            raise self._error(f"nil pointer evaluating interface {{}}.{name}")
        names = names_of(receiver)
        method = method_of(receiver, name)
        if method is not None:
            return self._call(dot, function_of(method), node, name, operands, final)
        go_type = type_of(receiver)
        has_arguments = final is not _NOTHING or (operands is not None and len(operands) > 1)
        if go_type.kind == "map" and isinstance(receiver, Mapping):
            if has_arguments:
                raise self._error(f"{name} is not a method but has arguments")
            return self._entry(receiver, go_type, name)
        if names is not None and name in names:
            if not name[0].isupper():
                kind = ANY if boxed else go_type
                raise self._error(f"{name} is an unexported field of struct type {kind}")
            if has_arguments:
                raise self._error(f"{name} has arguments but cannot be invoked as function")
            return getattr(receiver, names[name])
        raise self._error(f"can't evaluate field {name} in type {ANY if boxed else go_type}")

    def _entry(self, receiver: Mapping[object, object], go_type: GoType, name: str) -> object:
        if name in receiver:
            return receiver[name]
        if self._missing_key == "error":
            raise self._error(f"map has no entry for key {quoted(name)}")
        return zero_of(go_type.element or ANY) if self._missing_key == "zero" else INVALID

    # calls

    def _call_named(
        self, dot: Slot, node: Identifier, command: Node, operands: Sequence[Node] | None, final: object
    ) -> object:
        self._node = node
        function = self._functions.get(node.name)
        if function is None:
            raise self._error(f"{quoted(node.name)} is not a defined function")
        return self._call(dot, function, command, node.name, operands, final)

    def _call(
        self,
        dot: Slot,
        function: Function,
        node: Node,
        name: str,
        operands: Sequence[Node] | None,
        final: object,
    ) -> object:
        arguments = operands[1:] if operands else ()
        signature = function.signature
        given = len(arguments) + (final is not _NOTHING)
        fixed = len(signature.takes)
        if signature.more is not None:
            if given < fixed:
                raise self._error(f"wrong number of args for {name}: want at least {fixed} got {len(arguments)}")
        elif given != fixed:
            raise self._error(f"wrong number of args for {name}: want {fixed} got {given}")
        if function.builtin and name in SHORT_CIRCUITS:
            return self._short_circuit(dot, name, arguments, final)
        takes = signature.takes
        if signature.more is not None:
            takes = (*takes, *(signature.more,) * (given - fixed))
        values = [self._argument(dot, argument, takes[at]) for at, argument in enumerate(arguments)]
        if final is not _NOTHING:
            values.append(self._checked(final, takes[given - 1]))
        call = function.call
        if function.builtin and name == "call":
            callee = text_of(final) if not arguments else str(arguments[0])
            call = lambda *given: self._called(callee, *given)  # noqa: E731
        elif not function.builtin:
            values = [None if value is INVALID else value for value in values]
        return self._result(call, values, node, name)

    def _result(self, call: Callable[..., object], values: list[object], node: Node, name: str) -> object:
        cost = 1
        for value in values:
            if type(value) is str:
                cost += len(value) >> 8
        self._spend(cost)
        try:
            result = call(*values)
        except (TemplateLimit, TooLong, RecursionError):
            raise
        except Exception as problem:  # as Go's safeCall: whatever a function raises is the template's error
            self._node = node
            raise self._error(f"error calling {name}: {problem}") from problem
        if isinstance(result, str):
            if len(result) > self._limits.output:
                raise self._too_long()
            self._spend(len(result) >> 8)
        return result

    def _short_circuit(self, dot: Slot, name: str, arguments: Sequence[Node], final: object) -> object:
        value: object = INVALID
        for argument in arguments:
            value = self._argument(dot, argument, VALUE)
            if true(value) == SHORT_CIRCUITS[name]:
                return value
        return value if final is _NOTHING else final

    def _called(self, callee: str, function: object, *values: object) -> object:
        if is_nil(function):
            raise CallError("call of nil")
        if not callable(function) or type_of(function).kind != "func":
            raise CallError(f"non-function {callee} of type {type_of(function)}")
        wanted = function_of(function).signature
        fixed = len(wanted.takes)
        if wanted.more is not None and len(values) < fixed:
            raise CallError(f"wrong number of args for {callee}: got {len(values)} want at least {fixed}")
        if wanted.more is None and len(values) != fixed:
            raise CallError(f"wrong number of args for {callee}: got {len(values)} want {fixed}")
        for at, value in enumerate(values):
            takes = wanted.takes[at] if at < fixed else wanted.more or ANY
            if is_nil(value) and takes.kind not in NILABLE:
                raise CallError(f"arg {at}: value is nil; should be of type {takes}")
            if not is_nil(value) and not fits(type_of(value), takes):
                raise CallError(f"arg {at}: value has type {type_of(value)}; should be {takes}")
        return function(*values)

    def _argument(self, dot: Slot, node: Node, wanted: GoType | None) -> object:
        self._node = node
        match node:
            case Field():
                return self._checked(self._chain(dot, dot, node, node.names, None, _NOTHING), wanted)
            case Variable():
                return self._checked(self._of_variable(dot, node, None, _NOTHING), wanted)
            case Dot():
                return self._checked(dot.value, wanted)
            case Pipe():
                return self._checked(self.pipeline(dot, node), wanted)
            case Identifier():
                return self._checked(self._call_named(dot, node, node, None, _NOTHING), wanted)
            case Chain():
                return self._checked(self._of_chain(dot, node, None, _NOTHING), wanted)
            case Nil():
                if wanted is not None and (wanted.kind in NILABLE or wanted is VALUE):
                    return INVALID if wanted is VALUE else None
                raise self._error(f"cannot assign nil to {wanted}")
        return self._constant(node, ANY if wanted is None else wanted)

    def _constant(self, node: Node, wanted: GoType) -> object:
        if wanted.kind == "interface" or wanted is VALUE:
            return self._literal(node)
        self._node = node
        expected = _LITERALS.get(wanted.kind)
        if expected is None:
            raise self._error(f"can't handle {node} for arg of type {wanted}")
        if isinstance(node, Bool | String) and isinstance(node, expected[0]):
            return node.value
        if isinstance(node, Number):
            number = node.value
            options = {"int": number.integer, "uint": number.unsigned, "float": number.floating}
            found = number.complex_ if wanted.kind == "complex" else options.get(wanted.kind)
            if found is not None:
                return found
        raise self._error(f"expected {expected[1]}; found {node}")

    def _checked(self, value: object, wanted: GoType | None) -> object:
        """A value that fits where the type is wanted."""
        if wanted is None or wanted is VALUE:
            return value
        if is_nil(value):
            if wanted.kind in NILABLE:
                return None
            raise self._error(
                f"invalid value; expected {wanted}"
                if value is INVALID
                else f"wrong type for value; expected {wanted}; got interface {{}}"
            )
        if wanted.kind == "interface":
            return value
        go_type = type_of(value)
        pointed = go_type.element if go_type.kind == "ptr" else None
        if not fits(go_type, wanted) and pointed != wanted:
            raise self._error(f"wrong type for value; expected {wanted}; got {go_type}")
        return _as_wanted(value)


def _as_wanted(value: object) -> object:
    """Python's times as Go's, which is what functions work on."""
    if isinstance(value, datetime):
        return Time.of(value)
    return Duration.of(value) if isinstance(value, timedelta) else value
