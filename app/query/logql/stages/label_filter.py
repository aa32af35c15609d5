"""Label filters: `| status >= 500 and path =~ "/api.*" or took > 1s, size < 20MB`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from app.labels import Matcher, MatchOp
from app.query.logql.addresses import Addresses
from app.query.logql.conversions import DURATION_NS, NUMBER, SIZE
from app.query.logql.rows import Rows
from app.query.logql.stages.stage import Stage
from app.query.logql.text import format_duration_ns, quoted
from app.query.promql.format import format_value

Unit = Literal["number", "duration", "bytes"]
_CONVERSIONS = {"number": NUMBER, "duration": DURATION_NS, "bytes": SIZE}
_FAILED = "LabelFilterErr"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """SQL of whether a line is kept, and of the conversions that fail on the way: (when, why), in their order."""

    kept: str
    failures: tuple[tuple[str, str], ...] = ()


class Predicate(ABC):
    """What the labels of a line must satisfy."""

    __slots__ = ()

    @abstractmethod
    def leaves(self) -> Iterator[Leaf]:
        """The comparisons it is made of."""

    @abstractmethod
    def outcome(self, rows: Rows, columns: dict[ValuePredicate, tuple[str, str, str]]) -> _Outcome:
        """Its SQL; `columns` has for each comparison of values those of presence, number and reason for none."""


@dataclass(frozen=True, slots=True)
class TextPredicate(Predicate):
    """A label's text compared; one that is not there is empty. Expressions match the whole text."""

    matcher: Matcher

    def leaves(self) -> Iterator[Leaf]:
        """Itself."""
        yield self

    def outcome(self, rows: Rows, columns: dict[ValuePredicate, tuple[str, str, str]]) -> _Outcome:
        """Never fails."""
        return _Outcome(text_condition(self.matcher, rows.value(self.matcher.name), rows))

    def __str__(self) -> str:
        return f"{self.matcher.name}{self.matcher.op.value}{quoted(self.matcher.value)}"


def text_condition(matcher: Matcher, value: str, rows: Rows) -> str:
    """SQL of whether the value of some SQL satisfies a matcher."""
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        return f"{value} {matcher.op.value} {rows.parameters.add(matcher.value)}"
    negation = "NOT " if matcher.op is MatchOp.NOT_REGEX else ""
    # unlike in a selector, `.` is no line end
    return f"{negation}match({value}, {rows.parameters.add(f'(?-s)^(?:{matcher.value})$')})"


@dataclass(frozen=True, slots=True)
class ValuePredicate(Predicate):
    """A label read as a number, a duration (`value` in nanoseconds) or a size in bytes, and compared.

    A line without the label is left out. One whose label cannot be read is kept and marked as an error.
    """

    name: str
    op: str
    value: float
    unit: Unit = "number"

    def leaves(self) -> Iterator[Leaf]:
        """Itself."""
        yield self

    def outcome(self, rows: Rows, columns: dict[ValuePredicate, tuple[str, str, str]]) -> _Outcome:
        """Fails where the label cannot be read."""
        there, number, why = columns[self]
        wanted = rows.parameters.add(float(self.value), "Float64")
        holds = f"ifNull({number} {'=' if self.op == '==' else self.op} {wanted}, true)"
        return _Outcome(f"({there} AND {holds})", ((f"({there} AND isNull({number}))", why),))

    def __str__(self) -> str:
        if self.unit == "duration":
            return f"{self.name} {self.op} {format_duration_ns(int(self.value))}"
        return f"{self.name} {self.op} {f'{int(self.value)}B' if self.unit == 'bytes' else format_value(self.value)}"


@dataclass(frozen=True, slots=True)
class AddressPredicate(Predicate):
    """`name = ip("10.0.0.0/8")`: whether there is such an address in a label's text.

    A line without the label is left out; one that is marked as an error is kept.
    """

    name: str
    addresses: Addresses
    negative: bool = False

    def leaves(self) -> Iterator[Leaf]:
        """Itself."""
        yield self

    def outcome(self, rows: Rows, columns: dict[ValuePredicate, tuple[str, str, str]]) -> _Outcome:
        """Never fails."""
        found = self.addresses.condition(rows.value(self.name), rows.parameters)
        kept = f"({rows.has(self.name)} AND {'NOT ' if self.negative else ''}{found})"
        return _Outcome(f"({rows.error} != '' OR {kept})" if rows.error else kept)

    def __str__(self) -> str:
        return f"{self.name}{'!=' if self.negative else '='}{self.addresses}"


