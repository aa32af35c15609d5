"""What a steady OTLP sender repeats, kept from request to request: attribute bytes → refs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.series import SeriesIndex, SeriesRegistry

MetricKey = tuple[bytes, str, str, str]
"""A resource's bytes, and a metric's name, unit and kind."""


@dataclass(slots=True)
class Generation:
    """Everything cached for one index. Safe to use from several threads: entries are only ever added.

    `points` has the refs of a data point's series by its metric's number and the bytes that name the series.
    """

    index: SeriesIndex
    points: dict[tuple[int, bytes], tuple[int, ...]] = field(default_factory=dict)
    _numbers: dict[MetricKey, int] = field(default_factory=dict)
    _next: Iterator[int] = field(default_factory=itertools.count)

    def number(self, key: MetricKey) -> int:
        """A number for a metric of a resource, the same each time."""
        number = self._numbers.get(key)
        # of two threads that meet a metric first, the one whose number was kept is right
        return self._numbers.setdefault(key, next(self._next)) if number is None else number


class PointCache:
    """Hands out the generation in force; a new, empty one when the index starts anew or the bound is met."""

    def __init__(self, registry: SeriesRegistry, limit: int = 500_000) -> None:
        self._registry = registry
        self._limit = limit
        self._generation = Generation(registry.current)

    def current(self) -> Generation:
        """The generation to use for one whole request."""
        index = self._registry.current
        if self._generation.index is not index or len(self._generation.points) > self._limit:
            self._generation = Generation(index)
        return self._generation
