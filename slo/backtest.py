"""What the alerts of an SLO would have done over a range of its past, evaluation by evaluation as the live engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from app.store.slo_events import SloEvents
from slo.burn import budget_used, burn_rate, overall_ratio, parts_of
from slo.judge import Policy, Verdict, condition_of, judge
from slo.measure import Bools, Floats, Ints, Measured
from slo.past import Past, Ranges
from slo.spec import AlertSpec, BurnCondition, Condition, SloSpec
from slo.state import INACTIVE, AlertState, advance
from slo.status import SloStatus, assess, with_alerts

_PART = 50_000


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert that would have fired. Times in milliseconds since the epoch."""

    alert: AlertSpec
    condition: Condition
    """The one it began with."""
    starts_ms: int
    ends_ms: int | None
    """None while it still fires at the end of the range."""
    budget_left: float
    """The share of the period's budget that was left when it began; NaN without traffic."""
    peak_burn: float | None
    """The highest burn rate of the condition's long window while it fired; None for other conditions."""


@dataclass(frozen=True, slots=True)
class Series:
    """Figures to draw, arrays of (n,): n evaluations, evenly spread."""

    at_ms: Ints
    budget_left: Floats
    error_ratio: Floats
    """Of what came since the point before."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have happened from the first to the last evaluation."""

    spec: SloSpec
    from_ms: int
    to_ms: int
    alerts: tuple[PastAlert, ...]
    """In the order in which they began."""
    bad: float
    """Of the intervals (or slices) that start in [from, to); NaN for a composite of occurrences, as `total`."""
    total: float
    error_ratio: float
    """Of the same; NaN without traffic."""
    status: SloStatus
    """The SLO at the last evaluation: the period's budget, all windows, and how far each alert is."""
    series: Series


