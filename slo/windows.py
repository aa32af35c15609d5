"""Burn-rate windows: Sloth's AlertWindows files, the default that is shipped as one, and Pyrra's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from app.durations import DurationMs, format_duration_ms
from app.errors import ConfigError, Problem
from app.labels import Labels
from app.yamlfile import Document, StrictModel, load_documents, read_documents, validate
from slo.period import DAY_MS
from slo.pyrra.windows import PyrraWindow, pyrra_windows
from slo.spec import BurnCondition

Severity = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = ("page", "ticket")
VERSION = "sloth.slok.dev/v1"
KIND = "AlertWindows"
DEFAULT_FILE = "google-30d.yaml"
WINDOWS_OF: dict[Severity, str] = {"page": "critical", "ticket": "warning"}
"""Which of Pyrra's alerts are a page, and which a ticket."""


@dataclass(frozen=True, slots=True)
class BurnRule:
    """An alert by windows: `key` names it within its SLO, `labels` tell it from the others of its severity."""

    key: str
    conditions: tuple[BurnCondition, ...]
    for_ms: int = 0
    labels: Labels = ()


class Windows(Protocol):
    """What watches an SLO whose file says nothing about windows."""

    @property
    def period_ms(self) -> int:
        """The period of an SLO that names none."""

    def rules(self, severity: Severity, period_length_ms: int) -> tuple[BurnRule, ...]:
        """The alerts of a severity for a period of this length; none where it is shorter than every long window."""

    def dropped(self, period_length_ms: int) -> tuple[BurnCondition, ...]:
        """What is left out for a period of this length, as it is shorter than the long window."""


@dataclass(frozen=True, slots=True)
class BurnPair:
    """A pair of windows that is over its limit once `share` of the budget is used within the long one."""

    severity: Severity
    long_ms: int
    short_ms: int
    share: Fraction

    def condition(self, period_ms: int) -> BurnCondition:
        """The pair for a period. The factor is exact: 28d, 5 % and 6h give 5.6 (binary 5.6000000000000005)."""
        return BurnCondition((self.long_ms, self.short_ms), self.share * Fraction(period_ms, self.long_ms))


@dataclass(frozen=True, slots=True)
class PeriodWindows:
    """The pairs for one period: an AlertWindows document."""

    period_ms: int
    pairs: tuple[BurnPair, ...]


@dataclass(frozen=True, slots=True)
class AlertWindows:
    """The pairs of each period; the first is that of SLOs that name none, and its shares hold for all other periods."""

    periods: tuple[PeriodWindows, ...]

    @property
    def period_ms(self) -> int:
        """The period of an SLO that names none."""
        return self.periods[0].period_ms

    def conditions(self, severity: Severity, period_length_ms: int) -> tuple[BurnCondition, ...]:
        """The conditions of a severity for a period of this length, fastest first."""
        fitting = [pair for pair in self._pairs(period_length_ms) if pair.long_ms <= period_length_ms]
        found = [pair.condition(period_length_ms) for pair in fitting if pair.severity == severity]
        return tuple(sorted(found, key=lambda c: -c.factor))

    def rules(self, severity: Severity, period_length_ms: int) -> tuple[BurnRule, ...]:
        """One alert a severity, which fires for any of its pairs, as Sloth has it."""
        conditions = self.conditions(severity, period_length_ms)
        return (BurnRule(severity, conditions),) if conditions else ()

    def dropped(self, period_length_ms: int) -> tuple[BurnCondition, ...]:
        """The pairs whose long window is longer than a period of this length."""
        too_long = [pair for pair in self._pairs(period_length_ms) if pair.long_ms > period_length_ms]
        return tuple(pair.condition(period_length_ms) for pair in too_long)

    def _pairs(self, period_length_ms: int) -> tuple[BurnPair, ...]:
        own = (period.pairs for period in self.periods if period.period_ms == period_length_ms)
        return next(own, self.periods[0].pairs)


@dataclass(frozen=True, slots=True)
class PyrraWindows:
    """Pyrra's pairs for SLOs of other formats: an alert each, critical ones as pages, warnings as tickets."""

    period_ms: int = 30 * DAY_MS

    def rules(self, severity: Severity, period_length_ms: int) -> tuple[BurnRule, ...]:
        """Two alerts a severity, each with the time it must hold, told apart by Pyrra's labels `long` and `short`."""
        windows = pyrra_windows(period_length_ms)
        return tuple(_pyrra_rule(severity, one) for one in windows if one.severity == WINDOWS_OF[severity])

    def dropped(self, period_length_ms: int) -> tuple[BurnCondition, ...]:
        """Nothing: they follow the period."""
        return ()


