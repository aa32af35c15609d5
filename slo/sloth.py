"""Sloth's files, `prometheus/v1` and the Kubernetes form, read as they are."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.errors import ConfigError, Problem
from app.labels import labels_from
from app.yamlfile import Document, KeyPath, load_documents, validate
from slo.budget_alerts import budget_alert
from slo.grouping import check_grouping
from slo.period import Rolling
from slo.queries import SliQueryError, check_query
from slo.sloth_model import Alert, Alerting, File, KubernetesObject, Plugins, Service, Sli, Slo
from slo.spec import AlertSpec, Component, EventsSli, Query, RatioSli, SloSpec
from slo.windows import SEVERITIES, Severity, Windows, load_windows

VERSION = "prometheus/v1"
KUBERNETES_VERSION = "sloth.slok.dev/v1"
KUBERNETES_KIND = "PrometheusServiceLevel"
_CORE = {f"sloth.dev/core/{name}/v1" for name in ("sli_rules", "metadata_rules", "alert_rules")}
# steps that change nothing of what an SLO is: they check it, log it, or say how often Prometheus evaluates rules
_WITHOUT_EFFECT = _CORE | {f"sloth.dev/core/{name}/v1" for name in ("debug", "noop", "validate")}
_WITHOUT_EFFECT |= {"sloth.dev/contrib/rule_intervals/v1"}


def load_sloth(path: Path, windows: Windows | None = None) -> list[SloSpec]:
    """The SLOs of a file, which may hold several YAML documents. Raises ConfigError with every problem found."""
    windows = windows or load_windows()
    specs: list[SloSpec] = []
    problems: list[Problem] = []
    for document in load_documents(path):
        try:
            specs += sloth_specs(document, windows)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return specs


def is_sloth(document: Document) -> bool:
    """Whether a document is one of the two forms, by its version or kind."""
    data: Any = document.data
    return isinstance(data, dict) and (data.get("version") == VERSION or _is_kubernetes(data))


def sloth_specs(document: Document, windows: Windows) -> list[SloSpec]:
    """The SLOs of one document. Raises ConfigError with every problem found."""
    if isinstance(document.data, dict) and _is_kubernetes(document.data):
        return _Reader(document, ("spec",), validate(document, KubernetesObject).spec, windows).read()
    return _Reader(document, (), validate(document, File), windows).read()


def _is_kubernetes(data: dict[str, Any]) -> bool:
    return data.get("apiVersion") == KUBERNETES_VERSION and data.get("kind") == KUBERNETES_KIND


class _Reader:
    """Turns the SLOs of one document, whose `service` is at `root`, into specs."""

    def __init__(self, document: Document, root: KeyPath, service: Service, windows: Windows) -> None:
        self._document = document
        self._root = root
        self._service = service
        self._windows = windows
        self._problems: list[Problem] = []

    def read(self) -> list[SloSpec]:
        """The specs. Raises ConfigError with every problem found."""
        slos = self._service.slos
        self._chain((*self._root, _key(self._service, "slo_plugins")), self._service.slo_plugins)
        specs = [spec for i, slo in enumerate(slos) if (spec := self._slo((*self._root, "slos", i), slo)) is not None]
        for i, slo in enumerate(slos):
            if any(other.name == slo.name for other in slos[:i]):
                message = f"the service has another SLO named {slo.name!r}"
                self._tell((*self._root, "slos", i, "name"), message)
        if self._problems:
            raise ConfigError(sorted(self._problems, key=lambda p: p.line or 0))
        return specs

    def _slo(self, path: KeyPath, slo: Slo) -> SloSpec | None:
        self._chain((*path, "plugins"), slo.plugins)
        sli = self._sli((*path, "sli"), slo.sli, slo.grouping)
        alerts = (*self._burn_alerts((*path, "alerting"), slo.alerting), *self._budget_alerts(path, slo.alerting))
        if sli is None:
            return None
        return SloSpec(
            name=slo.name,
            service=self._service.service,
            objective=slo.objective,
            components=(Component(sli, slo.objective),),
            period=Rolling(self._windows.period_ms),
            alerts=alerts,
            description=slo.description,
            labels=labels_from({**self._service.labels, **slo.labels}),
            grouping=slo.grouping,
            sla=slo.sla,
            format="sloth",
            file=self._document.file,
            line=self._document.line_of(path),
        )

    def _chain(self, path: KeyPath, plugins: Plugins) -> None:
        chain = [plugin.id for plugin in plugins.chain]
        for i, plugin in enumerate(chain):
            if plugin not in _WITHOUT_EFFECT:
                self._tell((*path, "chain", i), f"the SLO plugin {plugin!r} cannot be run here")
        if plugins.override_previous and not set(chain) >= _CORE:
            missing = ", ".join(sorted(_CORE - set(chain)))
            self._tell((*path, "overridePrevious"), f"Sloth's own plugins cannot be left out here: {missing}")

    def _sli(self, path: KeyPath, sli: Sli, grouping: tuple[str, ...]) -> EventsSli | RatioSli | None:
        given = [kind for kind in ("events", "raw", "plugin") if getattr(sli, kind) is not None]
        if len(given) != 1:
            self._tell(path, "exactly one of events, raw is wanted")
            return None
        if sli.plugin is not None:
            message = f"the SLI plugin {sli.plugin.id!r} cannot be run here: write its queries as events or raw"
            self._tell((*path, "plugin"), message)
            return None
        if sli.events is not None:
            for field, query in (("error_query", sli.events.error_query), ("total_query", sli.events.total_query)):
                self._query((*path, "events", _key(sli.events, field)), query, grouping, events=True)
            return EventsSli(sli.events.error_query, sli.events.total_query)
        assert sli.raw is not None
        query = sli.raw.error_ratio_query
        self._query((*path, "raw", _key(sli.raw, "error_ratio_query")), query, grouping, events=False)
        return RatioSli(query)

    def _query(self, path: KeyPath, query: Query, grouping: tuple[str, ...], *, events: bool) -> None:
        try:
            check_query(query, events=events)
            check_grouping(query, grouping)
        except SliQueryError as error:
            self._tell(path, str(error))

    def _burn_alerts(self, path: KeyPath, alerting: Alerting) -> Iterator[AlertSpec]:
        own: dict[Severity, Alert] = {"page": alerting.page_alert, "ticket": alerting.ticket_alert}
        if not alerting.name and not all(alert.disable for alert in own.values()):
            self._tell((*path, "name"), "missing: it becomes the alertname (or disable both alerts)")
        for severity in SEVERITIES:
            alert = own[severity]
            for rule in () if alert.disable else self._windows.rules(severity, self._windows.period_ms):
                yield AlertSpec(
                    key=rule.key,
                    name=alerting.name,
                    severity=severity,
                    conditions=rule.conditions,
                    labels=labels_from({**dict(rule.labels), **alerting.labels, **alert.labels}),
                    annotations=labels_from({**alerting.annotations, **alert.annotations}),
                    for_ms=rule.for_ms,
                )

    def _budget_alerts(self, path: KeyPath, alerting: Alerting) -> Iterator[AlertSpec]:
        at: KeyPath = (*path, "alerting", _key(alerting, "budget_alerts"))
        seen: set[str] = set()
        for i, own in enumerate(alerting.budget_alerts):
            labels, annotations = {**alerting.labels, **own.labels}, {**alerting.annotations, **own.annotations}
            alert = budget_alert(Decimal(repr(own.consumed)), own.severity, labels, annotations)
            if alert.key in seen:
                self._tell((*at, i, "consumed"), f"there is another alert at {own.consumed:g} %")
            seen.add(alert.key)
            yield alert

    def _tell(self, path: KeyPath, message: str) -> None:
        self._problems.append(self._document.problem(path, message))


def _key(model: BaseModel, field: str) -> str:
    """The key of a field in the form its model is of."""
    return type(model).model_fields[field].alias or field
