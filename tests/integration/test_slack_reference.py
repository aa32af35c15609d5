"""Entries of slack_configs with texts of their own: Alertmanager and Watchhouse post the same bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from alerting.manager.manager import AlertManager
from alerting.notify.build import build_notifiers
from alerting.slack.extras import Look
from alerting.slack.pace import Pacer
from alerting.slack.room import SlackRoom
from alerting.standin import SlackStandin
from app.alert import Alert
from app.labels import labels_from
from tests.alert_world import MemoryStore, config_of
from tests.integration.alertmanager_peer import running_alertmanager

EXTERNAL_URL = "http://alerts.example/am"
ENTRIES = {
    "title": "title: '{{ .CommonAnnotations.summary }}'",
    "text": """text: "{{ range .Alerts }}*{{ .Labels.pod }}* <{{ .Annotations.runbook }}|R> & more\\n{{ end }}\"""",
    "all": """
        channel: '#{{ .CommonLabels.team }}'
        username: '{{ .Receiver }}'
        icon_emoji: ':fire:'
        icon_url: 'https://example.org/{{ .Status }}.png'
        link_names: true
        title: '{{ template "slack.default.title" . }}!'
        title_link: '{{ .ExternalURL }}/x?a=1&b=2'
        pretext: '<!channel> {{ .Status | toUpper }}'
        text: 'ünïcode 😀 \\ " {{ .GroupLabels.SortedPairs.Values | join ", " }}'
        fallback: '{{ .Alerts.Firing | len }} firing'
        footer: 'seen by {{ .Receiver }}'
        color: '{{ if eq .Status "firing" }}#ff0000{{ else }}good{{ end }}'
        callback_id: 'call-{{ .GroupLabels.alertname }}'
        image_url: 'https://example.org/i.png'
        thumb_url: 'https://example.org/t.png'
        mrkdwn_in: [text]
        short_fields: true
        fields:
          - {title: 'Pods', value: '{{ range .Alerts }}{{ .Labels.pod }} {{ end }}'}
          - {title: 'Team', value: '{{ .CommonLabels.team }}', short: false}
        actions:
          - {type: button, text: Runbook, url: 'https://wiki.example/{{ .CommonLabels.alertname }}', style: primary}
          - type: button
            text: Stop
            name: stop
            value: '{{ .GroupLabels.alertname }}'
            confirm: {title: 'Sure?', text: 'Stop {{ .CommonLabels.team }}?', ok_text: 'Yes', dismiss_text: 'No'}""",
    "fields": "fields: [{title: A, value: '{{ .Status }}'}, {title: B, value: '&<>', short: true}]",
    "long": f"title: '{'x' * 2000}'",
    "links": "actions: [{type: button, text: '{{ .Status }}', url: 'https://x.example'}]",
    "empty": "title: ' '",
}


def config(slack: SlackStandin) -> str:
    """An Alertmanager file with an entry of each kind."""
    entries = "".join(
        f"\n      - send_resolved: true\n        api_url: '{slack.url}/services/{name}'\n        {text.strip()}"
        for name, text in ENTRIES.items()
    )
    route = "route: {receiver: 'team (all)', group_by: [alertname], group_wait: 1s, group_interval: 1s}"
    return f"{route}\nreceivers:\n  - name: 'team (all)'\n    slack_configs:{entries}\n"


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandin]:
    """A stand-in for Slack that listens."""
    standin = SlackStandin()
    await standin.start()
    yield standin
    await standin.stop()


def alerts(now: datetime, *, over: bool) -> list[Alert]:
    """Two crashing pods, one of them over, or both."""
    found = []
    for pod, ended in (("api-1", over), ("api-<2>", True)):
        labels = {"alertname": "Crash&Loop", "pod": pod, "team": "pay", "severity": "page"}
        annotations = {"summary": "It <crashes> & burns", "runbook": f"https://wiki.example/{pod}?a&b"}
        end = now if ended and over else None
        found.append(Alert(labels_from(labels), now - timedelta(minutes=5), end, labels_from(annotations)))
    return found


def posted(slack: SlackStandin) -> dict[str, list[bytes]]:
    """The bodies by entry, in order."""
    found: dict[str, list[bytes]] = {}
    for message in slack.messages:
        found.setdefault(message.path.rsplit("/", 1)[1], []).append(message.body)
    return found


async def test_the_same_bytes(slack: SlackStandin, tmp_path: Path) -> None:
    """For each kind of entry the body that fires and the one that is over are equal, byte for byte."""
    text, count = config(slack), len(ENTRIES)
    now = datetime.now().astimezone()
    with running_alertmanager(tmp_path, text, f"--web.external-url={EXTERNAL_URL}", "--web.route-prefix=/") as url:
        async with httpx.AsyncClient(base_url=f"{url}/api/v2") as http:
            for turn, over in ((1, False), (2, True)):
                body = [
                    {
                        "labels": dict(a.labels),
                        "annotations": dict(a.annotations),
                        "startsAt": a.starts_at.isoformat(),
                        **({"endsAt": a.ends_at.isoformat()} if a.ends_at else {}),
                    }
                    for a in alerts(now, over=over)
                ]
                (await http.post("/alerts", json=body)).raise_for_status()
                await slack.wait_for(turn * count, timeout_s=20)
    theirs = posted(slack)
    slack.messages.clear()
    room = SlackRoom(Look(EXTERNAL_URL), pacer=lambda: Pacer(0))
    parsed = config_of(text)
    notifiers = build_notifiers(parsed, external_url=EXTERNAL_URL, slack=room)
    manager = AlertManager(parsed, MemoryStore(), notifiers, external_url=EXTERNAL_URL)
    await manager.start()
    for turn, over in ((1, False), (2, True)):
        await manager.put_alerts(alerts(now, over=over))
        await slack.wait_for(turn * count, timeout_s=20)
    await manager.stop()
    assert posted(slack) == theirs
    assert set(theirs) == set(ENTRIES)
