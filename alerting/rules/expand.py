"""Templates of labels and annotations, expanded as Prometheus expands them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from alerting.templates.prometheus import Sample as TemplateSample
from alerting.templates.prometheus import expand
from app.errors import QueryFailed, WatchhouseError
from app.histogram import Histogram
from app.labels import Labels
from app.query.promql.format import format_general
from app.query.promql.histograms.bounds import spread

log = logging.getLogger(__name__)
Expander = Callable[[str, str, Mapping[str, str], float | Histogram], str]
"""(name of the alert, text, labels of the series, value) → the text that is meant; an error is told in it."""
Ask = Callable[[str], Sequence[tuple[Labels, float | Histogram]]]
"""Answers an instant query at the time of the evaluation. Raises WatchhouseError."""


def reason(error: BaseException) -> str:
    """What is wrong, without the name of a parameter that is none here."""
    return str(error).removeprefix('invalid parameter "query": ')


_BRACKETS = (("(", "]"), ("[", ")"), ("(", ")"), ("[", "]"))
"""Which ends belong to a bucket."""


def expander(external_labels: Mapping[str, str], external_url: str, at_ms: int, ask: Ask) -> Expander:
    """The expander of one evaluation."""
    now = datetime.fromtimestamp(at_ms / 1000, UTC)

    def query(text: str, _: datetime) -> list[TemplateSample]:
        try:
            return [TemplateSample(dict(labels), _shown(value)) for labels, value in ask(text)]
        except WatchhouseError as error:
            raise QueryFailed(reason(error)) from None

    def expanded(alert: str, text: str, labels: Mapping[str, str], value: float | Histogram) -> str:
        if "{{" not in text:
            return text
        try:
            return expand(
                text,
                name=f"__alert_{alert}",
                labels=labels,
                value=_shown(value),
                external_labels=external_labels,
                external_url=external_url,
                now=now,
                query=query,
            )
        except WatchhouseError as error:
            log.warning("a template of the alert %s cannot be expanded: %s", alert, error)
            return f"<error expanding template: {error}>"

    return expanded


def _shown(value: float | Histogram) -> object:
    return histogram_text(value) if isinstance(value, Histogram) else value


def histogram_text(histogram: Histogram) -> str:
    """A native histogram as Prometheus prints it: count, sum, and each bucket that is not empty with its bounds."""
    buckets = spread(histogram)
    columns = [column.tolist() for column in (buckets.rule, buckets.lower, buckets.upper, buckets.count)]
    parts = [f"count:{format_general(histogram.count)}", f"sum:{format_general(histogram.sum)}"]
    for rule, lower, upper, count in zip(*columns, strict=True):
        if count:
            left, right = _BRACKETS[rule]
            parts.append(f"{left}{format_general(lower)},{format_general(upper)}{right}:{format_general(count)}")
    return "{" + ", ".join(parts) + "}"