def backtest(
    spec: SloSpec,
    rows: Sequence[SloEvents],
    maintenance: Ranges,
    from_ms: int,
    to_ms: int,
    interval_ms: int,
    policy: Policy,
    known_from_ms: int,
    points: int = 500,
) -> Backtest:
    """Evaluates at every interval's end in [from_ms, to_ms].

    `rows` are the counts by component of the spec, all there are of intervals that start in [known_from_ms, to_ms), by
    start. For agreement with the live engine they begin at `slo.past.first_needed_ms(spec, from_ms, interval_ms)` or
    before; windows that reach further back than `known_from_ms` are undecided, as while history is being read.
    Alerts are inactive before the first evaluation: one that was firing already begins there. Counts and maintenance
    are taken as they are now, also where samples came late. `points` bounds the series. Raises ValueError when no
    interval ends in the range.
    """
    first_ms, last_ms = -(-from_ms // interval_ms) * interval_ms, to_ms // interval_ms * interval_ms
    if first_ms > last_ms:
        raise ValueError("no interval ends in the range")
    past = Past(spec, rows, maintenance, interval_ms, known_from_ms)
    runs = [_Run(alert) for alert in spec.alerts]
    for part_ms in range(first_ms, last_ms + 1, _PART * interval_ms):
        end_ms = min(last_ms + 1, part_ms + _PART * interval_ms)
        measured = past.measured(np.arange(part_ms, end_ms, interval_ms, dtype=np.int64))
        verdicts, figures = judge(spec, measured, policy), _Figures(spec, measured)
        for run in runs:
            run.go_on(verdicts[run.alert.key], measured.at_ms, figures)
    status = assess([spec], past.measured(np.array([last_ms])), policy)[0]
    bad, total, ratio = _whole(past, first_ms, last_ms)
    return Backtest(
        spec,
        first_ms,
        last_ms,
        tuple(sorted((alert for run in runs for alert in run.alerts), key=lambda alert: alert.starts_ms)),
        bad,
        total,
        ratio,
        with_alerts(status, _States(runs)),
        _series(past, np.arange(first_ms, last_ms + 1, interval_ms), points),
    )


class _Figures:
    """What is told of alerts at n evaluations, worked out when it is asked for."""

    def __init__(self, spec: SloSpec, measured: Measured) -> None:
        self._spec = spec
        self._measured = measured
        self._burns: dict[int, Floats] = {}
        self._left: Floats | None = None

    def left(self, n: int) -> float:
        """The share of the budget that is left at an evaluation."""
        if self._left is None:
            self._left = 1 - budget_used(self._spec, self._measured)
        return float(self._left[n])

    def peak(self, window_ms: int, first: int, last: int) -> float:
        """The highest burn rate of a window at evaluations [first, last); -inf without traffic in any."""
        if window_ms not in self._burns:
            self._burns[window_ms] = burn_rate(parts_of(self._spec), self._measured.windows[window_ms])
        return float(np.fmax.reduce(self._burns[window_ms][first:last], initial=-np.inf))


class _Run:
    """One alert through all evaluations. Its state is worked out only where it may change."""

    def __init__(self, alert: AlertSpec) -> None:
        self.alert = alert
        self.alerts: list[PastAlert] = []
        self.state = INACTIVE

    def go_on(self, verdict: Verdict, at_ms: Ints, figures: _Figures) -> None:
        """Takes the next evaluations, in order."""
        for first, last in _stretches(verdict.firing, verdict.held):
            self._step(first, verdict, at_ms, figures)
            if verdict.firing[first] and self.state.firing_ms is None:
                assert self.state.pending_ms is not None
                due = first + int(np.searchsorted(at_ms[first:last], self.state.pending_ms + self.alert.for_ms))
                if due < last:
                    self._step(due, verdict, at_ms, figures)
            self._raise_peak(first, last, at_ms, figures)

    def _step(self, n: int, verdict: Verdict, at_ms: Ints, figures: _Figures) -> None:
        firing, held, now_ms = bool(verdict.firing[n]), bool(verdict.held[n]), int(at_ms[n])
        old = self.state
        self.state = advance(old, now_ms, firing=firing, held=held, for_ms=self.alert.for_ms)
        if old.firing_ms is not None and self.state.firing_ms is None:
            self.alerts[-1] = replace(self.alerts[-1], ends_ms=now_ms)
        elif old.firing_ms is None and self.state.firing_ms is not None:
            condition = condition_of(self.alert, int(verdict.condition[n]))
            peak = -np.inf if isinstance(condition, BurnCondition) else None
            self.alerts.append(PastAlert(self.alert, condition, now_ms, None, figures.left(n), peak))

    def _raise_peak(self, first: int, last: int, at_ms: Ints, figures: _Figures) -> None:
        if self.state.firing_ms is None:
            return
        now = self.alerts[-1]
        if isinstance(now.condition, BurnCondition) and now.peak_burn is not None:
            begin = first + int(np.searchsorted(at_ms[first:last], now.starts_ms))
            peak = max(now.peak_burn, figures.peak(now.condition.long_ms, begin, last))
            self.alerts[-1] = replace(now, peak_burn=peak)


class _States:
    def __init__(self, runs: Sequence[_Run]) -> None:
        self._states = {run.alert.key: run.state for run in runs}

    def state(self, slo: str, alert: str) -> AlertState:
        """As `slo.status.States`."""
        return self._states[alert]


def _stretches(firing: Bools, held: Bools) -> list[tuple[int, int]]:
    """[first, last) of each stretch of evaluations that say the same."""
    changes = np.flatnonzero((firing[1:] != firing[:-1]) | (held[1:] != held[:-1])) + 1
    edges = [0, *changes.tolist(), len(firing)]
    return list(pairwise(edges))


def _whole(past: Past, first_ms: int, last_ms: int) -> tuple[float, float, float]:
    unit_ms = past.unit_ms
    begin = np.array([-(-first_ms // unit_ms) * unit_ms])
    sums = past.sums(begin, np.maximum(begin, last_ms // unit_ms * unit_ms))
    single = len(sums) == 1
    bad, total = (float(sums[0].bad[0]), float(sums[0].total[0])) if single else (np.nan, np.nan)
    return bad, total, float(overall_ratio(past.spec, sums)[0])


def _series(past: Past, at_ms: Ints, points: int) -> Series:
    picked = at_ms[np.unique(np.linspace(0, len(at_ms) - 1, min(points, len(at_ms))).round().astype(np.int64))]
    end_ms = picked // past.unit_ms * past.unit_ms
    before_ms = np.concatenate([end_ms[:1] - past.unit_ms, end_ms[:-1]])
    left = 1 - budget_used(past.spec, past.measured(picked))
    return Series(picked, left, overall_ratio(past.spec, past.sums(before_ms, end_ms)))
