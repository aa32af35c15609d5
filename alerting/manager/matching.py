"""Finding the few of many sets of matchers that a label set may satisfy, without asking each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from app.labels import Labels, Matcher, MatchOp

T = TypeVar("T")


class MatcherIndex(Generic[T]):
    """Things by one label they want to have a certain value; those that want none stand by themselves."""

    def __init__(self, things: Iterable[tuple[tuple[Matcher, ...], T]]) -> None:
        self._by_pair: dict[tuple[str, str], list[T]] = {}
        self._others: list[T] = []
        for matchers, thing in things:
            pair = next(((m.name, m.value) for m in matchers if m.op is MatchOp.EQUAL and m.value), None)
            (self._others if pair is None else self._by_pair.setdefault(pair, [])).append(thing)

    def candidates(self, labels: Labels) -> list[T]:
        """The things whose matchers may all match; each has to be asked still."""
        found = list(self._others)
        for pair in labels:
            found += self._by_pair.get(pair, ())
        return found


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher matches."""
    return all(matcher.matches_labels(labels) for matcher in matchers)
