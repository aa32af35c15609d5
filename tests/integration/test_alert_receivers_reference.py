"""Alertmanager and Watchhouse, with the same file and the same alerts, send the same to every kind of receiver."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerting.config import load_alertmanager
from alerting.manager.groups import AlertGroup
from alerting.manager.routes import build_routes
from alerting.notify.build import build_notifiers
from app.alert import Alert
from tests.ports import free_port
from tests.receiver_world import Mail, MailServer, Request, Service, alert_of, notification_of

EXTERNAL_URL = "http://alerts.example/am"
NEWEST = (0, 34)
CONFIG = """
global:
  opsgenie_api_url: @HTTP@/opsgenie
  smtp_smarthost: localhost:@SMTP@
  smtp_from: 'Alerts <alerts@example.org>'
  smtp_require_tls: false
  smtp_hello: watch.example
templates: [own.tmpl]
route:
  receiver: team (all)
  group_by: [group]
  group_wait: 1s
  group_interval: 1s
receivers:
  - name: team (all)
    webhook_configs:
      - {url: '@HTTP@/webhook/all'}
      - {url: '@HTTP@/webhook/few', max_alerts: 1, http_config: {authorization: {credentials: hush}}}
      - {url: '@HTTP@/webhook/firing', send_resolved: false, http_config: {basic_auth: {username: u, password: p}}}
    pagerduty_configs:
      - routing_key: r
        url: @HTTP@/pagerduty/enqueue
        client: '{{ template "own" . }}'
        details:
          firing: 'they are {{ range .Alerts.Firing }}{{ .Labels.Names }}{{ .Labels.Values }};{{ end }}'
          resolved: 'over {{ range .Alerts.Resolved }}{{ .Annotations.summary }};{{ end }}'
          num_firing: 'n={{ .Alerts.Firing | len }}'
          num_resolved: 'n={{ .Alerts.Resolved | len }}'
          long: '{{ .CommonAnnotations.dashboard }}'
        class: '{{ .CommonLabels.group }}'
        component: '{{ .GroupLabels.group | toUpper }}'
        group: '{{ .CommonLabels.nothing }}'
        severity: '{{ if eq .Status "firing" }}critical{{ else }}info{{ end }}'
        images: [{src: '{{ .CommonLabels.nothing }}', alt: a}, {src: 'https://x/{{ .Status }}', alt: a, href: h}]
        links: [{href: '{{ .ExternalURL }}', text: t}, {href: '', text: none}]
    opsgenie_configs:
      - api_key: '{{ .GroupLabels.group }}-key'
        tags: 'a,{{ .CommonLabels.group }},,'
        note: '{{ .CommonLabels.alertname }}'
        priority: P2
        entity: e
        actions: 'x,y'
        update_alerts: true
        details: {own: '{{ .Alerts | len }}', group: mine}
        responders:
          - {name: 'a,b', type: teams}
          - {id: '{{ .CommonLabels.nothing }}', type: '{{ .CommonLabels.nothing }}'}
          - {username: 'u@example.org', type: user}
        message: '{{ range .Alerts }}{{ .Annotations.summary }} {{ .GeneratorURL }} äöü {{ end }}'
    email_configs:
      - to: 'A <a@example.org>, b@example.org'
        send_resolved: true
        headers: {reply-to: r@example.org, X-Group: '{{ .GroupLabels.group }} ü'}
        html: '<p title="{{ .CommonAnnotations.dashboard }}">{{ range .Alerts }}{{ .Annotations.summary }}{{ end }}</p>'
        text: "{{ .Status }}: {{ range .Alerts }}\\n {{ .Labels.alertname }}: {{ .Annotations.summary }}{{ end }} ä\\n"
