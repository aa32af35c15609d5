"""Alerts to Slack over a real socket, with the state in a real store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerting.config import load_alertmanager
from alerting.manager.manager import AlertManager
from alerting.notify.build import build_notifiers
from alerting.slack.extras import Look
from alerting.slack.pace import Pacer
from alerting.slack.room import SlackRoom
from alerting.standin import SlackStandin, render_plain
from app.alert import Alert
from app.labels import labels_from
from app.store.client import Pool
from app.store.state import StateStore
from app.telemetry import REGISTRY

URL = "http://watchhouse.example"


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandin]:
    """A stand-in for Slack that listens."""
    standin = SlackStandin()
    yield standin
    await standin.stop()


@pytest.fixture
async def config_file(slack: SlackStandin, tmp_path: Path) -> Path:
    """A configuration that leads to the stand-in by a file with its URL."""
    (tmp_path / "slack-url").write_text(await slack.start() + "\n")
    path = tmp_path / "alertmanager.yml"
    path.write_text(
        "global: {slack_api_url_file: slack-url}\n"
        "route: {receiver: team, group_by: [slo], group_wait: 0s, group_interval: 1s}\n"
        "receivers: [{name: team, slack_configs: [{send_resolved: true, timeout: 300ms}]}]\n"
    )
    return path


def build(path: Path, pool: Pool) -> AlertManager:
    """A manager, as the service builds it."""
    config = load_alertmanager(path)
    room = SlackRoom(Look(URL), pacer=lambda: Pacer(0))
    notifiers = build_notifiers(config, external_url=URL, slack=room)
    return AlertManager(config, StateStore(pool), notifiers, external_url=URL)


def burning(slo: str = "checkout") -> Alert:
    """An alert of a burning SLO."""
    facts: dict[str, object] = {"slo": slo, "service": "shop", "severity": "page", "long_burn": 20.0, "threshold": 14.4}
    facts |= {"long_window_ms": 3_600_000, "short_window_ms": 300_000, "short_burn": 21.5, "budget_left": 0.5}
    labels = labels_from({"alertname": "SLOBurn", "slo": slo, "severity": "page"})
    return Alert(labels, datetime.now(UTC) - timedelta(minutes=5), facts=facts)


def count(result: str) -> float:
    """Attempts to notify Slack with this result so far."""
    labels = {"integration": "slack", "result": result}
    return REGISTRY.get_sample_value("watchhouse_alert_notifications_total", labels) or 0.0


async def test_from_alert_to_resolved(config_file: Path, slack: SlackStandin, embedded_pool: Pool) -> None:
    """An SLO alert is told with its burn rate, and told again when it is over; Slack refuses neither."""
    manager = build(config_file, embedded_pool)
    await manager.start()
    alert = burning()
    await manager.put_alerts([alert])
    first = (await slack.wait_for(1))[0]
    await manager.put_alerts([replace(alert, ends_at=datetime.now(UTC))])
    second = (await slack.wait_for(2))[1]
    await manager.stop()
    assert "checkout (shop)" in render_plain(first.payload)
    assert "20× (threshold 14.4×)" in render_plain(first.payload)
    assert "✅ Resolved" in render_plain(second.payload)
    assert not slack.refusals


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_restart_neither_doubles_nor_loses(
    how: str, config_file: Path, slack: SlackStandin, embedded_pool: Pool
) -> None:
    """Built again on the same store, a manager says nothing it said before, and tells the resolution once."""
    alert = burning()
    manager = build(config_file, embedded_pool)
    await manager.start()
    await manager.put_alerts([alert])
    await slack.wait_for(1)
    for _ in range(2):
        await _leave(manager, how)
        manager = build(config_file, embedded_pool)
        await manager.start()
        await manager.put_alerts([alert])
    # taken and kept, and the process is gone before it is told
    await manager.put_alerts([replace(alert, ends_at=datetime.now(UTC))])
    await _leave(manager, how)
    manager = build(config_file, embedded_pool)
    await manager.start()
    messages = await slack.wait_for(2)
    await _leave(manager, "stopped")
    manager = build(config_file, embedded_pool)
    await manager.start()
    # another group passes the whole way: had there been more to tell of the first, it would have come before
    await manager.put_alerts([burning("other")])
    messages = await slack.wait_for(3)
    await manager.stop()
    assert [render_plain(m.payload)[0] for m in messages] == ["🔴", "✅", "🔴"]


async def _leave(manager: AlertManager, how: str) -> None:
    if how == "stopped":
        await manager.stop()
        return
    # the answer was seen and the note is being written: SIGKILL after that is what at-least-once allows
    await _noted(manager)
    for task in manager.tasks():
        task.cancel()
    await asyncio.gather(*manager.tasks(), return_exceptions=True)


async def _noted(manager: AlertManager) -> None:
    flushes = [task for task in manager.tasks() if task.get_name().startswith("notify ")]
    await asyncio.gather(*flushes)


async def test_what_slack_does_not_take_now_is_sent_later(
    config_file: Path, slack: SlackStandin, embedded_pool: Pool
) -> None:
    """A 429, a 500 and a time out are each counted and tried again, and the message comes once."""
    before = {result: count(result) for result in ("rate_limited", "server_error", "timeout", "sent")}
    slack.misbehave("rate_limited", retry_after_s=1)
    slack.misbehave("server_error")
    slack.misbehave("no_answer")
    manager = build(config_file, embedded_pool)
    await manager.start()
    await manager.put_alerts([burning()])
    await slack.wait_for(1, timeout_s=20)
    await manager.stop()
    assert {result: count(result) - value for result, value in before.items()} == dict.fromkeys(before, 1.0)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("answer", ["rejected", "unreachable", "timeout", "server_error", "misconfigured"])
async def test_the_webhook_url_is_in_no_log(
    answer: str, config_file: Path, slack: SlackStandin, embedded_pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    """However sending ends, no log line at any level, no error and no name of a task holds the webhook's path."""
    url = (config_file.parent / "slack-url").read_text().strip()
    if answer == "timeout":
        slack.misbehave("no_answer")
    elif answer == "rejected":
        slack.misbehave("rejected")
    elif answer == "server_error":
        slack.misbehave("server_error")
    elif answer == "unreachable":
        await slack.stop()
    else:
        (config_file.parent / "slack-url").unlink()
    with caplog.at_level(logging.DEBUG):
        before = count(answer)
        manager = build(config_file, embedded_pool)
        await manager.start()
        await manager.put_alerts([burning()])
        names = [task.get_name() for task in manager.tasks()]
        if answer in ("rejected", "timeout", "server_error"):
            await slack.wait_for(1, timeout_s=20)
        await manager.stop()
    assert count(answer) > before
    secret = url.rsplit("/services/", 1)[1]
    shown = " ".join([*(r.getMessage() + str(r.__dict__) for r in caplog.records), *names, repr(manager.__dict__)])
    assert secret not in shown


async def test_many_groups_at_once(config_file: Path, slack: SlackStandin, embedded_pool: Pool) -> None:
    """A hundred groups are a hundred messages, each once."""
    manager = build(config_file, embedded_pool)
    await manager.start()
    await manager.put_alerts([burning(f"slo-{i}") for i in range(100)])
    messages = await slack.wait_for(100, timeout_s=30)
    await manager.stop()
    assert len({render_plain(m.payload).split("\n")[0] for m in messages}) == 100
    assert len(slack.messages) == 100
