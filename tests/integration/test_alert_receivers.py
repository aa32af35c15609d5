"""What each receiver is sent, and what its answers mean for trying again; over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from alerting.config import parse_alertmanager
from alerting.httpconfig import HttpConfig
from alerting.notify.base import Notifier, NotifyError
from alerting.notify.build import build_notifiers
from alerting.notify.http import HttpSender
from alerting.notify.pagerduty import PagerdutyNotifier
from alerting.notify.rendering import Renderer, key_hash
from alerting.receivers_sent import PagerdutyConfig
from alerting.templates.alertmanager import AlertTemplates
from app.yamlfile import read_documents
from tests.receiver_world import Service, alert_of, notification_of

FIRING, OVER = (
    alert_of("Slow", group="shop", severity="page"),
    alert_of("Slow", over=True, group="shop", severity="page"),
)
SECRET = "HUSH"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """What is sent to."""
    service = await Service().start()
    yield service
    await service.stop()


def notifier_of(kind: str, entry: dict[str, Any], folder: Path = Path(), **settings: Any) -> Notifier:
    """The notifier of a file with one entry."""
    data = {
        "global": settings,
        "route": {"receiver": "team", "labels": {"owner": "the {{ .GroupLabels.group }} team"}},
        "receivers": [{"name": "team", f"{kind}_configs": [entry]}],
    }
    document = read_documents("alertmanager.yml", yaml.safe_dump(data), as_written=True)[0]
    config = parse_alertmanager(document, folder)
    return build_notifiers(config, external_url="http://watch.example")["team"][0]


def entries(url: str) -> dict[str, dict[str, Any]]:
    """An entry of each kind that posts to a service; its secret is in it."""
    return {
        "webhook": {"url": f"{url}/{SECRET}"},
        "pagerduty": {"routing_key": SECRET, "url": f"{url}/v2"},
        "opsgenie": {"api_key": SECRET, "api_url": url},
        "msteams": {"webhook_url": f"{url}/{SECRET}"},
        "msteamsv2": {"webhook_url": f"{url}/{SECRET}"},
    }


# what Alertmanager does with each, and 429 for those it has no word on: waiting heals it
RETRIED = {
    "webhook": {429, 500, 502, 503},
    "pagerduty": {429, 500, 502, 503},
    "pagerduty v1": {403, 500, 502, 503},
    "opsgenie": {429, 500, 502, 503},
    "msteams": {429, 500, 502, 503},
    "msteamsv2": {429, 500, 502, 503},
}


@pytest.mark.parametrize("kind", RETRIED)
async def test_which_answers_are_tried_again(service: Service, kind: str) -> None:
    """Only what may heal, and Retry-After is kept to; nothing that is told holds the secret."""
    if kind == "pagerduty v1":
        renderer = Renderer(AlertTemplates(), "")
        config = PagerdutyConfig.model_validate({"service_key": SECRET})
        notifier: Notifier = PagerdutyNotifier(config, "", HttpSender(None), renderer, url_v1=service.url)
    else:
        notifier = notifier_of(kind, entries(service.url)[kind])
    retried = set()
    for status in (201, 202, 204, 301, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503):
        said = f"no: {service.url}/{SECRET}"
        answer = web.Response(status=status, text="" if status == 204 else said, headers={"Retry-After": "7"})
        service.answer = lambda _, answer=answer: answer  # type: ignore[misc]
        if status < 300:
            await notifier.notify(notification_of(FIRING))
            continue
        with pytest.raises(NotifyError) as caught:
            await notifier.notify(notification_of(FIRING))
        error = caught.value
        assert SECRET not in f"{error} {error!r} {error.__cause__!r}"
        assert str(status) in str(error)
        if error.retry:
            retried.add(status)
        assert error.retry_after_s == (7.0 if error.retry else None)
        assert error.reason == ("server_error" if status >= 500 else "rate_limited" if error.retry else error.reason)
    assert retried == RETRIED[kind]
    await notifier.close()


@pytest.mark.parametrize("kind", ["webhook", "pagerduty", "opsgenie", "msteams", "msteamsv2"])
async def test_a_service_that_is_away(service: Service, kind: str) -> None:
    """No connection and no answer are tried again; what is told holds neither the secret nor the address."""
    notifier = notifier_of(kind, entries(service.url)[kind])
    await service.stop()
    with pytest.raises(NotifyError) as caught:
        await notifier.notify(notification_of(FIRING))
    assert (caught.value.reason, caught.value.retry) == ("unreachable", True)
    assert SECRET not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    await notifier.close()


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("webhook", {"url": "http://x/{{ template `nothing` }}"}),
        ("webhook", {"url": "{{ .CommonLabels.nothing }}"}),
        ("webhook", {"url_file": "nothing"}),
        ("pagerduty", {"routing_key": "{{ .CommonLabels.nothing }}"}),
        ("pagerduty", {"routing_key": "k", "description": "{{ .Nothing }}"}),
        ("pagerduty", {"routing_key": "k", "details": {"a": {"b": ["{{ .Nothing }}"]}}}),
        ("opsgenie", {"api_key": "k", "message": "{{ .Nothing }}"}),
        ("opsgenie", {"api_key_file": "nothing"}),
        ("msteams", {"webhook_url": "http://x", "text": "{{ .Nothing }}"}),
        ("email", {"to": "a@b.c, {{ .Nothing }}", "from": "c@d.e", "smarthost": "x:1"}),
        ("email", {"to": "nobody", "from": "c@d.e", "smarthost": "x:1"}),
        ("email", {"to": "a@b.c", "from": "c@d.e, f@g.h", "smarthost": "x:1"}),
    ],
)
async def test_what_will_not_heal_is_not_tried_again(kind: str, entry: dict[str, Any]) -> None:
    """A template that fails, a file that is not there, an address that is none: told once, nothing is sent."""
    notifier = notifier_of(kind, entry)
    with pytest.raises(NotifyError) as caught:
        await notifier.notify(notification_of(FIRING))
    assert (caught.value.reason, caught.value.retry) == ("misconfigured", False)


async def test_webhook(service: Service, tmp_path: Path) -> None:
    """A payload of one's own, numbers as numbers; the URL is a template, and a file is read each time."""
    (tmp_path / "url").write_text(f"{service.url}/first\n")
    listed = ["{{ .CommonLabels.group }}", 1, True, "a: {{ .Receiver }}", "", 10**30, '{"b": ["{{ .Status }}"]}']
    payload = {"n": "{{ len .Alerts }}", "{{ .Status }}": listed}
    notifier = notifier_of("webhook", {"url_file": "url", "payload": payload}, tmp_path)
    await notifier.notify(notification_of(FIRING))
    (tmp_path / "url").write_text(f"{service.url}/{{{{ .GroupLabels.group }}}}\n")
    await notifier.notify(notification_of(FIRING))
    assert [request.path for request in service.requests] == ["/first", "/shop"]
    told = ["shop", 1, True, {"a": "team \\(all\\)"}, None, 1e30, {"b": ["firing"]}]
    assert service.requests[0].json == {"n": 1, "firing": told}
    await notifier.close()


