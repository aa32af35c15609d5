"""A night on call in Slack, with a real service, a real socket and a signed press of a button."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alerting.standin import Message, Person, SlackStandin, render_plain
from tests.integration.service import ServiceProcess


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandin]:
    """A stand-in for Slack that listens."""
    standin = SlackStandin()
    await standin.start()
    yield standin
    await standin.stop()


@pytest.fixture
def service(slack: SlackStandin, tmp_path: Path) -> ServiceProcess:
    """A service that tells a channel of the stand-in by a bot's token; not started."""
    (tmp_path / "signing").write_text(slack.signing_secret)
    (tmp_path / "token").write_text(slack.workspace.token)
    entry = {"send_resolved": True, "channel": "#alerts", "app_token_file": "token", "app_url": slack.api_url}
    alertmanager = {
        "route": {"receiver": "team", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "team", "slack_configs": [entry]}],
    }
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager))
    return ServiceProcess(
        tmp_path,
        {
            "alerting": {"config": "alertmanager.yml"},
            "slack": {
                "signing_secret_file": str(tmp_path / "signing"),
                "bot_token_file": str(tmp_path / "token"),
                "api_url": f"{slack.url}/api",
                "commands": "all",
            },
            "scrape": {"scrape_configs": []},
        },
    )


async def put(service: ServiceProcess, *pods: str, ended: bool = False) -> None:
    """Alerts of crashing pods, as a Prometheus sends them."""
    now = datetime.now(UTC)
    alerts: list[dict[str, Any]] = [
        {
            "labels": {"alertname": "CrashLooping", "pod": pod, "severity": "critical"},
            "annotations": {"summary": "A container is crash looping"},
            "startsAt": (now - timedelta(minutes=5)).isoformat(),
            **({"endsAt": now.isoformat()} if ended else {"endsAt": (now + timedelta(hours=1)).isoformat()}),
        }
        for pod in pods
    ]
    async with httpx.AsyncClient() as client:
        (await client.post(f"{service.url}/api/v2/alerts", json=alerts)).raise_for_status()


def replies(slack: SlackStandin, message: Message) -> list[str]:
    """What stands in the message's thread."""
    return [render_plain(one.payload) for one in slack.workspace.thread(message)]


async def thread_of(slack: SlackStandin, message: Message, count: int) -> list[str]:
    """The thread, once there are so many replies."""
    await slack.wait_until(lambda: len(slack.workspace.thread(message)) >= count, timeout_s=60)
    return replies(slack, message)


async def test_one_incident_is_one_message(slack: SlackStandin, service: ServiceProcess) -> None:
    """Alert, more alerts, one over, SIGKILL, silenced by a button, all over: one message and what happened below it."""
    with service:
        await put(service, "api-1")
        await slack.wait_for(1, timeout_s=60)
        (message,) = slack.workspace.top()
        await put(service, "api-2", "api-3")
        await thread_of(slack, message, 1)
        await put(service, "api-2", ended=True)
        await thread_of(slack, message, 2)
        service.kill()
        service.start()
        person = Person(slack, service.url)
        assert (await person.press(message, "watchhouse_silence_1h")).status_code == 200
        await slack.wait_until(lambda: len(slack.responses) >= 1, timeout_s=60)
        await thread_of(slack, message, 3)
        assert "🔕" in render_plain(message.payload)
        await put(service, "api-1", "api-3", ended=True)
        told = await thread_of(slack, message, 4)
        async with httpx.AsyncClient() as client:
            silences = (await client.get(f"{service.url}/api/v2/silences")).json()
    assert slack.workspace.top() == [message]
    assert render_plain(message.payload).startswith("✅ Resolved: 2 × CrashLooping")
    assert "api-2" in told[0]
    assert "api-3" in told[0]
    assert told[1].startswith("✅ ")
    assert "2 are left" in told[1]
    assert told[2].startswith("🔕 Silenced by kim until ")
    assert told[3].startswith("✅ All resolved after 5m")
    assert not slack.refusals
    assert [s["createdBy"] for s in silences] == ["kim"]
    assert slack.responses[0]["text"].startswith("Silenced until")


