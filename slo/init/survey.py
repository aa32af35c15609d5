"""Looks which known metrics a service has, and proposes SLOs from what they did lately."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from slo.burn import budget_of
from slo.init.known import Counter, Gauge, known_metrics

LADDER = (99.9, 99.5, 99.0, 98.0, 95.0, 90.0, 80.0, 50.0)
"""The objectives that are proposed, the strictest that was kept. A first one is not stricter than 99.9."""
FALLBACK = 99.0
"""Proposed where nothing is known of what was kept."""
MAX_METRICS = 50
"""Of each kind that is known; each costs a few queries."""
_FAST_ENOUGH = 0.99

Sample = tuple[Mapping[str, str], float]


class Source(Protocol):
    """What is asked of a running service; each call waits for its answer."""

    def names(self) -> frozenset[str]:
        """The names of all metrics of the time that is looked at."""

    def labels(self, metric: str) -> frozenset[str]:
        """The labels that any series of a metric has."""

    def query(self, promql: str) -> list[Sample]:
        """The answer to an instant query."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An SLO of a service. `seen` says in words what its objective comes from."""

    name: str
    description: str
    error_query: str
    total_query: str
    objective: float
    seen: str
    grouping: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """The SLOs proposed for a service, at least one."""

    name: str
    slos: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """Services by name, and what is known but of no use, in words."""

    services: tuple[Service, ...]
    left_out: tuple[str, ...]


def survey(source: Source, lookback: str) -> Survey:
    """What a source has. `lookback` is a Prometheus duration: how far back objectives are measured."""
    return _Surveyor(source, lookback).look()


def objective_of(good: float, total: float) -> float:
    """The strictest objective that was kept, and that allows at least one failure in as many events."""
    if not total > 0:
        return FALLBACK
    bad, events = Fraction(total) - Fraction(good), Fraction(total)
    return next((step for step in LADDER if budget_of(step) * events >= max(bad, Fraction(1))), LADDER[-1])