async def test_route_labels_are_expanded(service: Service) -> None:
    """The labels of a route are templates over the group, and may use each other."""
    notifier = notifier_of("webhook", {"url": service.url})
    labels = {"owner": "the {{ .GroupLabels.group }} team", "who": '{{ routeLabels "owner" }}!'}
    await notifier.notify(notification_of(FIRING, route_labels=labels))
    assert service.requests[0].json["routeLabels"] == {"owner": "the shop team", "who": "the shop team!"}
    await notifier.close()


async def test_pagerduty_details(service: Service) -> None:
    """Details have the alerts and their numbers unless they are given; nested ones are expanded."""
    entry = {
        "routing_key": "k",
        "url": service.url,
        "details": {"num_firing": "none", "more": [{"x": "{{ .Status }}"}]},
    }
    notifier = notifier_of("pagerduty", entry)
    await notifier.notify(notification_of(FIRING))
    told = service.requests[0].json["payload"]["custom_details"]
    assert [alert["labels"]["alertname"] for alert in told["firing"]] == ["Slow"]
    assert (told["num_firing"], told["num_resolved"], told["resolved"]) == ("none", 0, [])
    assert told["more"] == [{"x": "firing"}]
    await notifier.close()


async def test_pagerduty_events_that_are_too_large(service: Service) -> None:
    """A long summary is cut, details that do not fit are left out, and both can be seen."""
    entry = {"routing_key": "k", "url": service.url, "description": "ä" * 2000, "details": {"large": "x" * 600_000}}
    notifier = notifier_of("pagerduty", entry)
    await notifier.notify(notification_of(FIRING))
    payload = service.requests[0].json["payload"]
    assert payload["summary"] == "ä" * 1023 + "…"
    assert list(payload["custom_details"]) == ["error"]
    assert "512KB" in payload["custom_details"]["error"]
    await notifier.close()