def _pyrra_rule(severity: Severity, window: PyrraWindow) -> BurnRule:
    labels = (("long", format_duration_ms(window.long_ms)), ("short", format_duration_ms(window.short_ms)))
    return BurnRule(f"{severity}-{window.factor}", (window.condition,), window.for_ms, labels)


class _Pair(StrictModel):
    error_budget_percent: float = Field(alias="errorBudgetPercent", gt=0, le=100)
    short_window: DurationMs = Field(alias="shortWindow", gt=0)
    long_window: DurationMs = Field(alias="longWindow", gt=0)


class _Pairs(StrictModel):
    quick: _Pair
    slow: _Pair


class _Spec(StrictModel):
    slo_period: DurationMs = Field(alias="sloPeriod", gt=0)
    page: _Pairs
    ticket: _Pairs


class _File(StrictModel):
    api_version: Literal["sloth.slok.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["AlertWindows"]
    spec: _Spec


def load_windows(source: Path | Literal["google", "pyrra"] = "google", interval_ms: int | None = None) -> Windows:
    """The windows of an AlertWindows file, the Workbook's (`google`), or Pyrra's.

    `interval_ms` is the length of the intervals events are counted in: no window of a file may be shorter.
    Raises ConfigError with every problem found.
    """
    if source == "pyrra":
        return PyrraWindows()
    if isinstance(source, Path):
        return windows_of(load_documents(source), interval_ms)
    text = resources.files("slo").joinpath(DEFAULT_FILE).read_text(encoding="utf-8")
    return windows_of(read_documents(DEFAULT_FILE, text), interval_ms)


def is_windows(document: Document) -> bool:
    """Whether a document is an AlertWindows, by its kind."""
    return isinstance(document.data, dict) and document.data.get("kind") == KIND


def windows_of(documents: Sequence[Document], interval_ms: int | None = None) -> AlertWindows:
    """The windows of documents, one a period. Raises ConfigError with every problem found."""
    problems: list[Problem] = []
    periods: list[PeriodWindows] = []
    for document in documents:
        try:
            found = _read(document, interval_ms)
        except ConfigError as error:
            problems += error.problems
            continue
        if any(other.period_ms == found.period_ms for other in periods):
            message = f"there are windows for {format_duration_ms(found.period_ms)} already"
            problems.append(document.problem(("spec", "sloPeriod"), message))
        periods.append(found)
    if problems:
        raise ConfigError(problems)
    return AlertWindows(tuple(periods))


def _read(document: Document, interval_ms: int | None) -> PeriodWindows:
    spec = validate(document, _File).spec
    problems: list[Problem] = []
    pairs: list[BurnPair] = []
    severities: tuple[tuple[Severity, _Pairs], ...] = (("page", spec.page), ("ticket", spec.ticket))
    for severity, both in severities:
        for speed, pair in (("quick", both.quick), ("slow", both.slow)):
            for key, message in _faults(pair, spec.slo_period, interval_ms):
                problems.append(document.problem(("spec", severity, speed, key), message))
            share = Fraction(repr(pair.error_budget_percent)) / 100
            pairs.append(BurnPair(severity, pair.long_window, pair.short_window, share))
    if problems:
        raise ConfigError(problems)
    return PeriodWindows(spec.slo_period, tuple(pairs))


def _faults(pair: _Pair, period_ms: int, interval_ms: int | None) -> list[tuple[str, str]]:
    found = []
    if pair.short_window >= pair.long_window:
        found.append(("shortWindow", f"must be shorter than longWindow, {format_duration_ms(pair.long_window)}"))
    if pair.long_window > period_ms:
        found.append(("longWindow", f"must not be longer than sloPeriod, {format_duration_ms(period_ms)}"))
    if interval_ms is not None and pair.short_window < interval_ms:
        interval = format_duration_ms(interval_ms)
        found.append(("shortWindow", f"is shorter than the interval events are counted in (slo.interval, {interval})"))
    return found
