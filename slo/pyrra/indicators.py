"""Pyrra's selectors as queries of events over `{{.window}}`, and the labels they give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import promql_parser as pq

from app.errors import Problem
from app.yamlfile import Document, KeyPath
from slo.pyrra.model import BoolGauge, Indicator, Latency, LatencyNative, Metric, Ratio
from slo.queries import SliQueryError, parse
from slo.spec import EventsSli, Query

_BUCKET = "le"
# Prometheus 2 writes le="1" and Prometheus 3 le="1.0" for the same bucket; quotes inside values have a backslash
_WHOLE_BUCKET = re.compile(r'(?<=[{,])le="([0-9]+)(?:\.0)?"')


@dataclass(frozen=True, slots=True)
class Selected:
    """An SLI, the labels its series are grouped by, and those all of them have."""

    sli: EventsSli
    grouping: tuple[str, ...]
    labels: dict[str, str]


@dataclass(slots=True)
class Reader:
    """Reads the indicator of a document; `problems` and `notices` say what is wrong or may surprise."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)

    def read(self, indicator: Indicator) -> Selected | None:
        """The SLI; None where it is wrong."""
        path: KeyPath = ("spec", "indicator")
        kinds: tuple[tuple[str, Ratio | Latency | LatencyNative | BoolGauge | None], ...] = (
            ("ratio", indicator.ratio),
            ("latency", indicator.latency),
            ("latencyNative", indicator.latency_native),
            ("bool_gauge", indicator.bool_gauge),
        )
        given = [(key, value) for key, value in kinds if value is not None]
        if len(given) != 1:
            self._tell(path, f"exactly one of {', '.join(key for key, _ in kinds)} is wanted")
            return None
        key, value = given[0]
        return self._selected((*path, key), value)

    def _selected(self, path: KeyPath, value: Ratio | Latency | LatencyNative | BoolGauge) -> Selected | None:
        match value:
            case Ratio():
                total = self._selector((*path, "total"), value.total)
                part = self._selector((*path, "errors"), value.errors)
                self._same((*path, "errors"), value.errors, value.total)
            case Latency():
                total = self._selector((*path, "total"), value.total)
                part = self._selector((*path, "success"), value.success)
                self._same((*path, "success"), value.success, value.total)
                self._bucket((*path, "success", "metric"), part)
            case LatencyNative():
                total = part = self._selector((*path, "total"), value.total)
            case BoolGauge():
                total = part = self._selector(path, value)
        if total is None or part is None:
            return None
        labels = {name: text for name, text in _equal(total) if name not in value.grouping}
        return Selected(_sli(value, part, total), value.grouping, labels)

    def _selector(self, path: KeyPath, metric: Metric) -> pq.VectorSelector | None:
        at = (*path, "metric")
        try:
            tree = parse(metric.metric)
        except SliQueryError as error:
            self._tell(at, str(error))
            return None
        if not isinstance(tree, pq.VectorSelector) or tree.offset is not None or tree.at is not None:
            self._tell(at, 'a plain selector is wanted, like http_requests_total{job="shop"}')
            return None
        return tree

    def _bucket(self, path: KeyPath, success: pq.VectorSelector | None) -> None:
        if success is None:
            return
        buckets = [matcher.value for matcher in success.matchers.matchers if matcher.name == _BUCKET]
        if not buckets or not _is_number(buckets[0]):
            self._tell(path, 'must name the bucket that is fast enough by its label le, like le="0.5"')

    def _same(self, path: KeyPath, part: Metric, total: Metric) -> None:
        if part.metric == total.metric:
            self.notices.append(self.document.problem((*path, "metric"), "is the same as total: all events are in it"))

    def _tell(self, path: KeyPath, message: str) -> None:
        self.problems.append(self.document.problem(path, message))


def _sli(
    value: Ratio | Latency | LatencyNative | BoolGauge, part: pq.VectorSelector, total: pq.VectorSelector
) -> EventsSli:
    def query(function: str, selector: pq.VectorSelector) -> Query:
        return Query(_summed(value.grouping, f"{function}({_over_window(selector)})"))

    match value:
        case Ratio():
            return EventsSli(bad=query("increase", part), total=query("increase", total))
        case Latency():
            return EventsSli(bad=None, total=query("increase", total), good=query("increase", part))
        case BoolGauge():
            return EventsSli(bad=None, total=query("count_over_time", total), good=query("sum_over_time", total))
        case LatencyNative():
            histogram = query("increase", total).text
            count = f"histogram_count({histogram})"
            # without observations the fraction is not a number: the comparison leaves it out
            good = f"histogram_fraction(0, {value.latency / 1000:g}, {histogram}) * {count} >= 0"
            return EventsSli(bad=None, total=Query(count), good=Query(good))


def _summed(grouping: tuple[str, ...], text: str) -> str:
    by = f" by ({', '.join(grouping)}) " if grouping else ""
    return f"sum{by}({text})"


def _over_window(selector: pq.VectorSelector) -> str:
    text = _WHOLE_BUCKET.sub(r'le=~"\1(\\\\.0)?"', selector.prettify())
    return text + "[{{.window}}]"


def _equal(selector: pq.VectorSelector) -> Iterator[tuple[str, str]]:
    for matcher in selector.matchers.matchers:
        if matcher.op == pq.MatchOp.Equal and matcher.name != "__name__":
            yield matcher.name, matcher.value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
