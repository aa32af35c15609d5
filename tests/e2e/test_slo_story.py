"""Counters by remote write, an SLO that burns, a page in Slack, and no second one after a restart."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest
import yaml

from alerting.standin import ReceivedMessage, SlackStandin, render_plain
from ingest import prompb
from tests.integration.service import ServiceProcess

SLO = """
version: prometheus/v1
service: shop
labels: {team: checkout}
slos:
- name: availability
  objective: 99.9
  description: Checkout answers.
  sli:
    events:
      error_query: sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))
      total_query: sum(rate(http_requests_total[{{.window}}]))
  alerting:
    name: ShopBurnsBudget
    annotations: {runbook_url: "https://runbooks.example/shop"}
"""
STEP_S, HOURS = 15, 2
TOTAL_PER_STEP = 150


def two_hours(end_ms: int) -> bytes:
    """A remote write body: two hours of counters, 20 % errors in the last hour; a scrape a sample."""
    steps = HOURS * 3600 // STEP_S
    good, bad = 0.0, 0.0
    request = prompb.WriteRequest()
    rows = []
    for i in range(steps + 1):
        broken = i > steps // 2
        errors = TOTAL_PER_STEP * 0.2 if broken else 0.0
        good, bad = good + TOTAL_PER_STEP - errors, bad + errors
        rows.append((end_ms - (steps - i) * STEP_S * 1000, good, bad))
    for code, column in (("200", 1), ("500", 2)):
        entry = request.timeseries.add()
        for name, value in (("__name__", "http_requests_total"), ("code", code), ("job", "shop")):
            entry.labels.add(name=name.encode(), value=value.encode())
        for row in rows:
            entry.samples.add(timestamp=row[0], value=row[column])
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def alertmanager(webhook: str) -> str:
    """An Alertmanager file with one Slack receiver."""
    return yaml.safe_dump(
        {
            "route": {"receiver": "slack", "group_by": ["sloth_service"], "group_wait": "1s", "group_interval": "10s"},
            "receivers": [
                {"name": "slack", "slack_configs": [{"api_url": webhook, "channel": "#oncall", "send_resolved": True}]}
            ],
        }
    )


async def test_a_burning_slo_pages_once_across_a_restart(tmp_path: Path) -> None:
    """The SLO file is loaded over two hours of history: one page within 60 s, naming SLO and burn rate.

    SIGTERM ends the service within 10 s; started again it says nothing new.
    """
    slack = SlackStandin()
    webhook = await slack.start()
    (tmp_path / "alertmanager.yml").write_text(alertmanager(webhook))
    (tmp_path / "slos").mkdir()
    config = {"slo": {"files": ["slos/*.yml"], "interval": "15s"}, "alerting": {"config": "alertmanager.yml"}}
    service = ServiceProcess(tmp_path, config)
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        try:
            await asyncio.to_thread(service.start)
            end_ms = int(time.time() // 15 * 15 * 1000)
            headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
            answer = await client.post("/api/v1/write", content=two_hours(end_ms), headers=headers)
            assert answer.status_code == 204
            (tmp_path / "slos" / "shop.yml").write_text(SLO)
            assert (await client.post("/-/reload")).status_code == 200
            await _page_comes(client, slack, service)
            count = len(slack.messages)
            status, seconds = await asyncio.to_thread(service.stop)
            assert (status, seconds < 10) == (0, True)
            await asyncio.to_thread(service.start)
            async with asyncio.timeout(30):
                while not any(a["firing"] for slo in await _slos(client) for a in slo["alerts"]):
                    await asyncio.sleep(0.1)
            active = (await client.get("/api/v2/alerts")).json()
            assert any(a["labels"]["alertname"] == "ShopBurnsBudget" for a in active)
            # longer than group_wait and group_interval: what would be sent comes in that time
            with pytest.raises(TimeoutError):
                await slack.wait_for(count + 1, timeout_s=13)
        finally:
            service.__exit__()
            await slack.stop()


async def _page_comes(client: httpx.AsyncClient, slack: SlackStandin, service: ServiceProcess) -> None:
    try:
        messages = await slack.wait_for(1, timeout_s=60)
    except TimeoutError:
        raise AssertionError(f"no page; {list(slack.refusals)}; {service.log.read_text()[-3000:]}") from None
    # page and ticket belong to one group; both may come in one message or one after the other
    text = "\n".join(render_plain(m.payload) for m in await _settled(slack, messages))
    (slo,) = await _slos(client)
    page = next(a for a in slo["alerts"] if a["severity"] == "page" and a["long_window"] == "1h")
    assert page["firing"] is True
    # 20 % errors against a budget of 0.1 % for a whole hour
    assert abs(page["long_burn"] - 200) < 5
    assert "availability" in text
    assert "200" in text or f"{page['long_burn']:.0f}" in text


async def _slos(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/api/v1/slos")
    return list(answer.json()["data"])


async def _settled(slack: SlackStandin, first: list[ReceivedMessage]) -> list[ReceivedMessage]:
    """The messages once the group's second chance (its group_interval) has passed."""
    try:
        return await slack.wait_for(len(first) + 1, timeout_s=15)
    except TimeoutError:
        return list(slack.messages)
