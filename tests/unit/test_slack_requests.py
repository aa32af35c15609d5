"""Requests of Slack: genuine ones are taken once, everything else is refused; who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
import yaml
from pydantic import ValidationError
from slack_sdk.signature import SignatureVerifier
from typer.testing import CliRunner

from alerting.slack.chart_urls import SignedCharts, reachable_by_slack
from alerting.slack.commands import Commands
from alerting.slack.desk import Group, LogAnswer, LogLine, Person, Rights, SloView, Status, silence_matchers
from alerting.slack.extras import BurnDown, Offender
from alerting.slack.inbound import SlackInbound
from alerting.slack.room import SlackRoom
from alerting.slack.verify import CameBefore, NotFromSlack, Verifier
from alerting.standin import check_payload
from app.alert import Alert
from app.api.slack.world import SlackWorld, selector_of
from app.cli import app
from app.config import Slack
from app.errors import StoreUnavailable
from app.labels import Matcher, MatchOp, labels_from
from tests.alert_world import START, HandClock, MemoryStore, alert, manager_of
from tests.slack import scenes

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_700_000_000
KIM = Person("U0KIM", "kim")


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A file with the signing secret."""
    path = tmp_path / "signing"
    path.write_text(SECRET + "\n")
    return path


def signed(body: bytes, at_s: int = NOW, secret: str = SECRET) -> dict[str, str]:
    """The headers Slack sends with a body."""
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(at_s), body=body)
    return {"x-slack-request-timestamp": str(at_s), "x-slack-signature": signature or ""}


def test_a_genuine_request_is_taken_once(secret_file: Path) -> None:
    """The same signature is refused the second time; another request is not."""
    verifier = Verifier(secret_file, lambda: NOW)
    verifier.check(signed(b"a"), b"a")
    with pytest.raises(CameBefore):
        verifier.check(signed(b"a"), b"a")
    verifier.check(signed(b"b"), b"b")


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ({}, b"a", "no timestamp"),
        ({"x-slack-request-timestamp": str(NOW)}, b"a", "wrong"),
        ({"x-slack-request-timestamp": "²", "x-slack-signature": "v0=1"}, b"a", "no timestamp"),
        ({"x-slack-request-timestamp": "9" * 400, "x-slack-signature": "v0=1"}, b"a", "no timestamp"),
        (signed(b"a", NOW - 301), b"a", "301 s old"),
        (signed(b"a", NOW + 301), b"a", "old"),
        (signed(b"a", NOW - 60), b"a", "before this process began"),
        (signed(b"a", secret="another"), b"a", "wrong"),
        (signed(b"a"), b"b", "wrong"),
        (signed(b"a"), b"\xff", "wrong"),
        ({**signed(b"a"), "x-slack-signature": "v0=ünïcode"}, b"a", "wrong"),
    ],
)
def test_everything_else_is_refused(headers: dict[str, str], body: bytes, why: str, secret_file: Path) -> None:
    """Old, early, unsigned, wrongly signed, changed, and what a process before may have taken."""
    with pytest.raises(NotFromSlack, match=why):
        Verifier(secret_file, lambda: NOW).check(headers, body)


def test_the_secret_may_change(secret_file: Path) -> None:
    """A new secret in the file holds for the next request."""
    verifier = Verifier(secret_file, lambda: NOW)
    secret_file.write_text("another")
    with pytest.raises(NotFromSlack):
        verifier.check(signed(b"a"), b"a")
    verifier.check(signed(b"a", secret="another"), b"a")


async def test_a_secret_that_is_away_is_nobody_s_business(secret_file: Path) -> None:
    """Without its file a request cannot be checked: 503, and the answer names no path."""
    asked = Asked(secret_file)
    secret_file.unlink()
    answer = await asked.inbound.command(signed(b"a"), b"a")
    assert (answer.status, answer.body) == (503, None)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"allow_actions": ["kim"]}, "'kim' is no user id of Slack"),
        ({"allow_actions": "nobody"}, "everyone"),
        ({"commands": "some"}, "read_only"),
        ({"grafana": {"url": "grafana.example"}}, "must start with https://"),
        ({"signing_secret": "x"}, "signing_secret"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], wrong: str) -> None:
    """User names, unknown words and keys, and addresses that are none are refused with what is wanted."""
    with pytest.raises(ValidationError, match=wrong):
        Slack.model_validate(settings)
    assert Slack.model_validate({"allow_actions": ["U012AB3CD"]}).allow_actions == ("U012AB3CD",)


