"""The alerts of SLOs: what they say, and which have been firing since when, across restarts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.alert import Alert
from app.labels import Labels, labels_from
from app.store.state import StateStore
from slo.burn import PairBurn, exhausted_in_ms
from slo.spec import AlertSpec, Severity, SloSpec

STATE_KIND = "slo_alert"
_SUMMARIES = {
    "page": "SLO error budget burn rate is too fast.",
    "ticket": "SLO error budget burn rate is over expected.",
}


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires, or has ended and nobody was told yet. Times in milliseconds since the epoch."""

    slo: str
    severity: Severity
    labels: Labels
    annotations: Labels
    since_ms: int
    ended_ms: int | None = None
    facts: dict[str, object] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """Its name in the state store."""
        return f"{self.slo}/{self.severity}/{_alert(self, '').fingerprint}"


def observe(old: Firing | None, seen: Firing | None, at_ms: int) -> list[Firing]:
    """What is to be told after one look, of an alert that was `old` and is now `seen`; None means not firing.

    An alert goes on since when it began. One whose labels changed is another alert to whoever gets it: the old one
    ends, the new one goes on. One that ended and was not told yet stays, unless the very same fires again.
    """
    if old is None:
        return [seen] if seen else []
    if old.ended_ms is not None:
        return [seen] if seen and seen.labels == old.labels else [old, seen] if seen else [old]
    if seen is None:
        return [replace(old, ended_ms=at_ms)]
    if seen.labels != old.labels:
        return [replace(old, ended_ms=at_ms), replace(seen, since_ms=old.since_ms)]
    return [replace(seen, since_ms=old.since_ms)]


def firing(spec: SloSpec, alert: AlertSpec, severity: Severity, burn: PairBurn, left: float, at_ms: int) -> Firing:
    """The alert of one severity, fired by a pair at a time."""
    return Firing(
        slo=spec.id,
        severity=severity,
        labels=alert_labels(spec, alert, severity),
        annotations=alert_annotations(spec, alert, severity),
        since_ms=at_ms,
        facts={
            "slo": spec.name,
            "service": spec.service,
            "objective": spec.objective,
            "severity": severity,
            "long_window_ms": burn.pair.long_ms,
            "short_window_ms": burn.pair.short_ms,
            "threshold": float(burn.pair.factor),
            "long_burn": burn.long_burn,
            "short_burn": burn.short_burn,
            "budget_left": left,
            "exhausted_in_ms": exhausted_in_ms(left, burn.long_burn, spec.period_ms),
            "description": spec.description,
        },
    )


def alert_labels(spec: SloSpec, alert: AlertSpec, severity: Severity) -> Labels:
    """As Sloth's generated rules would give them: the series' labels, then the alert's own over them."""
    return labels_from(
        {
            **dict(spec.labels),
            "sloth_id": spec.id,
            "sloth_service": spec.service,
            "sloth_slo": spec.name,
            "sloth_severity": severity,
            **dict(alert.labels),
            "alertname": alert.name,
        }
    )


def alert_annotations(spec: SloSpec, alert: AlertSpec, severity: Severity) -> Labels:
    """Sloth's title and summary, and the spec's own annotations over them."""
    what = f"{spec.service} {spec.name} {_SUMMARIES[severity]}"
    return labels_from({"title": f"({severity}) {what}", "summary": what, **dict(alert.annotations)})


class AlertBook:
    """The alerts that fire or are to be told as ended, in memory and in the state store."""

    def __init__(self, state: StateStore, external_url: str) -> None:
        self._state = state
        self._external_url = external_url.rstrip("/")
        self._alerts: dict[str, Firing] = {}
        self._kept: dict[str, Firing] = {}

    def load(self) -> None:
        """Takes up what an earlier process kept. Blocks."""
        documents = self._state.get_all(STATE_KIND)
        self._kept = {key: _from_document(value) for key, value in documents.items()}
        self._alerts = dict(self._kept)

    def owners(self) -> set[tuple[str, Severity]]:
        """The (SLO id, severity) of every alert here."""
        return {(a.slo, a.severity) for a in self._alerts.values()}

    def current(self, slo: str, severity: Severity) -> Firing | None:
        """The alert of an SLO that fires; else one that ended and was not told, else None."""
        own = self._own(slo, severity)
        return next((a for a in own if a.ended_ms is None), own[0] if own else None)

    def look(self, slo: str, severity: Severity, seen: Firing | None, at_ms: int) -> None:
        """Notes whether the alert of an SLO fires at a time."""
        old = self.current(slo, severity)
        untold = [a for a in self._own(slo, severity) if a is not old]
        for alert in self._own(slo, severity):
            del self._alerts[alert.key]
        for alert in [*untold, *observe(old, seen, at_ms)]:
            self._alerts[alert.key] = alert

    def keep(self) -> None:
        """Writes what changed to the state store; facts alone are no change. Blocks; raises StoreError."""
        news = {key: a for key, a in self._alerts.items() if self._kept.get(key) != a}
        self._state.put(STATE_KIND, {key: asdict(alert) for key, alert in news.items()})
        self._kept.update(news)

    def alerts(self) -> list[Alert]:
        """Everything to put to the sink."""
        return [_alert(alert, self._external_url) for alert in self._alerts.values()]

    def forget_ended(self) -> None:
        """Forgets the ended alerts, once the sink has taken them. Blocks; raises StoreError."""
        gone = [key for key, alert in self._alerts.items() if alert.ended_ms is not None]
        self._state.delete(STATE_KIND, gone)
        for key in gone:
            del self._alerts[key]
            self._kept.pop(key, None)

    def _own(self, slo: str, severity: Severity) -> list[Firing]:
        return [a for a in self._alerts.values() if (a.slo, a.severity) == (slo, severity)]


def _alert(alert: Firing, external_url: str) -> Alert:
    return Alert(
        labels=alert.labels,
        starts_at=_time(alert.since_ms),
        ends_at=None if alert.ended_ms is None else _time(alert.ended_ms),
        annotations=alert.annotations,
        generator_url=f"{external_url}/api/v1/slos/{alert.slo}" if external_url else "",
        facts=alert.facts,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _from_document(document: dict[str, Any]) -> Firing:
    pairs = {name: tuple((str(k), str(v)) for k, v in document[name]) for name in ("labels", "annotations")}
    return Firing(**{**document, **pairs})
