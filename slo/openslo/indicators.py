"""OpenSLO's SLIs as what is counted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from app.errors import Problem
from app.yamlfile import Document, KeyPath
from slo.openslo.counters import over_window, summed
from slo.openslo.load import Objects
from slo.openslo.model import DataSource, Metric, MetricSource, Objective, RatioMetric, Sli, SliSpec
from slo.queries import SliQueryError, check_query, has_window
from slo.spec import EventsSli, Language, Query, RatioSli, ThresholdSli
from slo.spec import Sli as MeasuredSli

LANGUAGES: dict[str, Language] = {"prometheus": "promql", "promql": "promql", "loki": "logql", "logql": "logql"}
_KEYS: dict[Language, tuple[str, ...]] = {"promql": ("query", "promql", "expr"), "logql": ("query", "logql", "expr")}
_COUNTER = re.compile(r"_(total|count|bucket)\b")

Measure = EventsSli | RatioSli | Query
"""What an SLI measures; a lone query is that of a threshold, which the objective knows."""


@dataclass(slots=True)
class Indicators:
    """Reads SLIs; `problems` and `notices` say what is wrong or may surprise."""

    objects: Objects
    problems: list[Problem] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)
    _named: dict[str, Measure | None] = field(default_factory=dict)

    def read_named(self) -> None:
        """Reads every SLI that is an object of its own, used or not."""
        for document, sli in self.objects.of(Sli):
            self._named[sli.metadata.name] = self.read(document, ("spec",), sli.spec)

    def named(self, name: str) -> Measure | None:
        """The measure of an SLI object; None where it is wrong, which is told already."""
        return self._named.get(name)

    def read(self, document: Document, path: KeyPath, spec: SliSpec) -> Measure | None:
        """The measure of an SLI's spec at a path of a document; None where it is wrong."""
        if spec.threshold_metric is not None:
            return self._query(document, (*path, "thresholdMetric"), spec.threshold_metric)
        assert spec.ratio_metric is not None
        return self._ratio(document, (*path, "ratioMetric"), spec.ratio_metric)

    def _ratio(self, document: Document, path: KeyPath, ratio: RatioMetric) -> Measure | None:
        if ratio.raw is not None:
            raw = self._query(document, (*path, "raw"), ratio.raw)
            return raw and RatioSli(raw, "good" if ratio.raw_type == "success" else "bad")
        key = "good" if ratio.good is not None else "bad"
        part = ratio.good or ratio.bad
        assert part is not None
        assert ratio.total is not None
        some = self._query(document, (*path, key), part, ratio.counter)
        total = self._query(document, (*path, "total"), ratio.total, ratio.counter)
        if some is None or total is None:
            return None
        return EventsSli(bad=None, total=total, good=some) if key == "good" else EventsSli(bad=some, total=total)

    def _query(self, document: Document, path: KeyPath, metric: Metric, counter: bool | None = None) -> Query | None:
        """The query of a metric. `counter`: it counts events, and so must do it over the window."""
        source, path = metric.metric_source, (*path, "metricSource")
        language = self._language(document, path, source)
        found = None if language is None else self._text(document, (*path, "spec"), source.spec, language)
        if language is None or found is None:
            return None
        key, text = found
        at = (*path, "spec", key)
        try:
            if counter is not None and language == "promql" and not has_window(text):
                if not counter and _COUNTER.search(text):
                    message = "the samples of what looks like a counter are added up: is counter: true missing?"
                    self.notices.append(document.problem(at, message))
                text = over_window(text, counter=counter)
            query = Query(text, language)
            check_query(query, events=counter is not None)
        except SliQueryError as error:
            self.problems.append(document.problem(at, str(error)))
            return None
        return query

    def _language(self, document: Document, path: KeyPath, source: MetricSource) -> Language | None:
        own, at = source.type, (*path, "type")
        reference = source.metric_source_ref
        found = None if reference is None else self.objects.find(DataSource, reference)
        if found is not None:
            theirs = found[1].spec.type
            if own and own.casefold() != theirs.casefold():
                where = f"{found[0].file}:{found[0].line_of(('spec', 'type'))}"
                message = f"is {own}, but the DataSource {reference!r} in {where} is of type {theirs}"
                self.problems.append(document.problem(at, message))
                return None
            own = own or theirs
        elif reference is not None:
            if not own:
                # the DataSource is wrong itself, which is told already
                return None
            message = f"there is no DataSource named {reference!r} in the files read; the type is given, and holds"
            self.notices.append(document.problem((*path, "metricSourceRef"), message))
        if not own:
            self.problems.append(document.problem(at, "missing: it may be left out with a metricSourceRef only"))
            return None
        language = LANGUAGES.get(own.casefold())
        if language is None:
            message = f"a data source of type {own} is not read here: Prometheus (PromQL) and Loki (LogQL) are"
            self.problems.append(document.problem(at, message))
        return language

    def _text(
        self, document: Document, path: KeyPath, spec: dict[str, Any], language: Language
    ) -> tuple[str, str] | None:
        given = [key for key in _KEYS[language] if spec.get(key) is not None]
        if len(given) != 1:
            message = f"exactly one of {', '.join(_KEYS[language])} is wanted, with the {_NAMES[language]} query"
            self.problems.append(document.problem(path, message))
            return None
        for key in spec:
            if key != given[0]:
                self.notices.append(document.problem((*path, key), "is not used here"))
        text = spec[given[0]]
        if not isinstance(text, str) or not text.strip():
            self.problems.append(document.problem((*path, given[0]), "a query is wanted, a text"))
            return None
        return given[0], text.strip()


_NAMES: dict[Language, str] = {"promql": "PromQL", "logql": "LogQL"}


def measured(measure: Measure, objective: Objective, grouping: tuple[str, ...]) -> MeasuredSli:
    """The SLI of an objective: a threshold metric's value is good where it is `op value`."""
    if isinstance(measure, EventsSli):
        bad, total, good = (query and summed(query, grouping) for query in (measure.bad, measure.total, measure.good))
        assert total is not None
        return EventsSli(bad, total, good)
    if isinstance(measure, RatioSli):
        return measure
    assert objective.op is not None
    assert objective.value is not None
    return ThresholdSli(measure, objective.op, objective.value)