class Desk:
    """A `World` with one group, that notes what is done in it."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.alerts = (alert("Crash", pod="a", team="x"), alert("Crash", pod="b", team="x"))
        self.slow = asyncio.Event()
        self.slow.set()

    def groups(self) -> list[Group]:
        return [Group("{}:{}", "team", (), self.alerts)]

    async def acknowledge(self, group: Group, by: Person) -> int:
        self.done.append(("ack", group.key, by.audited))
        return 2

    async def silence(self, matchers: Sequence[Matcher], length: timedelta, by: Person, comment: str) -> datetime:
        self.done.append(("silence", matchers, length, by.audited, comment))
        return START + length

    async def slos(self) -> list[SloView]:
        return [
            SloView("shop-a", "a", "shop", 99.9, 0.4, 3_600_000, ((300_000, 3.0), (3_600_000, 2.0)), "page"),
            SloView("shop-b", "b", "shop", 99.0, 0.9, None, ((300_000, 0.0), (3_600_000, 0.1))),
            SloView("other-b", "b", "other", 99.0, None, None, (), error="no <data>"),
        ]

    async def logs_of(self, alerts: Sequence[Alert], limit: int) -> LogAnswer:
        return await self.logs('{pod=~"a|b"}', limit)

    async def logs(self, query: str, limit: int) -> LogAnswer:
        await self.slow.wait()
        self.done.append(("logs", query, limit))
        line = LogLine(datetime(2026, 3, 1, tzinfo=UTC), (), "```<!channel> " + "x" * 5000)
        return LogAnswer(query, [line] * limit)

    async def status(self) -> Status:
        return Status("yellow", ["slack team/slack/0: Slack says invalid_auth"])


class Speaker:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Mapping[str, Any]]] = []

    async def respond(self, url: str, payload: Mapping[str, Any]) -> None:
        check_payload(dict(payload))
        self.said.append((url, payload))

    async def say(self, channel: str, thread_ts: str, payload: Mapping[str, Any]) -> None:
        check_payload(dict(payload))
        self.said.append((f"{channel} {thread_ts}", payload))


class Asked:
    """An inbound with a desk and a speaker, and requests that are signed for it."""

    def __init__(self, secret_file: Path, rights: Rights | None = None) -> None:
        self.desk, self.speaker, self.room = Desk(), Speaker(), SlackRoom()
        rights = rights or Rights()
        commands = Commands(self.desk, self.room, rights)
        verifier = Verifier(secret_file, lambda: NOW)
        self.inbound = SlackInbound(verifier, self.desk, rights, self.room, commands, self.speaker)

    async def press(self, action: str, value: str = "") -> int:
        group = self.desk.groups()[0].id
        payload = {
            "type": "block_actions", "user": {"id": "U0KIM", "name": "kim"}, "response_url": "https://hooks.slack.com/x",
            "actions": [{"action_id": action, "value": value or group}], "trigger_id": str(len(self.desk.done)),
        }  # fmt: skip
        body = urlencode({"payload": orjson.dumps(payload).decode()}).encode()
        answer = await self.inbound.interactive(signed(body), body)
        await self.inbound.stop()
        return answer.status


async def test_who_may_press(secret_file: Path) -> None:
    """With a list of users only those may acknowledge and silence; everybody may see the logs."""
    asked = Asked(secret_file, Rights(False, frozenset({"U0LEE"})))
    assert await asked.press("watchhouse_ack") == 200
    assert await asked.press("watchhouse_silence_1h", f"1h {asked.desk.groups()[0].id}") == 200
    assert await asked.press("watchhouse_logs") == 200
    assert [done[0] for done in asked.desk.done] == ["logs"]
    assert "allow_actions" in asked.speaker.said[0][1]["text"]


async def test_what_a_press_does(secret_file: Path) -> None:
    """It is done in the name of who pressed; where messages do not follow, the channel is told."""
    asked = Asked(secret_file)
    await asked.press("watchhouse_ack")
    await asked.press("watchhouse_silence_4h", f"4h {asked.desk.groups()[0].id}")
    asked.room.followed.add("team")
    await asked.press("watchhouse_silence_1d", f"1d {asked.desk.groups()[0].id}")
    who = "kim (Slack U0KIM)"
    name = equal(alertname="Crash")
    assert asked.desk.done == [
        ("ack", "{}:{}", who),
        ("silence", name, timedelta(hours=4), who, "from Slack"),
        ("silence", name, timedelta(days=1), who, "from Slack"),
    ]
    assert [said["response_type"] for _, said in asked.speaker.said] == ["in_channel", "in_channel", "ephemeral"]


async def test_odd_presses(secret_file: Path) -> None:
    """A group that is over, a button of somebody else and a length nobody offered do nothing; rubbish is 400."""
    asked = Asked(secret_file)
    await asked.press("watchhouse_ack", "0" * 24)
    await asked.press("stop")
    await asked.press("watchhouse_silence_9h", f"9h {asked.desk.groups()[0].id}")
    assert asked.desk.done == []
    assert "Nothing of this fires" in asked.speaker.said[0][1]["text"]
    for body in (
        b"payload=%7B",
        b"",
        b"payload=%5B%5D",
        b"payload=%7B%22type%22%3A%22block_actions%22%7D",
        b"payload=%FF",
    ):
        assert (await asked.inbound.interactive(signed(body), body)).status == 400
    forged = b"payload=%7B%7D"
    assert (await asked.inbound.interactive(signed(forged, secret="x"), forged)).status == 401


async def test_a_slow_command_is_answered_later(secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is answered in time, and what was asked for goes to the response URL."""
    monkeypatch.setattr("alerting.slack.inbound.ANSWER_AT_ONCE_S", 0.0)
    asked = Asked(secret_file)
    asked.desk.slow.clear()
    body = urlencode(
        {"user_id": "U0KIM", "text": 'logs {a="b"} 3', "response_url": "https://hooks.slack.com/x"}
    ).encode()
    answer = await asked.inbound.command(signed(body), body)
    assert (answer.status, answer.body) == (200, None)
    asked.desk.slow.set()
    await asked.inbound.stop()
    assert asked.desk.done == [("logs", '{a="b"}', 3)]
    assert asked.speaker.said[0][1]["response_type"] == "ephemeral"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ping", "pong"),
        ("", "What I answer"),
        ("frobnicate <x>", "I do not know `frobnicate`"),
        ("status", "🟠 Watchhouse is yellow"),
        ("slo a", "burns at 3×"),
        ("slo SHOP-A", "burn rates 5m 3×, 1h 2×"),
        ("slo b", "2 SLOs are called that"),
        ("slo nothing", "There is no SLO"),
        ("slo", "Which one?"),
        ("top", "shop-a"),
        ("alerts", "*Crash* ×2"),
        ("logs {a=&quot;b&quot;} 2", "newest lines"),
        ("logs shop", '{service="shop"}'),
        ("logs", "Of what?"),
        ("slo 'x", "I cannot read that"),
        ("silence 123 1h", "Commands only read here"),
        ("ack 123", "I cannot read that: which group?"),
    ],
)
async def test_commands(text: str, told: str, secret_file: Path) -> None:
    """Each is answered in words Slack takes, and none changes anything by default."""
    asked = Asked(secret_file)
    answer = (await Commands(asked.desk, asked.room, Rights()).answer(text, KIM)).payload()
    check_payload(answer)
    assert told in orjson.dumps(answer).decode().replace('\\"', '"')
    assert "<!channel>" not in orjson.dumps(answer).decode()
    assert [done for done in asked.desk.done if done[0] != "logs"] == []


