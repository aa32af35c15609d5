"""OpenSLO's objects as SLOs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.errors import ConfigError, Problem
from app.labels import labels_from
from app.yamlfile import Document, KeyPath
from slo.annotations import Extensions, read_extensions
from slo.openslo.alert_model import AlertPolicy
from slo.openslo.alerts import Policy, alert_of, default_alerts, plain_labels, policy_notices, policy_of
from slo.openslo.fields import duration_ms, duration_of, start_of
from slo.openslo.indicators import Indicators, Measure, measured
from slo.openslo.load import Objects, load_objects
from slo.openslo.model import DataSource, Indicator, Objective, Service, Slo, SloBody
from slo.openslo.objectives import (
    budgeting_of,
    component_of,
    display_name_of,
    faults,
    is_composite,
    names_of,
    without_effect,
)
from slo.period import Calendar, Period, Rolling
from slo.reading import Reading
from slo.spec import AlertSpec, Component, SloSpec
from slo.windows import Windows


def read_openslo(documents: Sequence[Document], windows: Windows) -> Reading:
    """The SLOs of all documents together. Raises ConfigError with every problem found."""
    objects = load_objects(documents)
    indicators = Indicators(objects)
    indicators.read_named()
    reader = _Reader(objects, indicators, windows)
    specs = tuple(spec for document, slo in objects.of(Slo) for spec in reader.slos(document, slo))
    reader.look()
    # what is wrong in an object that several use is told once
    problems = dict.fromkeys([*objects.problems, *reader.problems, *indicators.problems])
    if problems:
        files = list(dict.fromkeys(document.file for document in documents))
        raise ConfigError(sorted(problems, key=lambda p: (files.index(p.file), p.line or 0)))
    return Reading(specs, tuple(dict.fromkeys([*reader.notices, *indicators.notices])))


@dataclass(slots=True)
class _Reader:
    objects: Objects
    indicators: Indicators
    windows: Windows
    problems: list[Problem] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)

    def slos(self, document: Document, slo: Slo) -> Iterator[SloSpec]:
        """The SLOs of one object: one, or as many as it has objectives of the same SLI; none where it is wrong."""
        extensions, found = read_extensions(document, ("metadata", "annotations"), slo.metadata.annotations)
        period = self._period(document, slo.spec)
        alerts, more = self._alerts(document, slo, period, extensions)
        found += [*more, *faults(document, slo, extensions)]
        components = self._components(document, slo.spec, extensions.grouping)
        self.problems += found
        self._note(document, slo.spec)
        if found or len(components) < len(slo.spec.objectives):
            return
        groups = [components] if is_composite(slo.spec) else [[one] for one in components]
        for i, (name, group) in enumerate(zip(names_of(slo), groups, strict=True)):
            yield SloSpec(
                name=name,
                service=slo.spec.service,
                objective=extensions.objective or max(one.objective for one in group),
                components=tuple(group),
                budgeting=budgeting_of(slo.spec, slo.spec.objectives[i]),
                period=period,
                alerts=alerts,
                display_name=display_name_of(slo, i),
                description=slo.spec.description.strip(),
                labels=labels_from({**self._service_labels(slo.spec.service), **plain_labels(slo.metadata)}),
                grouping=extensions.grouping,
                sla=extensions.sla,
                format="openslo",
                file=document.file,
                line=document.line_of(("spec", "objectives", i) if len(groups) > 1 else ()),
            )

    def look(self) -> None:
        """Notes what may surprise in objects that are no SLOs."""
        for document, policy in self.objects.of(AlertPolicy):
            self.notices += policy_notices(self.objects, Policy(document, (), policy.metadata, policy.spec))
        for document, source in self.objects.of(DataSource):
            if source.spec.connection_details:
                message = "is not used: every query is asked here, of Watchhouse's own store"
                self.notices.append(document.problem(("spec", "connectionDetails"), message))

    def _components(self, document: Document, body: SloBody, grouping: tuple[str, ...]) -> list[Component]:
        """One an objective, or fewer where something is wrong."""
        path: KeyPath = ("spec",)
        if is_composite(body):
            measures = [self._measure(document, (*path, "objectives", i), one) for i, one in enumerate(body.objectives)]
        else:
            measures = [self._measure(document, path, body)] * len(body.objectives)
        return [
            component_of(body, objective, measured(measure, objective, grouping))
            for measure, objective in zip(measures, body.objectives, strict=True)
            if measure is not None
        ]

    def _measure(self, document: Document, path: KeyPath, holder: SloBody | Objective) -> Measure | None:
        if holder.indicator_ref is not None:
            return self.indicators.named(holder.indicator_ref)
        assert isinstance(holder.indicator, Indicator)
        return self.indicators.read(document, (*path, "indicator", "spec"), holder.indicator.spec)

    def _period(self, document: Document, body: SloBody) -> Period:
        if body.time_window is None:
            return Rolling(self.windows.period_ms)
        window = body.time_window[0]
        if window.calendar is None:
            return Rolling(duration_ms(window.duration))
        count, unit = duration_of(window.duration)
        if unit == "m":
            message = f"{window.duration} is a period of minutes: months are written with M"
            self.notices.append(document.problem(("spec", "timeWindow", 0, "duration"), message))
        return Calendar(start_of(window.calendar.start_time), window.calendar.time_zone, unit, count)

    def _alerts(
        self, document: Document, slo: Slo, period: Period, extensions: Extensions
    ) -> tuple[tuple[AlertSpec, ...], list[Problem]]:
        uses, on_budget = slo.spec.alert_policies, extensions.alerts()
        if uses is None:
            return (*default_alerts(self.windows, period.length_ms), *on_budget), []
        alerts: list[AlertSpec] = []
        problems: list[Problem] = []
        taken = {alert.key for alert in on_budget}
        for i, use in enumerate(uses):
            path: KeyPath = ("spec", "alertPolicies", i)
            policy = policy_of(self.objects, document, path, use)
            if policy is None:
                continue
            name = policy.metadata.name
            if name in taken:
                problems.append(document.problem(path, f"the SLO has another alert named {name!r}"))
            taken.add(name)
            alert = alert_of(self.objects, policy)
            alerts += [alert] if alert else []
            if use.alert_policy_ref is None:
                self.notices += policy_notices(self.objects, policy)
        return (*alerts, *on_budget), problems

    def _service_labels(self, name: str) -> dict[str, str]:
        found = self.objects.find(Service, name)
        return plain_labels(found[1].metadata) if found else {}

    def _note(self, document: Document, body: SloBody) -> None:
        self.notices += without_effect(document, body)
        if self.objects.find(Service, body.service) is None:
            message = f"there is no Service named {body.service!r} in the files read"
            self.notices.append(document.problem(("spec", "service"), message))
