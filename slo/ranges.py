"""Ranges of time, [from, to) in milliseconds, kept as a few that do not touch."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range], apart_ms: int = 0) -> list[Range]:
    """The same time in order, in ranges more than `apart_ms` apart: nearer ones, and what lies between, are one."""
    found: list[Range] = []
    for begin, end in sorted(ranges):
        if found and begin - found[-1][1] <= apart_ms:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def fewest(ranges: list[Range], most: int) -> list[Range]:
    """At most so many: of ranges in order that do not touch, the nearest neighbours become one until they are."""
    surplus = len(ranges) - most
    if surplus <= 0:
        return ranges
    gaps = [ranges[n + 1][0] - ranges[n][1] for n in range(len(ranges) - 1)]
    closed = set(sorted(range(len(gaps)), key=gaps.__getitem__)[:surplus])
    found: list[Range] = []
    for n, one in enumerate(ranges):
        if n - 1 in closed:
            found[-1] = found[-1][0], one[1]
        else:
            found.append(one)
    return found


def within(ranges: Iterable[Range], from_ms: int, to_ms: int) -> list[Range]:
    """What of them lies in [from_ms, to_ms)."""
    cut = ((max(begin, from_ms), min(end, to_ms)) for begin, end in ranges)
    return [(begin, end) for begin, end in cut if begin < end]