class _Surveyor:
    def __init__(self, source: Source, lookback: str) -> None:
        self._source = source
        self._lookback = lookback
        self._names = source.names()
        self._slos: dict[str, list[Proposal]] = {}
        self._left_out: list[str] = []

    def look(self) -> Survey:
        known = known_metrics()
        unknown = set(self._names)
        for counter in known.counters:
            # a metric is what the first entry that knows it says, not again what a more general one does
            metrics = sorted(name for name in unknown if counter.matches(name))
            unknown -= set(metrics)
            for metric in metrics[:MAX_METRICS]:
                self._counter(counter, metric)
            self._left_out += [f"{metric}: more than {MAX_METRICS} like it" for metric in metrics[MAX_METRICS:]]
        for gauge in known.gauges:
            if gauge.metric in self._names:
                self._gauge(gauge)
        services = [Service(name, tuple(slos)) for name, slos in sorted(self._slos.items())]
        return Survey(tuple(services), tuple(dict.fromkeys(self._left_out)))

    def _counter(self, counter: Counter, metric: str) -> None:
        labels = self._source.labels(metric)
        by = _first(counter.by, labels)
        code = _first(counter.code, labels)
        if code is None:
            wanted = " or ".join(counter.code)
            self._left_out.append(f"{metric}: no label {wanted} that would tell errors")
            return
        failed = f'{code}=~"{counter.errors}"'
        totals = self._increase(metric, by, counter.where)
        errors = self._increase(metric, by, counter.where, failed)
        durations = self._durations(counter, metric, by)
        for service, total in totals.items():
            if any(slo.name == "availability" for slo in self._slos.get(service, ())):
                self._left_out.append(f"{metric}: the availability of {service} is counted by another metric")
                continue
            of = _is(by, service)
            self._add(
                service,
                Proposal(
                    name="availability",
                    description="Requests are answered.",
                    error_query=f"sum(rate({_selector(metric, of, counter.where, failed)}[{{{{.window}}}}]))",
                    total_query=f"sum(rate({_selector(metric, of, counter.where)}[{{{{.window}}}}]))",
                    objective=objective_of(total - errors.get(service, 0.0), total),
                    seen=self._seen(metric, total - errors.get(service, 0.0), total),
                ),
            )
            if service in durations:
                self._latency(counter, service, by, *durations[service])

    def _durations(self, counter: Counter, metric: str, by: str | None) -> dict[str, tuple[str, dict[str, float]]]:
        """By service the metric of its buckets, and their counts by `le`."""
        buckets = counter.buckets(metric, self._names)
        if buckets is None or (by is not None and by not in self._source.labels(buckets)):
            return {}
        found: dict[str, tuple[str, dict[str, float]]] = {}
        grouped = ", ".join(label for label in (by, "le") if label)
        selector = _selector(buckets, counter.where)
        for labels, count in self._source.query(f"sum by ({grouped}) (increase({selector}[{self._lookback}]))"):
            if service := labels.get(by, "") if by else "all":
                found.setdefault(service, (buckets, {}))[1][labels.get("le", "")] = count
        return found

    def _latency(self, counter: Counter, service: str, by: str | None, buckets: str, counts: dict[str, float]) -> None:
        le = fast_enough(counts)
        if le is None:
            return
        of = _is(by, service)
        count = _selector(buckets.removesuffix("_bucket") + "_count", of, counter.where)
        fast = _selector(buckets, of, counter.where, f'le="{le}"')
        total = max(counts.values())
        self._add(
            service,
            Proposal(
                name="latency",
                description=f"Requests are answered within {float(le):g} {counter.unit}.",
                error_query=f"sum(rate({count}[{{{{.window}}}}])) - sum(rate({fast}[{{{{.window}}}}]))",
                total_query=f"sum(rate({count}[{{{{.window}}}}]))",
                objective=objective_of(counts[le], total),
                seen=self._seen(buckets, counts[le], total),
            ),
        )

    def _gauge(self, gauge: Gauge) -> None:
        by = _first(gauge.by, self._source.labels(gauge.metric))
        around = f" by ({by}) " if by else ""
        totals = self._by_service(f"sum{around}(count_over_time({gauge.metric}[{self._lookback}]))", by)
        goods = self._by_service(f"sum{around}(sum_over_time({gauge.metric}[{self._lookback}]))", by)
        keeps = f" by ({', '.join(gauge.grouping)}) " if gauge.grouping else ""
        for service, total in totals.items():
            if gauge.last and service in self._slos:
                continue
            selector = f"{_selector(gauge.metric, _is(by, service))}[{{{{.window}}}}]"
            count = f"sum{keeps}(count_over_time({selector}))"
            self._add(
                service,
                Proposal(
                    name=gauge.name,
                    description=gauge.says,
                    error_query=f"{count} - sum{keeps}(sum_over_time({selector}))",
                    total_query=count,
                    objective=objective_of(goods.get(service, 0.0), total),
                    seen=self._seen(gauge.metric, goods.get(service, 0.0), total),
                    grouping=gauge.grouping,
                ),
            )

    def _increase(self, metric: str, by: str | None, *matchers: str) -> dict[str, float]:
        around = f" by ({by}) " if by else ""
        return self._by_service(f"sum{around}(increase({_selector(metric, *matchers)}[{self._lookback}]))", by)

    def _by_service(self, promql: str, by: str | None) -> dict[str, float]:
        found = {labels.get(by, "") if by else "all": value for labels, value in self._source.query(promql)}
        return {service: value for service, value in sorted(found.items()) if service}

    def _add(self, service: str, proposal: Proposal) -> None:
        self._slos.setdefault(service, []).append(proposal)

    def _seen(self, metric: str, good: float, total: float) -> str:
        if not total > 0:
            return f"{metric}: nothing in the last {self._lookback}, so the objective is a guess"
        kept = math.floor(min(max(good / total, 0), 1) * 1e5) / 1e3
        return f"{metric}: of {total:,.0f} in the last {self._lookback} {kept:g} % were good"


def fast_enough(counts: Mapping[str, float]) -> str | None:
    """The bucket (its `le` as it is written) next above the 99th percentile, or the highest finite one below it.

    None where there is no finite bucket, or nothing in any.
    """
    total = max(counts.values(), default=0.0)
    finite = sorted((le for le in counts if _is_finite(le)), key=float)
    if not total > 0 or not finite:
        return None
    return next((le for le in finite if counts[le] >= _FAST_ENOUGH * total), finite[-1])


def _is_finite(le: str) -> bool:
    try:
        return math.isfinite(float(le))
    except ValueError:
        return False


def _first(wanted: tuple[str, ...], there: frozenset[str]) -> str | None:
    return next((label for label in wanted if label in there), None)


def _is(label: str | None, value: str) -> str:
    if label is None:
        return ""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{label}="{escaped}"'


def _selector(metric: str, *matchers: str) -> str:
    inside: Iterator[str] = (matcher for matcher in matchers if matcher)
    text = ",".join(inside)
    return f"{metric}{{{text}}}" if text else metric