Leaf = TextPredicate | ValuePredicate | AddressPredicate


@dataclass(frozen=True, slots=True)
class _Two(Predicate):
    left: Predicate
    right: Predicate

    def leaves(self) -> Iterator[Leaf]:
        """Those of both sides."""
        yield from self.left.leaves()
        yield from self.right.leaves()


@dataclass(frozen=True, slots=True)
class Both(_Two):
    """`left and right`; both are always looked at."""

    def outcome(self, rows: Rows, columns: dict[ValuePredicate, tuple[str, str, str]]) -> _Outcome:
        """Fails where either does."""
        left, right = self.left.outcome(rows, columns), self.right.outcome(rows, columns)
        return _Outcome(f"({left.kept} AND {right.kept})", left.failures + right.failures)

    def __str__(self) -> str:
        return f"{_nested(self.left)} and {_nested(self.right)}"


@dataclass(frozen=True, slots=True)
class Either(_Two):
    """`left or right`; the right side is not looked at where the left one holds."""

    def outcome(self, rows: Rows, columns: dict[ValuePredicate, tuple[str, str, str]]) -> _Outcome:
        """Fails where the left side does, or the right side is looked at and does."""
        left, right = self.left.outcome(rows, columns), self.right.outcome(rows, columns)
        later = tuple((f"(NOT {left.kept} AND {when})", why) for when, why in right.failures)
        return _Outcome(f"({left.kept} OR {right.kept})", left.failures + later)

    def __str__(self) -> str:
        return f"{_nested(self.left)} or {_nested(self.right)}"


def _nested(predicate: Predicate) -> str:
    return f"({predicate})" if isinstance(predicate, Both | Either) else str(predicate)


@dataclass(frozen=True, slots=True)
class LabelFilter(Stage):
    """Keeps the lines whose labels satisfy a test."""

    leaves_out: ClassVar[bool] = True
    predicate: Predicate

    def reads(self) -> frozenset[str]:
        """The labels compared."""
        return frozenset(t.matcher.name if isinstance(t, TextPredicate) else t.name for t in self.predicate.leaves())

    def apply(self, rows: Rows) -> None:
        """Marks what cannot be read, and leaves out what does not satisfy the test."""
        columns = self._read(rows)
        outcome = self.predicate.outcome(rows, columns)
        if not outcome.failures:
            rows.where(outcome.kept)
            return
        # columns of their own: every failure is asked for twice
        made = rows.add(kept=outcome.kept, **{f"failed{i}": when for i, (when, _) in enumerate(outcome.failures)})
        rows.where(made[0])
        reasons = ", ".join(f"{when}, {why}" for when, (_, why) in zip(made[1:], outcome.failures, strict=True))
        failed = " OR ".join(made[1:])
        first = f"{rows.error} = '' AND ({failed})" if rows.error else failed
        rows.fail(first, _FAILED, f"multiIf({reasons}, '')")

    def _read(self, rows: Rows) -> dict[ValuePredicate, tuple[str, str, str]]:
        """Columns of presence and number, and SQL of why there is none, of what is read as a number."""
        tests = list(dict.fromkeys(leaf for leaf in self.predicate.leaves() if isinstance(leaf, ValuePredicate)))
        if not tests:
            return {}
        there = {f"there{i}": rows.has(test.name) for i, test in enumerate(tests)}
        made = rows.add(**there, **{f"text{i}": rows.value(test.name) for i, test in enumerate(tests)})
        present, texts = made[: len(tests)], made[len(tests) :]
        conversions = [_CONVERSIONS[test.unit] for test in tests]
        numbers = {f"number{i}": c.value(text) for i, (c, text) in enumerate(zip(conversions, texts, strict=True))}
        problems = [c.problem(text) for c, text in zip(conversions, texts, strict=True)]
        return dict(zip(tests, zip(present, rows.add(**numbers), problems, strict=True), strict=True))

    @property
    def certain(self) -> bool:
        """Whether it never marks a line as an error."""
        return not any(isinstance(leaf, ValuePredicate) for leaf in self.predicate.leaves())

    def __str__(self) -> str:
        return f"| {self.predicate}"
