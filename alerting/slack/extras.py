"""What a message may show beyond what its alerts bring, and what decides how it looks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from app.alert import Alert
from app.labels import Labels


@dataclass(frozen=True, slots=True)
class Offender:
    """A value of a label that many of the bad events have."""

    label: str
    value: str
    bad: float
    """How many bad events had it, over the alert's long window."""
    share: float
    """Of all bad events, 0 to 1."""
    usual: float | None = None
    """Its share of all events, where that is known: more of the bad than of all is what makes it an offender."""


@dataclass(frozen=True, slots=True)
class BurnDown:
    """How the error budget of an SLO went: `left[i]` (1 is all of it) at `at[i]`, oldest first."""

    slo: str
    objective: float
    at: Sequence[datetime]
    left: Sequence[float]
    gone_at: datetime | None = None
    """When it will be used up, at the rate it burns now."""
    began_at: datetime | None = None
    """When the alert began."""


class SloSource(Protocol):
    """Who knows more of an SLO than its alerts say. Calls do not block; they raise WatchhouseError."""

    async def offenders(self, slo: str, window_ms: int) -> list[Offender]:
        """What stands out among the bad events of an SLO (by its id) over a window, the worst first."""

    async def burn_down(self, slo: str, length_ms: int) -> BurnDown | None:
        """The budget of an SLO (by its id) over so long; None when nothing is known."""


@dataclass(frozen=True, slots=True)
class Grafana:
    """Where Grafana is, and the uid of the data source that has Watchhouse's metrics."""

    url: str
    datasource: str = "watchhouse-metrics"

    def explore(self, query: str, begin: datetime, end: datetime | None) -> str:
        """Explore, with a PromQL query over a time."""
        until = "now" if end is None else str(int(end.timestamp() * 1000))
        source = {"type": "prometheus", "uid": self.datasource}
        pane = {
            "datasource": self.datasource,
            "queries": [{"refId": "A", "datasource": source, "expr": query}],
            "range": {"from": str(int(begin.timestamp() * 1000)), "to": until},
        }
        panes = json.dumps({"a": pane}, separators=(",", ":"))
        return f"{self.url.rstrip('/')}/explore?{urlencode({'schemaVersion': 1, 'panes': panes, 'orgId': 1})}"


@dataclass(frozen=True, slots=True)
class Look:
    """What the configuration says of every message."""

    external_url: str = ""
    grafana: Grafana | None = None
    buttons: frozenset[str] = frozenset()
    """Which of acknowledge, silence and logs are shown."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The burn-down chart: an uploaded file's id, or a URL."""

    alt: str
    file: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Extras:
    """What was found out for one message."""

    offenders: Mapping[str, Sequence[Offender]] = field(default_factory=dict)
    """By SLO id."""
    picture: Picture | None = None


NOTHING = Extras()


def slo_id(alert: Alert) -> str:
    """The id of the SLO an alert is about, as `/api/v1/slos` has it; "" for other alerts."""
    return dict(alert.labels).get("sloth_id", "") if alert.facts.get("slo") else ""


def query_of(alert: Alert) -> str:
    """The PromQL an alert came from: that of its rule, or the series of its SLO; "" where nobody says."""
    if slo := slo_id(alert):
        escaped = slo.replace("\\", "\\\\").replace('"', '\\"')
        return f'slo:current_burn_rate:ratio{{sloth_id="{escaped}"}}'
    try:
        found = parse_qs(urlsplit(alert.generator_url).query).get("g0.expr", [""])
    except ValueError:
        return ""
    return found[0]


def explore_link(alert: Alert, look: Look, now: datetime) -> str:
    """Grafana's Explore for an alert, from an hour before it began; "" without a Grafana or a query."""
    query = query_of(alert)
    if look.grafana is None or not query:
        return ""
    over = alert.ends_at if alert.resolved_at(now) else None
    return look.grafana.explore(query, alert.starts_at - timedelta(hours=1), over)


def watchhouse_link(alert: Alert, look: Look) -> str:
    """The alert in Watchhouse: its SLO, or why it was told to whom."""
    home = look.external_url.rstrip("/")
    if not home:
        return ""
    if slo_id(alert) and alert.generator_url.startswith(f"{home}/"):
        return alert.generator_url
    return f"{home}/api/v1/alerts/explain?fingerprint={quote(alert.fingerprint)}"


def group_pairs(labels: Labels) -> str:
    """The values of a group's labels, as a person writes them."""
    return ", ".join(value for _, value in labels if value)