"""
# a second receiver, for versions that have all of this
NEWER = """  - name: newer
    msteams_configs:
      - {webhook_url: '@HTTP@/msteams', title: '{{ .Status }}', text: '{{ .CommonAnnotations.summary }}'}
      - {webhook_url: '@HTTP@/msteams/default'}
    msteamsv2_configs:
      - {webhook_url: '@HTTP@/msteamsv2', text: '{{ len .Alerts }} <alerts>'}
      - {webhook_url: '@HTTP@/msteamsv2/default'}
    pagerduty_configs:
      - routing_key: r
        url: '@HTTP@/pagerduty/default'
        details:
          nested: [{a: '{{ .Status }}', b: 007, c: yes, d: 1.50, e: 2026-01-02, f: '1e3', g: '', h: '[a, b] c'}]
          date: '2026-01-02'
          colon: 'value: {{ .Status }}'
          octal: '0{{ len .Alerts }}'
    webhook_configs:
      - url: '@HTTP@/payload/{{ .GroupLabels.group }}/{{ .RouteLabels.who }}'
        payload:
          list: ['{{ .NotificationReason }}', '{{ len .Alerts }}', {deep: '{{ .CommonLabels.SortedPairs }}'}]
          '{{ .Status }}': '{{ .CommonLabels | toJson }}'
          labels: '{{ routeLabels "owner" }}'
    email_configs:
      - to: c@example.org
        send_resolved: true
        threading: {enabled: true, thread_by_date: daily}
        html: '<a href="{{ .ExternalURL }}">{{ .CommonLabels.SortedPairs }}</a>'
"""
NEWER_ROUTES = """  labels: {owner: 'team {{ .GroupLabels.group }}'}
  routes:
    - {receiver: newer, continue: true, labels: {who: '{{ routeLabels "owner" | toUpper }}'}}
    - {matchers: ['alertname=~".+"']}
"""
OWN = '{{ define "own" }}{{ .Receiver }} of {{ .ExternalURL }}{{ end }}'
A, B, C, D = (
    alert_of("Zebra", group="shop", job="api", instance="b:1"),
    alert_of("Ape", group="shop", job="api", instance="a:1", more="x"),
    alert_of("Cow", group="shop"),
    alert_of("Bee", group="shop", x="y"),
)
A_OVER, B_OVER = (alert_of(a.name, over=True, **{n: v for n, v in a.labels if n != "alertname"}) for a in (A, B))
C_OVER, D_OVER = (alert_of(a.name, over=True, **{n: v for n, v in a.labels if n != "alertname"}) for a in (C, D))
STEPS: list[tuple[Alert, ...]] = [(A, B, C, D), (A_OVER, B, C_OVER, D), (B_OVER, D_OVER)]


class Side:
    """What one of the two sends to."""

    def __init__(self) -> None:
        self.http = Service()
        self.mail = MailServer()

    async def start(self) -> Side:
        await self.http.start()
        await self.mail.start()
        return self

    async def stop(self) -> None:
        await self.http.stop()
        await self.mail.stop()

    async def wait_for(self, other: Side) -> None:
        """Returns when as much came as came to the other side."""
        await self.http.wait_for(len(other.http.requests))
        await self.mail.wait_for(len(other.mail.mails))

    def items(self, version: tuple[int, int]) -> list[tuple[Any, ...]]:
        """What came, in a form that can be compared, and forgets it."""
        found = [*_comparable(self.http.requests, version), *map(_mail, self.mail.mails)]
        self.http.requests.clear()
        self.mail.mails.clear()
        return found

    def config(self, folder: Path, *, newer: bool) -> Path:
        """The file for this side."""
        folder.mkdir()
        (folder / "own.tmpl").write_text(OWN)
        path = folder / "alertmanager.yml"
        text = CONFIG + (NEWER if newer else "")
        text = text.replace("receivers:\n", f"{NEWER_ROUTES if newer else ''}receivers:\n", 1)
        path.write_text(text.replace("@HTTP@", self.http.url).replace("@SMTP@", str(self.mail.port)))
        return path


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    """Theirs and ours."""
    pair = await Side().start(), await Side().start()
    yield pair
    for side in pair:
        await side.stop()


async def test_the_same_requests_and_mails(sides: tuple[Side, Side], tmp_path: Path) -> None:
    """Firing, partly over, all over: each notifier's requests and mails are equal but for times and versions."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("alertmanager is not installed (Debian: prometheus-alertmanager)")
    version = await _version(program)
    newer = version >= NEWEST
    theirs, ours = sides
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={theirs.config(tmp_path / 'theirs', newer=newer)}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        f"--web.external-url={EXTERNAL_URL}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    config = load_alertmanager(ours.config(tmp_path / "ours", newer=newer))
    notifiers = build_notifiers(config, external_url=EXTERNAL_URL)
    nodes = build_routes(config.route).match(dict(A.labels))
    reasons = ["first notification", "some alerts resolved", "all alerts resolved"]
    seen = 0
    try:
        transport = httpx.AsyncHTTPTransport(retries=10)
        async with httpx.AsyncClient(base_url=f"http://{address}/am", transport=transport) as http:
            (await http.get("/-/ready")).raise_for_status()
            # alerts older than group_wait would go out at once, before the others of their step are there
            begin = datetime.now(UTC)
            known: dict[str, Alert] = {}
            for number, (alerts, reason) in enumerate(zip(STEPS, reasons, strict=True)):
                step = [_begun(alert, begin) for alert in alerts]
                (await http.post("/api/v2/alerts", json=[_posted(alert) for alert in step])).raise_for_status()
                now = datetime.now(UTC)
                known = {f: a for f, a in known.items() if not a.resolved_at(now)} | {a.fingerprint: a for a in step}
                for node in nodes:
                    group = AlertGroup(node, (("group", "shop"),), now)
                    told = notification_of(
                        *known.values(),
                        group_key=group.key,
                        receiver=node.receiver,
                        route_labels=node.labels,
                        now=now,
                        reason=reason,
                    )
                    for notifier in notifiers[node.receiver]:
                        # whoever is not told of ends has no news after the first step
                        if notifier.send_resolved or number == 0:
                            await notifier.notify(told)
                await theirs.wait_for(ours)
                got = [side.items(version) for side in sides]
                assert [item[0] for item in got[0]] == [item[0] for item in got[1]], f"step {number}"
                for their_item, our_item in zip(*got, strict=True):
                    assert our_item == their_item, f"step {number}"
                seen += len(got[0])
        assert seen == (41 if newer else 20)
    finally:
        for notifier in (notifier for many in notifiers.values() for notifier in many):
            await notifier.close()
        process.terminate()
        await process.wait()


