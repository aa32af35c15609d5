"""What the parts of a query are to those who check them: kinds, types and places, without what is below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.labels import Matcher
from app.query.promql.syntax.problem import Problem

ValueType = Literal["scalar", "string", "vector", "matrix"]
Kind = Literal["number", "text", "selector", "range", "subquery", "call", "other"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a query, from `start` to `end` in its text.

    `problem` is the first thing wrong with the types in it. A selector has a `name` and `matchers`; `moved` are the
    modifiers of what can be moved: `offset` and `@`.
    """

    kind: Kind
    type: ValueType
    start: int
    end: int
    problem: Problem | None = None
    name: str = ""
    matchers: tuple[Matcher, ...] = ()
    moved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration, as a number of seconds, and how many signs stand before it."""

    seconds: float
    start: int
    end: int
    signs: int = 0


@dataclass(frozen=True, slots=True)
class Matched:
    """What stands between an operator and its right side."""

    return_bool: bool = False
    on: bool = False
    labels: tuple[str, ...] = ()
    grouped: bool = False
    included: tuple[str, ...] = ()
    filled: bool = False