async def test_commands_that_act(secret_file: Path) -> None:
    """With slack.commands: all, and the right to, a group is silenced and acknowledged by the name `alerts` gives."""
    asked = Asked(secret_file)
    commands = Commands(asked.desk, asked.room, Rights(commands=True))
    name = asked.desk.groups()[0].id[:8]
    assert f"`{name}`" in (await commands.answer("alerts", KIM)).text
    assert "Silenced until" in (await commands.answer(f"silence {name} 1h it is &lt;known&gt;", KIM)).text
    assert "You look after it" in (await commands.answer(f"ack {name}", KIM)).text
    assert "for how long?" in (await commands.answer(f"silence {name} 1w", KIM)).text
    assert [done[0] for done in asked.desk.done] == ["silence", "ack"]
    assert asked.desk.done[0][-1] == "it is <known>"


def equal(**labels: str) -> tuple[Matcher, ...]:
    """Matchers for these values."""
    return tuple(Matcher(name, MatchOp.EQUAL, value) for name, value in labels.items())


def test_what_a_silence_of_a_group_is_about() -> None:
    """What makes the group and the alerts' name, so that what joins is silenced; else what they share; else nothing."""
    crash = (alert("Crash", pod="a", team="x"), alert("Crash", pod="b", team="x"))
    other = (*crash, alert("Other", pod="a", team="x"))
    by_team, anything = equal(team="x"), (Matcher("pod", MatchOp.NOT_EQUAL, "z"), *equal(zone=""))
    assert silence_matchers(Group("k", "r", (), crash, False, by_team)) == equal(team="x", alertname="Crash")
    assert silence_matchers(Group("k", "r", (), other, False, anything)) == (*anything, *by_team)
    assert silence_matchers(Group("k", "r", (), (*other, alert("Else")), False, anything)) == ()


