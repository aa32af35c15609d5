"""Alertmanager's API over a real socket: what Prometheus posts, what amtool and Grafana read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.alertmanager_peer import Served, serving

CONFIG = """
global: {slack_api_url: 'https://hooks.slack.example/services/HUSH', resolve_timeout: 2m}
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1h
  routes: [{matchers: [severity=page], receiver: pager}]
receivers:
  - {name: team, slack_configs: [{channel: '#a'}]}
  - {name: pager}
inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket], equal: [slo]}]
"""
ALERTS: list[dict[str, Any]] = [
    {
        "labels": {"alertname": "Burn", "severity": "page", "slo": "x"},
        "annotations": {"summary": "burning"},
        "startsAt": "2026-03-01T12:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
    },
    {"labels": {"alertname": "Slow", "severity": "ticket", "slo": "x"}},
    {"labels": {"alertname": "Slow", "severity": "ticket", "slo": "y"}},
]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The API on a free port, and a manager that notifies nobody."""
    async with serving(CONFIG) as world:
        yield world


async def names(served: Served, **params: Any) -> list[str]:
    """The alerts the API gives, as name and SLO."""
    answer = await served.http.get("/api/v2/alerts", params=params)
    assert answer.status_code == 200, answer.text
    return sorted(f"{a['labels']['alertname']}/{a['labels']['slo']}" for a in answer.json())


async def test_posted_alerts_are_read_back(served: Served) -> None:
    """What is posted is given back in Alertmanager's form, with receivers and state."""
    assert (await served.http.post("/api/v2/alerts", json=ALERTS)).status_code == 200
    answer = (await served.http.get("/api/v2/alerts", params={"filter": "severity=page"})).json()
    (burn,) = answer
    assert burn["startsAt"] == "2026-03-01T12:00:00.123Z"
    assert burn["receivers"] == [{"name": "pager"}]
    assert burn["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
    assert (burn["annotations"], burn["generatorURL"]) == ({"summary": "burning"}, "http://prometheus.example/graph")
    (slow,) = (await served.http.get("/api/v2/alerts", params={"filter": ["slo=x", "severity=ticket"]})).json()
    assert slow["status"]["state"] == "suppressed"
    assert slow["status"]["inhibitedBy"] == [burn["fingerprint"]]


async def test_filters(served: Served) -> None:
    """Matchers, a receiver and states narrow the answer."""
    await served.http.post("/api/v2/alerts", json=ALERTS)
    assert await names(served) == ["Burn/x", "Slow/x", "Slow/y"]
    assert await names(served, filter='slo=~"x|z"') == ["Burn/x", "Slow/x"]
    assert await names(served, receiver="pag.*") == ["Burn/x"]
    assert await names(served, inhibited="false") == ["Burn/x", "Slow/y"]
    assert await names(served, active="false") == ["Slow/x"]


async def test_groups(served: Served) -> None:
    """Groups have the receiver, the group's labels and the alerts."""
    await served.http.post("/api/v2/alerts", json=ALERTS)
    groups = (await served.http.get("/api/v2/alerts/groups")).json()
    assert [(g["receiver"]["name"], g["labels"], len(g["alerts"])) for g in groups] == [
        ("pager", {"alertname": "Burn"}, 1),
        ("team", {"alertname": "Slow"}, 2),
    ]


async def test_an_alert_ends_after_resolve_timeout(served: Served) -> None:
    """Without an end an alert posted here ends when its sender falls silent; with one in the past it is over."""
    await served.http.post("/api/v2/alerts", json=ALERTS[1:2])
    (known,) = served.manager.alerts()
    assert known.alert.ends_at is not None
    assert (known.alert.ends_at - known.alert.starts_at).total_seconds() == pytest.approx(120)
    over = ALERTS[1] | {"startsAt": "2026-03-01T12:00:00Z", "endsAt": "2026-03-01T12:01:00Z"}
    await served.http.post("/api/v2/alerts", json=[over])
    assert await names(served) == []


async def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    """The bound on a body's size is told."""
    answer = await served.http.post("/api/v2/alerts", content=b"[" + b" " * 100_001 + b"]")
    assert (answer.status_code, answer.json()) == (413, "the body is larger than 100000 bytes")


async def test_the_good_part_is_taken(served: Served) -> None:
    """One bad alert does not cost the others."""
    answer = await served.http.post("/api/v2/alerts", json=[{"labels": {}}, ALERTS[0]])
    assert (answer.status_code, await names(served)) == (400, ["Burn/x"])


@pytest.mark.parametrize("params", [{"filter": "x"}, {"filter": 'a=~"("'}, {"receiver": "("}], ids=str)
async def test_a_bad_filter_is_refused(served: Served, params: dict[str, str]) -> None:
    """A filter that cannot be read is answered with 400 and a JSON string."""
    for path in ("/api/v2/alerts", "/api/v2/alerts/groups"):
        answer = await served.http.get(path, params=params)
        assert (answer.status_code, type(answer.json())) == (400, str)


async def test_status_holds_no_secret(served: Served) -> None:
    """Status, receivers and silences are there, and the webhook's URL is not."""
    status = await served.http.get("/api/v2/status")
    assert status.json()["cluster"] == {"status": "disabled", "peers": []}
    assert "HUSH" not in status.text
    assert "<secret>" in status.json()["config"]["original"]
    assert (await served.http.get("/api/v2/receivers")).json() == [
        {"name": "team", "labels": {}},
        {"name": "pager", "labels": {}},
    ]
    assert (await served.http.get("/api/v2/silences")).json() == []


async def test_labels_of_routes_and_receivers() -> None:
    """Routes' labels are expanded for each group, receivers' are given as they are; both can be asked for."""
    text = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1h
  labels: {owner: 'of {{ .GroupLabels.alertname }}'}
receivers: [{name: team, labels: {tier: a}}, {name: pager, labels: {tier: b}}]
"""
    async with serving(text) as served:
        await served.http.post("/api/v2/alerts", json=ALERTS)
        groups = (await served.http.get("/api/v2/alerts/groups")).json()
        assert [g["routeLabels"] for g in groups] == [{"owner": "of Burn"}, {"owner": "of Slow"}]
        assert await names(served, receiver_matchers="tier=a") == ["Burn/x", "Slow/x", "Slow/y"]
        assert await names(served, receiver_matchers="tier=b") == []
        receivers = (await served.http.get("/api/v2/receivers", params={"receiver_matchers": "tier=b"})).json()
        assert receivers == [{"name": "pager", "labels": {"tier": "b"}}]
