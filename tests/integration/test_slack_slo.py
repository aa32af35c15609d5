"""A burning SLO in Slack: its page, what stands out among its bad events, and its chart, uploaded or by a URL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from alerting.notify.base import Notification
from alerting.notify.build import build_notifiers
from alerting.slack.chart import draw
from alerting.slack.chart_urls import SignedCharts
from alerting.slack.extras import Look
from alerting.slack.pace import Pacer
from alerting.slack.room import SlackRoom
from alerting.standin import SlackStandin, render_plain
from app.api.gate import QueryGate
from app.api.slack.routes import slack_router
from app.api.slack.slos import SlackSlos
from app.config import Auth, Limits, Token
from app.listen import HttpServer
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.web import TokenCheck, create_app
from tests.alert_world import config_of
from tests.integration.promql_world import put, series
from tests.integration.slo_world import MINUTE, NOW, World, burning_world
from tests.slack import scenes
from tests.slack.bots import bot

URL = "https://watchhouse.example.com"


@dataclass
class Burning:
    """An SLO that burns, what knows of it, and a stand-in for Slack."""

    world: World
    slos: SlackSlos
    slack: SlackStandin
    now: datetime

    def told(self) -> Notification:
        """Its pages, on their way."""
        alerts = tuple(a for a in self.world.sink.puts[-1] if a.name == "ShopDown")
        return Notification("{}:{}", (), "team", alerts, self.now, 3_600_000, self.now + timedelta(minutes=5))


@pytest.fixture
async def burning(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Burning]:
    """An hour in which a fifth of the requests fails, nearly all of the bad ones on one route."""
    # the first query of a process compiles; how long a page waits is not what is tested here
    monkeypatch.setattr("alerting.slack.room.FIND_OUT_S", 60.0)
    monkeypatch.setattr("app.api.slack.slos.QUERY_S", 60.0)
    world = burning_world(embedded_pool)
    engine = world.engine()
    await engine.cycle()
    times = range(NOW - 60 * MINUTE, NOW + 1, MINUTE)
    counters = {"/pay": (19, 40), "/list": (1, 60)}
    for metric, place in (("bad", 0), ("all", 1)):
        rows = {
            series(metric, route=route, job="shop"): [(t, i * counts[place]) for i, t in enumerate(times)]
            for route, counts in counters.items()
        }
        put(embedded_pool, rows)
    limits = Limits()
    gate = QueryGate(limits)
    promql, logql = PromQLEngine(embedded_pool, limits), LogQLEngine(embedded_pool, limits)
    slack = SlackStandin()
    await slack.start()
    # the first picture of a process takes a while; a service draws one at start
    await asyncio.to_thread(draw, scenes.burn_down())
    slos = SlackSlos(lambda: engine, promql, logql, gate, limits)
    yield Burning(world, slos, slack, datetime.fromtimestamp(NOW / 1000, UTC))
    await slack.stop()
    await asyncio.to_thread(gate.close)
    await engine.stop()


async def test_a_page_says_where_it_burns(burning: Burning) -> None:
    """The message has the numbers of the engine, the route that fails, and a chart of the budget."""
    room = SlackRoom(Look(URL), slos=burning.slos, pacer=lambda: Pacer(0))
    notifier = bot(burning.slack, room)
    memory = await notifier.notify(burning.told())
    (message,) = burning.slack.workspace.top()
    shown = render_plain(message.payload)
    assert "availability (shop) burns at 200×" in shown
    assert "Burn rate over 1h: 200× (threshold 14.4×)" in shown
    # 19 of 20 bad events a minute, while four of ten requests go there
    assert "route=/pay  95 % of the bad ones (1,140), of all events 40 %" in shown
    assert "Error budget of availability over" in shown
    assert list(burning.slack.calls)[-4:] == [
        "files.getUploadURLExternal", "files.completeUploadExternal", "files.info", "chat.postMessage",
    ]  # fmt: skip
    over = tuple(replace(a, ends_at=burning.now) for a in burning.told().alerts)
    assert memory is not None
    await notifier.notify(replace(burning.told(), alerts=over, memory=memory))
    assert render_plain(message.payload).startswith("✅ Resolved: availability (shop)")
    assert not burning.slack.refusals
    await notifier.close()
    room.close()


async def test_a_chart_by_url(burning: Burning, tmp_path: Path) -> None:
    """A webhook's message has a signed URL, at which anybody with it, and nobody else, gets a PNG without a token."""
    charts = SignedCharts(URL, b"secret")
    room = SlackRoom(Look(URL), slos=burning.slos, chart_urls=charts, pacer=lambda: Pacer(0))
    hook = f"{burning.slack.url}/services/x"
    config = config_of(
        f"route: {{receiver: team}}\nreceivers: [{{name: team, slack_configs: [{{api_url: '{hook}'}}]}}]\n"
    )
    (notifier,) = build_notifiers(config, external_url=URL, slack=room)["team"]
    told = replace(burning.told(), now=datetime.now(UTC), deadline=datetime.now(UTC) + timedelta(minutes=1))
    assert await notifier.notify(told) is None
    payload = burning.slack.messages[-1].payload
    (image,) = (b for b in payload["attachments"][0]["blocks"] if b["type"] == "image")
    assert image["image_url"].startswith(f"{URL}/slack/chart/shop-availability.png?")
    assert "route=/pay" in render_plain(payload)
    sock = socket.create_server(("127.0.0.1", 0))
    (tmp_path / "token").write_text("needed elsewhere")
    guard = TokenCheck(Auth(tokens=(Token(name="x", token_file=tmp_path / "token", roles=("query",)),)))
    server = HttpServer(create_app([slack_router(None, charts, room)], {}, guard, "test"), sock)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", headers={"Host": "w.example.com"}) as http:
        path = image["image_url"].removeprefix(URL)
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.content.startswith(b"\x89PNG")
        assert len(answer.content) < 60_000
        assert (await http.get(path[:-1])).status_code == 403
        assert (await http.get(path.replace("availability", "other"))).status_code == 403
        other = charts.url("shop-other", 3_600_000, datetime.now(UTC)).removeprefix(URL)
        assert (await http.get(other)).status_code == 404
        assert (await http.post("/slack/interactive")).status_code == 404
        assert (await http.get("/api/v1/slos")).status_code == 401
    await server.stop()
    await notifier.close()
    room.close()
