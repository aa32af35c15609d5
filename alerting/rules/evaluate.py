"""One evaluation of a rule: what its query gave becomes samples, and the alerts of alerting rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alerting.rules.expand import Expander
from alerting.rules.spec import Rule
from alerting.rules.state import ActiveAlert, Alerts, Found
from app.errors import QueryFailed
from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.result import QueryResult

ALERTS = "ALERTS"
FOR_STATE = "ALERTS_FOR_STATE"
ALERT_NAME = "alertname"
ALERT_STATE = "alertstate"


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a series, without its time."""

    labels: Labels
    value: float | Histogram


def vector_of(result: QueryResult) -> list[Sample]:
    """The samples of an instant query. Raises QueryFailed where it gives no vector or scalar."""
    if result.kind == "scalar":
        return [Sample((), float(result.values[0, 0]))]
    if result.kind != "vector":
        raise QueryFailed("rule result is not a vector or scalar")
    native = result.histograms
    return [
        Sample(labels, native[i, 0] if native is not None and native[i, 0] is not None else value)
        for i, (labels, value) in enumerate(zip(result.labels, result.values[:, 0].tolist(), strict=True))
    ]


def recorded(rule: Rule, vector: Sequence[Sample], limit: int) -> list[Sample]:
    """The samples of a recording rule. Raises QueryFailed where two have the same labels, or there are too many."""
    own = {METRIC_NAME: rule.name, **dict(rule.labels)}
    samples = [Sample(labels_from({**dict(sample.labels), **own}), sample.value) for sample in vector]
    if len({sample.labels for sample in samples}) < len(samples):
        raise QueryFailed("vector contains metrics with the same labelset after applying rule labels")
    if 0 < limit < len(samples):
        raise QueryFailed(f"exceeded limit of {limit} with {len(samples)} series")
    return samples


class AlertMaker:
    """Makes the labels and annotations of a rule's alerts; those of a series that has not changed are not made anew."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        templated = [text for _, text in (*rule.labels, *rule.annotations) if "{{" in text]
        # what asks the store, for the time, or for what a reload changes may say something else the next time
        words = ("query", "now", "template", "xternalLabels")
        self._steady = not any(word in text for text in templated for word in words)
        self._plain = not templated
        self._known: dict[tuple[Labels, float], tuple[Labels, Labels]] = {}

    def found(self, vector: Sequence[Sample], expand: Expander) -> dict[Labels, Found]:
        """The alerts of an evaluation by labels. Raises QueryFailed where two have the same."""
        known, kept = self._known, dict[tuple[Labels, float], tuple[Labels, Labels]]()
        alerts: dict[Labels, Found] = {}
        for sample in vector:
            value = 0.0 if isinstance(sample.value, Histogram) else sample.value
            key = sample.labels, 0.0 if self._plain else value
            made = known.get(key) if self._steady else None
            if made is None:
                made = self._made(sample, expand)
            kept[key] = made
            labels, annotations = made
            if labels in alerts:
                raise QueryFailed("vector contains metrics with the same labelset after applying alert labels")
            alerts[labels] = Found(value, annotations)
        self._known = kept
        return alerts

    def _made(self, sample: Sample, expand: Expander) -> tuple[Labels, Labels]:
        rule = self._rule
        series = dict(sample.labels)
        labels = {name: value for name, value in sample.labels if name != METRIC_NAME}
        for name, text in rule.labels:
            labels[name] = expand(rule.name, text, series, sample.value)
        labels[ALERT_NAME] = rule.name
        annotations = {name: expand(rule.name, text, series, sample.value) for name, text in rule.annotations}
        # an annotation may be empty, a label may not
        return labels_from(labels), tuple(sorted(annotations.items()))


def alert_samples(rule: Rule, alerts: Alerts) -> Iterator[Sample]:
    """`ALERTS` and `ALERTS_FOR_STATE` of the alerts that are pending or firing."""
    for labels, alert in alerts.items():
        if alert.present:
            own = _own(rule, labels)
            yield Sample(labels_from({**own, METRIC_NAME: ALERTS, ALERT_STATE: alert.state}), 1.0)
            yield Sample(labels_from({**own, METRIC_NAME: FOR_STATE}), float(alert.active_ms // 1000))


def _own(rule: Rule, labels: Labels) -> Mapping[str, str]:
    return {**dict(rule.labels), **dict(labels), ALERT_NAME: rule.name}


def check_limit(alerts: Mapping[Labels, ActiveAlert], limit: int) -> None:
    """Raises QueryFailed when more alerts are pending or firing than a group's limit allows."""
    present = sum(alert.present for alert in alerts.values())
    if 0 < limit < present:
        raise QueryFailed(f"exceeded limit of {limit} with {present} alerts")
