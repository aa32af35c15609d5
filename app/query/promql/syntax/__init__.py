"""PromQL as Prometheus reads it: whether a text is a query, what is wrong with it and where, and where its parts begin.

The tree that is evaluated is made by the parser's library, which tells no places. So a text is read here first, by
Prometheus's grammar and checks, and handed on as the library takes it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from app.query.promql.operations import COMPARISONS, TRIMS
from app.query.promql.syntax import table
from app.query.promql.syntax.builder import ANYTHING, Beginning, Builder, Rewrite, undisguised
from app.query.promql.syntax.lexer import Lexer
from app.query.promql.syntax.problem import Problem

__all__ = ["ANYTHING", "Beginning", "Problem", "Syntax", "read", "undisguised"]

_CACHED_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Syntax:
    """What a text says besides its tree.

    `readable` is the text as the library takes it, `disguised` the same with no regular expression that it may not know
    (`undisguised` gives it back). `trims` are the comparisons in it, counted from 0, that are trims;
    `beginnings` are the parts that notes can be about, in the order of the text.
    """

    readable: str
    disguised: str
    trims: frozenset[int]
    beginnings: tuple[Beginning, ...]


def read(text: str, start: str = "query") -> Syntax:
    """Reads a query, or with `start="selector"` a selector alone. Raises Problem.

    What was read is remembered, if it is not long: rules and dashboards ask the same again and again.
    """
    return _remembered(text, start) if len(text) <= _CACHED_LENGTH else _read(text, start)


def _read(text: str, start: str) -> Syntax:
    lexer, builder = Lexer(text), Builder(text)
    part = table.read(lexer, start, builder)
    if problem := part.problem or builder.problem:
        raise problem
    comparisons = sorted(
        (op.start, op.text in TRIMS) for op in builder.operators if op.text in COMPARISONS or op.text in TRIMS
    )
    trims = frozenset(i for i, (_, is_trim) in enumerate(comparisons) if is_trim)
    readable = _rewritten(text, builder.rewrites)
    disguised = _rewritten(text, [*builder.disguises, *builder.rewrites]) if builder.disguises else readable
    return Syntax(readable, disguised, trims, tuple(sorted(builder.beginnings)))


_remembered = functools.lru_cache(maxsize=1024)(_read)


def _rewritten(text: str, rewrites: Sequence[Rewrite]) -> str:
    pieces, at = [], 0
    for start, end, instead in sorted(rewrites, key=lambda rewrite: (rewrite.start, -rewrite.end)):
        if start >= at:  # else it is within another one
            pieces += [text[at:start], instead]
            at = end
    return "".join(pieces) + text[at:] if pieces else text