async def _version(program: str) -> tuple[int, int]:
    process = await asyncio.create_subprocess_exec(
        program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    numbers = re.search(rb"version (\d+)\.(\d+)", told)
    # one that was built by hand tells no version
    return (int(numbers[1]), int(numbers[2])) if numbers else (99, 0)


def _begun(alert: Alert, begin: datetime) -> Alert:
    return replace(alert, starts_at=begin, ends_at=begin + timedelta(milliseconds=7) if alert.ends_at else None)


def _posted(alert: Alert) -> dict[str, Any]:
    body: dict[str, Any] = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": alert.starts_at.isoformat(),
        "generatorURL": alert.generator_url,
    }
    return body | ({"endsAt": alert.ends_at.isoformat()} if alert.ends_at else {})


def _comparable(requests: list[Request], version: tuple[int, int]) -> list[tuple[Any, ...]]:
    found = []
    for request in requests:
        body = request.json
        if "commonLabels" in body and version < NEWEST:
            body = {key: value for key, value in body.items() if key not in ("notification_reason", "routeLabels")}
        if "alerts" in body:
            for alert in body["alerts"]:
                alert |= {key: datetime.fromisoformat(alert[key]) for key in ("startsAt", "endsAt")}
        kept = {name: request.headers.get(name) for name in ("Content-Type", "Authorization")}
        found.append((request.path, request.method, request.query, kept, body))
    return sorted(found, key=lambda item: (item[0], item[1]))


def _mail(mail: Mail) -> tuple[Any, ...]:
    changing = ("message-id", "date", "content-type")
    headers = {name.lower(): str(value) for name, value in mail.message.items() if name.lower() not in changing}
    parts = [
        (part.get_content_type(), part.get_content_charset(), part["Content-Transfer-Encoding"], _lines(part))
        for part in mail.message.iter_parts()
    ]
    return mail.sender, mail.recipients, mail.hello, mail.message.get_content_type(), headers, parts


def _lines(part: Any) -> list[str]:
    return str(part.get_content()).splitlines()