async def test_what_people_ask_and_do(slack: SlackStandin, service: ServiceProcess) -> None:
    """Commands are answered to who asked, a mention once in its thread; logs, acknowledging and silencing are seen."""
    with service:
        person = Person(slack, service.url)
        assert (await person.verify_url()).json() == {"challenge": "3eZbrw1aB"}
        assert (await person.command("ping")).json() == {"response_type": "ephemeral", "text": "pong"}
        assert "Nothing fires" in (await person.command("alerts")).json()["text"]
        assert "Watchhouse is green" in (await person.command("status")).json()["text"]
        assert "There is no SLO" in (await person.command("slo nothing")).json()["text"]
        assert "No lines" in (await person.command('logs {service="shop"} |= "a\\"b" 5')).json()["text"]
        assert "That failed" in (await person.command("logs {service=")).json()["text"]
        for retry in range(3):
            answer = await person.mention("ping", event_id="Ev1", ts="1700000000.000100", retry=retry)
            assert answer.status_code == 200
        await slack.wait_for(1, timeout_s=60)
        async with httpx.AsyncClient() as client:
            record = {"log": "panic: out of <memory>", "kubernetes": {"pod_name": "api-1", "container_name": "api"}}
            (await client.post(f"{service.url}/fluentbit/kube.api", json=[record])).raise_for_status()
        await put(service, "api-1")
        await slack.wait_for(2, timeout_s=60)
        (message,) = [m for m in slack.workspace.top() if m.own]
        await person.press(message, "watchhouse_logs")
        await slack.wait_until(lambda: len(slack.responses) == 1, timeout_s=60)
        await person.press(message, "watchhouse_ack")
        assert await thread_of(slack, message, 1) == ["👀 kim looks after it"]
        assert render_plain(message.payload).startswith("👀 CrashLooping")
        assert "CrashLooping" in (await person.command("alerts")).json()["text"]
        group = (await person.command("alerts")).json()["text"].rsplit("`", 2)[1]
        assert "Silenced until" in (await person.command(f"silence {group} 1h we know")).json()["text"]
        await slack.wait_until(
            lambda: any("we know" in r for m in slack.workspace.top() for r in replies(slack, m)), timeout_s=60
        )
    (asked,) = [m for m in slack.workspace.top() if not m.own]
    assert replies(slack, asked) == ["pong"]
    assert "panic: out of <memory>" in render_plain(slack.responses[0])
    assert slack.responses[0]["response_type"] == "ephemeral"


async def health_once(client: httpx.AsyncClient, *, troubled: bool) -> dict[str, Any]:
    """The service's health, once a Slack receiver is in it, or none is; the answer to Slack's is a moment away."""
    async with asyncio.timeout(30):
        while True:
            health: dict[str, Any] = (await client.get("/api/v1/status/health")).json()
            if any(name.startswith("receiver") for name in health["components"]) is troubled:
                return health
            await asyncio.sleep(0.05)


async def test_what_somebody_has_to_mend_is_shown(slack: SlackStandin, service: ServiceProcess) -> None:
    """A token Slack does not know: log, metrics, health and explanation say so, until it is mended."""
    token = slack.workspace.token
    slack.workspace.token = "xoxb-another"
    with service:
        await put(service, "api-1")
        await slack.wait_until(lambda: any("invalid_auth" in refusal for refusal in slack.refusals), timeout_s=60)
        async with httpx.AsyncClient(base_url=service.url) as client:
            health = await health_once(client, troubled=True)
            metrics = (await client.get("/metrics")).text
            alerts = (await client.get("/api/v2/alerts")).json()
            why = (await client.get("/api/v1/alerts/explain", params={"fingerprint": alerts[0]["fingerprint"]})).text
            slack.workspace.token = token
            await slack.wait_for(1, timeout_s=60)
            mended = await health_once(client, troubled=False)
    said = "Slack says invalid_auth to chat.postMessage: the token is wrong: take the bot token (xoxb-…) of the app"
    assert health["status"] == "yellow"
    assert health["components"]["receiver team/slack/0"] == {"status": "yellow", "detail": f"rejected: {said}"}
    assert 'watchhouse_slack_errors_total{error="invalid_auth"}' in metrics
    assert 'watchhouse_alert_notifications_total{integration="slack",result="rejected"}' in metrics
    assert said in why
    assert said in service.log.read_text()
    assert mended["components"].get("receiver team/slack/0") is None