async def test_a_silence_is_for_its_group_and_no_other() -> None:
    """One team silences its alert and hears nothing; another team still does, and so does who has no team."""
    text = """
route:
  receiver: all
  group_by: [namespace]
  routes:
    - {receiver: a, matchers: [team="a"]}
    - {receiver: b, matchers: [team="b"]}
receivers: [{name: all}, {name: a}, {name: b}]
"""
    clock = HandClock()
    manager = manager_of(text, MemoryStore(), clock, {})
    await manager.start()
    mine, joined = alert("Slow", team="a"), alert("Slow", team="a", pod="2")
    others = [alert("Slow", team="b"), alert("Slow"), alert("Slow", team="a", namespace="n"), alert("Other", team="a")]
    await manager.put_alerts([mine, joined, *others[:3]])
    world = SlackWorld(lambda: manager, None, None, None, None)  # type: ignore[arg-type]  # only the manager is asked
    group = next(group for group in world.groups() if mine in group.alerts)
    await world.silence(silence_matchers(group), timedelta(hours=1), KIM, "")
    await manager.put_alerts(others[3:])
    quiet = [bool(manager.status_of(one).suppressed) for one in (mine, joined, *others)]
    await manager.stop()
    assert quiet == [True, True, False, False, False, False]


def test_whose_logs_are_shown() -> None:
    """Labels that tell whose lines they are, where streams have the alerts' values; an SLO's service is one."""
    streams = [labels_from({"namespace": "pay", "pod": pod, "job": "x"}) for pod in ("a", "b.c")]
    pods = [alert("A", pod="a", namespace="pay"), alert("A", pod="b.c", namespace="pay", job="prom")]
    assert selector_of(pods, streams) == '{namespace="pay", pod=~"a|b\\\\.c"}'
    assert selector_of(pods[:1], streams) == '{namespace="pay", pod="a"}'
    assert selector_of([alert("A", pod="z")], streams) == ""
    assert selector_of([alert("A", sloth_service="shop")], [labels_from({"service": "shop"})]) == '{service="shop"}'


def test_chart_urls_cannot_be_made_by_others() -> None:
    """A URL is good for its SLO, its length and its time only."""
    charts = SignedCharts("https://w.example.com/", b"secret", clock=lambda: NOW)
    url = charts.url("shop-a/b?", 3_600_000, datetime.fromtimestamp(NOW, UTC))
    assert url.startswith("https://w.example.com/slack/chart/shop-a%2Fb%3F.png?length=3600000&exp=")
    query = dict(part.split("=") for part in url.split("?", 1)[1].split("&"))
    asked = ("shop-a/b?", query["length"], query["exp"], query["sig"])
    assert charts.check(*asked) == 3_600_000
    for changed in (
        ("x", *asked[1:]),
        (asked[0], "7200000", *asked[2:]),
        (*asked[:2], "9", asked[3]),
        (*asked[:3], ""),
    ):
        assert charts.check(*changed) is None
    assert SignedCharts("https://w.example.com", b"other", clock=lambda: NOW).check(*asked) is None
    assert SignedCharts("https://w.example.com", b"secret", clock=lambda: NOW + 8 * 86_400).check(*asked) is None


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("https://watchhouse.acme.com/x", True),
        ("http://127.0.0.1:9470", False),
        ("http://10.0.0.3", False),
        ("http://[::1]:9470", False),
        ("https://watchhouse.internal", False),
        ("https://localhost", False),
        ("", False),
    ],
)
def test_slack_reaches_public_addresses_only(url: str, reached: bool) -> None:
    """A picture Slack cannot fetch would cost the message, so none is linked."""
    assert reachable_by_slack(url) is reached


