"""A Go template as far as it is answered here: text, actions, and conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """`.name`: a label's value, '' where there is none."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A string, a number, true or false."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments; what is piped into it is its last argument."""

    function: str
    arguments: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """`if`, with what is given where the value is neither empty nor 0 nor false, and where it is."""

    value: Expression
    then: Template
    otherwise: Template = ()


Expression = Field | Constant | Call
Node = str | Expression | Condition
Template = tuple[Node, ...]


def fields_of(nodes: tuple[Node, ...] | tuple[Expression, ...]) -> Iterator[str]:
    """The labels that a template reads."""
    for node in nodes:
        match node:
            case Field():
                yield node.name
            case Call():
                yield from fields_of(node.arguments)
            case Condition():
                yield from fields_of((node.value, *node.then, *node.otherwise))
            case _:
                pass
