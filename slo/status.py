"""What is known of an SLO after a cycle, for the API."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slo.alerts import AlertBook
from slo.burn import PairBurn, Sums, budget_left, budget_of, burn_rate, error_ratio, judge
from slo.history import History
from slo.spec import Severity, SloSpec
from slo.windows import AlertWindows


@dataclass(frozen=True, slots=True)
class PairStatus:
    """A pair of windows, and since when its severity's alert fires (None: it does not)."""

    burn: PairBurn
    since_ms: int | None


@dataclass(frozen=True, slots=True)
class SloStatus:
    """An SLO at the end of the newest counted interval; everything is empty before the first."""

    spec: SloSpec
    period: Sums
    budget_left: float
    burn_rates: tuple[tuple[int, float], ...] = ()
    """(window in milliseconds, burn rate), shortest first."""
    pairs: tuple[PairStatus, ...] = ()
    to_ms: int | None = None
    error: str | None = None
    """Why it could not be counted last time; the figures are then those of the time before."""

    @property
    def error_ratio(self) -> float:
        """Bad by total over the period, NaN without traffic."""
        return error_ratio(self.period)

    def failed(self, error: str) -> SloStatus:
        """The same figures, with an error."""
        return replace(self, error=error)

    def fastest(self, severity: Severity) -> PairBurn | None:
        """The firing pair of a severity with the highest factor."""
        found = [p.burn for p in self.pairs if p.burn.firing and p.burn.pair.severity == severity]
        return max(found, key=lambda b: b.pair.factor, default=None)

    def undecided(self, severity: Severity) -> bool:
        """Whether no pair of a severity fires, but the history of one is still being read."""
        own = [p.burn for p in self.pairs if p.burn.pair.severity == severity]
        return any(not b.known for b in own) and not any(b.firing for b in own)


def unknown(spec: SloSpec) -> SloStatus:
    """An SLO nothing was counted of."""
    return SloStatus(spec, Sums(0.0, 0.0, 0, 0), float("nan"))


def assess(history: History, windows: AlertWindows) -> SloStatus:
    """An SLO as its counts have it."""
    spec = history.spec
    if history.new:
        return unknown(spec)
    budget = budget_of(spec.objective)
    period = history.window(spec.period_ms)
    burns = judge(windows.pairs, budget, history.window, history.known_ms)
    return SloStatus(
        spec,
        period,
        budget_left(period, budget),
        tuple((w, burn_rate(error_ratio(history.window(w)), budget)) for w in windows.lengths_ms),
        tuple(PairStatus(burn, None) for burn in burns),
        history.to_ms,
    )


def with_alerts(status: SloStatus, book: AlertBook) -> SloStatus:
    """The status with the beginning of each firing alert beside the pairs that fire."""
    pairs = []
    for item in status.pairs:
        alert = book.current(status.spec.id, item.burn.pair.severity)
        since = alert.since_ms if alert and alert.ended_ms is None and item.burn.firing else None
        pairs.append(replace(item, since_ms=since))
    return replace(status, pairs=tuple(pairs))