def test_the_manifest_names_every_endpoint() -> None:
    """It is YAML with the scopes, and refuses an address Slack sends nothing to."""
    shown = CliRunner().invoke(app, ["slack", "manifest", "https://w.example.com/", "--command", "/wh"])
    data = yaml.safe_load(shown.output)
    assert data["settings"]["interactivity"]["request_url"] == "https://w.example.com/slack/interactive"
    assert data["settings"]["event_subscriptions"]["request_url"] == "https://w.example.com/slack/events"
    assert data["features"]["slash_commands"][0]["command"] == "/wh"
    assert {"chat:write", "files:write", "channels:history"} <= set(data["oauth_config"]["scopes"]["bot"])
    assert CliRunner().invoke(app, ["slack", "manifest", "http://w.example.com"]).exit_code == 2


def test_an_app_for_messages_only() -> None:
    """Where Slack cannot reach us the app asks for no command, no interactivity and no events, nor their scopes."""
    shown = yaml.safe_load(CliRunner().invoke(app, ["slack", "manifest"]).stdout)
    assert list(shown["features"]) == ["bot_user"]
    assert not {"interactivity", "event_subscriptions"} & set(shown["settings"])
    scopes = shown["oauth_config"]["scopes"]["bot"]
    assert "chat:write" in scopes
    assert not {"commands", "app_mentions:read"} & set(scopes)


def test_a_signature_of_a_chart_s_url_that_is_not_ascii_is_a_wrong_one() -> None:
    """It is refused as any other, and is no error of ours."""
    charts = SignedCharts("https://watchhouse.example.com", b"secret")
    assert charts.check("a", "1", "9999999999", "é") is None


async def test_what_is_asked_is_one_line_of_the_log(secret_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody writes a line of his own into the log of who did what."""
    asked = Asked(secret_file)
    event = {"type": "app_mention", "user": "U0EVE", "channel": "C1", "ts": "1.0", "text": "<@U0BOT> ping\nkim did it"}
    mention = orjson.dumps({"type": "event_callback", "event_id": "Ev1", "event": event})
    command = urlencode({"user_id": "U0EVE", "text": "ping\r\nkim did it"}).encode()
    with caplog.at_level("INFO"):
        await asked.inbound.events(signed(mention), mention)
        await asked.inbound.command(signed(command), command)
        await asked.inbound.stop()
    assert [record.getMessage() for record in caplog.records] == ["Slack U0EVE asked: ping kim did it"] * 2


async def test_many_who_fetch_a_chart_cost_one_drawing() -> None:
    """A URL is known to whoever sees the message: for a minute there is one picture; what failed is tried again."""
    now_s, asked = 0.0, []

    class Slos:
        async def offenders(self, slo: str, window_ms: int) -> list[Offender]:
            return []

        async def burn_down(self, slo: str, length_ms: int) -> BurnDown | None:
            asked.append(slo)
            await asyncio.sleep(0)
            if len(asked) == 1:
                raise StoreUnavailable("the store is away")
            return scenes.burn_down()

    shared = SlackRoom(slos=Slos(), clock=lambda: now_s)
    with pytest.raises(StoreUnavailable):
        await shared.chart("a", 1)
    pictures = await asyncio.gather(*(shared.chart("a", 1) for _ in range(20)))
    assert len(set(pictures)) == 1
    now_s = 61
    await shared.chart("a", 1)
    shared.close()
    assert len(asked) == 3
