"""Burn-rate windows: Sloth's AlertWindows files, and the default that is shipped as one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field

from app.durations import DurationMs, format_duration_ms
from app.errors import ConfigError, Problem
from app.yamlfile import Document, StrictModel, load_documents, read_documents, validate
from slo.spec import Severity

KIND = "AlertWindows"
DEFAULT_FILE = "google-30d.yaml"


@dataclass(frozen=True, slots=True)
class BurnPair:
    """An alert condition: the budget burns faster than `factor` over the long and over the short window."""

    severity: Severity
    long_ms: int
    short_ms: int
    factor: Fraction
    """How many times faster than what would use up the budget exactly at the end of the period."""


@dataclass(frozen=True, slots=True)
class AlertWindows:
    """The period of an objective and the pairs that watch it, fastest first within a severity."""

    period_ms: int
    pairs: tuple[BurnPair, ...]

    @property
    def lengths_ms(self) -> tuple[int, ...]:
        """Every window's length, shortest first, none twice."""
        return tuple(sorted({w for pair in self.pairs for w in (pair.long_ms, pair.short_ms)}))

    def of(self, severity: Severity) -> tuple[BurnPair, ...]:
        """The pairs of a severity."""
        return tuple(pair for pair in self.pairs if pair.severity == severity)


def burn_factor(error_budget_percent: float, period_ms: int, long_ms: int) -> Fraction:
    """The burn rate that uses up a share of the budget within the long window: percent / 100 * period / long.

    Exact: 28d, 5 % and 6h give 5.6, where binary arithmetic says 5.6000000000000005.
    """
    return Fraction(repr(float(error_budget_percent))) / 100 * Fraction(period_ms, long_ms)


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


def load_windows(path: Path | None = None, interval_ms: int | None = None) -> AlertWindows:
    """The windows of a file, the Workbook's for 30 days without one.

    `interval_ms` is the length of the intervals events are counted in: no window may be shorter.
    Raises ConfigError with every problem found.
    """
    if path is None:
        text = resources.files("slo").joinpath(DEFAULT_FILE).read_text(encoding="utf-8")
        documents = read_documents(DEFAULT_FILE, text)
    else:
        documents = load_documents(path)
    if len(documents) > 1:
        line = documents[1].lines.get(())
        raise ConfigError([Problem(documents[0].file, line, "", "one YAML document is wanted, here is another")])
    return windows_of(documents[0], interval_ms)


def windows_of(document: Document, interval_ms: int | None = None) -> AlertWindows:
    """The windows of one document. Raises ConfigError with every problem found."""
    spec = validate(document, _File).spec
    problems: list[Problem] = []
    pairs: list[BurnPair] = []
    severities: tuple[tuple[Severity, _Pairs], ...] = (("page", spec.page), ("ticket", spec.ticket))
    for severity, both in severities:
        for speed, pair in (("quick", both.quick), ("slow", both.slow)):
            for key, message in _faults(pair, spec.slo_period, interval_ms):
                problems.append(document.problem(("spec", severity, speed, key), message))
            factor = burn_factor(pair.error_budget_percent, spec.slo_period, pair.long_window)
            pairs.append(BurnPair(severity, pair.long_window, pair.short_window, factor))
    if problems:
        raise ConfigError(problems)
    return AlertWindows(spec.slo_period, tuple(sorted(pairs, key=lambda p: (p.severity, -p.factor))))


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