async def test_pagerduty_v1(service: Service) -> None:
    """With a service key, events go to version 1: triggered with a client, resolved without."""
    renderer = Renderer(AlertTemplates(), "http://watch.example")
    config = PagerdutyConfig.model_validate({"service_key": "k", "details": {"num_firing": "x"}})
    notifier = PagerdutyNotifier(config, "", HttpSender(None), renderer, url_v1=service.url)
    for alert in (FIRING, OVER):
        await notifier.notify(notification_of(alert))
    trigger, resolve = (request.json for request in service.requests)
    key = key_hash('{}:{group="shop"}')
    assert (trigger["service_key"], trigger["event_type"], trigger["incident_key"]) == ("k", "trigger", key)
    assert (resolve["service_key"], resolve["event_type"], resolve["incident_key"]) == ("k", "resolve", key)
    assert trigger["client"] == "Alertmanager"
    assert "client" not in resolve
    assert trigger["description"].startswith("[FIRING:1] shop")
    assert trigger["details"]["num_firing"] == "x"
    await notifier.close()


async def test_an_entry_of_its_own_and_global(service: Service) -> None:
    """What an entry does not say is taken from `global`: URLs, keys, and how to speak HTTP."""
    entry = {"message": "m", "description": "", "details": {"a": "b"}}
    http = {"http_headers": {"X-Team": {"values": ["a", "b"]}}}
    settings: dict[str, Any] = {
        "opsgenie_api_url": f"{service.url}/base?x=1",
        "opsgenie_api_key": "k",
        "http_config": http,
    }
    notifier = notifier_of("opsgenie", entry, **settings)
    await notifier.notify(notification_of(FIRING))
    await notifier.notify(notification_of(OVER))
    created, closed = service.requests
    assert (created.path, created.query) == ("/base/v2/alerts", "x=1")
    assert closed.path == f"/base/v2/alerts/{created.json['alias']}/close"
    assert closed.query == "x=1&identifierType=alias"
    assert created.json["details"]["a"] == "b"
    assert "description" not in created.json
    assert created.headers["Authorization"] == "GenieKey k"
    assert created.headers["X-Team"] in ("a", "b")
    await notifier.close()


async def test_teams_inherits_the_proxy_only(service: Service) -> None:
    """A msteamsv2 entry with an http_config of its own still goes through the proxy of `global`."""
    own = {"http_headers": {"X-Team": {"values": ["a"]}}}
    settings: dict[str, Any] = {"http_config": {"proxy_url": service.url, "bearer_token": "t"}}
    notifier = notifier_of("msteamsv2", {"webhook_url": "http://teams.example/hook", "http_config": own}, **settings)
    await notifier.notify(notification_of(FIRING, OVER))
    (request,) = service.requests
    assert request.headers["Host"] == "teams.example"
    assert "Authorization" not in request.headers
    body = request.json["attachments"][0]["content"]["body"]
    assert [block["color"] for block in body[:1]] == ["Attention"]
    assert HttpConfig().proxy_url is None
    await notifier.close()
