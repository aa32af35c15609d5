"""From intervals to what a budget is a share of: events, or time slices (the budgetingMethod of OpenSLO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.store.slo_events import SloEvents
from slo.burn import at_least, exact
from slo.measure import Bools, Floats, Ints
from slo.spec import Component, Occurrences, SloSpec, Timeslices

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
SLOTHS_WINDOWS_MS = (300_000, 1_800_000, _HOUR_MS, 2 * _HOUR_MS, 6 * _HOUR_MS, _DAY_MS, 3 * _DAY_MS)
"""Those that dashboards made for Sloth ask for, whatever the alerts look at."""


@dataclass(frozen=True, slots=True)
class Units:
    """What is counted, one row an interval or slice that anything is known of, by start. Arrays of one length."""

    starts_ms: Ints
    bad: Floats
    total: Floats
    """Of slices: 1 with traffic, 0 without."""


def unit_of(spec: SloSpec, interval_ms: int) -> int:
    """The length of what windows of an SLO are sums of: intervals, or its slices."""
    return interval_ms if isinstance(spec.budgeting, Occurrences) else spec.budgeting.slice_ms


def windows_of(spec: SloSpec, interval_ms: int) -> tuple[int, ...]:
    """The windows an SLO is measured over: those of its alerts and Sloth's, where they hold a unit."""
    unit_ms = unit_of(spec, interval_ms)
    return tuple(sorted({*spec.windows_ms, *(w for w in SLOTHS_WINDOWS_MS if w >= unit_ms)}))


def units_of(spec: SloSpec, rows: Sequence[SloEvents], interval_ms: int) -> tuple[tuple[Units, ...], int]:
    """What windows of an SLO are sums of, and the length of each unit in milliseconds.

    `rows` are intervals by component, in order of start and without those that maintenance takes out. Occurrences stay
    by component; time slices of several components are one slice already. A slice that is not over yet is there too:
    whoever sums has to stop before it.
    """
    if isinstance(spec.budgeting, Occurrences):
        return tuple(Units(one.starts_ms, one.total - one.good, one.total) for one in rows), interval_ms
    slice_ms = spec.budgeting.slice_ms
    return (_joined(spec, [_sliced(one, slice_ms) for one in rows]),), slice_ms


def _sliced(rows: SloEvents, slice_ms: int) -> Units:
    """The events of each slice."""
    slices = rows.starts_ms // slice_ms * slice_ms
    firsts = np.flatnonzero(np.diff(slices, prepend=slices[:1] - 1))
    bad, total = (
        np.add.reduceat(column, firsts) if len(firsts) else np.empty(0)
        for column in (rows.total - rows.good, rows.total)
    )
    return Units(slices[firsts], bad, total)


def _joined(spec: SloSpec, components: Sequence[Units]) -> Units:
    """The slices of all components as the composite's: each bad in part or altogether, or without traffic."""
    starts = np.unique(np.concatenate([one.starts_ms for one in components]))
    bad, traffic = np.zeros(len(starts)), np.zeros(len(starts), bool)
    for component, one in zip(spec.components, components, strict=True):
        at = np.searchsorted(starts, one.starts_ms)
        some = one.total > 0
        traffic[at] |= some
        if isinstance(spec.budgeting, Timeslices):
            bad[at] = np.maximum(bad[at], some & ~_good(component, spec.budgeting, one))
        else:
            weight = component.weight if spec.composite else 1.0
            bad[at] += weight * _missing(one)
    return Units(starts, np.minimum(bad, 1.0), traffic.astype(np.float64))


def _good(component: Component, budgeting: Timeslices, one: Units) -> Bools:
    target = budgeting.target if component.timeslice_target is None else component.timeslice_target
    return at_least(one.total - one.bad, one.total, exact(target))


def _missing(one: Units) -> Floats:
    share = np.divide(one.bad, one.total, out=np.zeros(len(one.total)), where=one.total > 0)
    return np.clip(share, 0.0, 1.0)
