"""What Slack's answers do to a message: errors that heal, those that do not, and answers that were never seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alerting.config import load_alertmanager
from alerting.manager.manager import AlertManager
from alerting.notify.base import Editor, NotifyError
from alerting.notify.build import build_notifiers
from alerting.slack.bot import SlackBot
from alerting.slack.errors import ERRORS, SlackError
from alerting.standin import SlackStandin, render_plain
from app.telemetry import REGISTRY
from tests.alert_world import HandClock, MemoryStore, alert, config_of
from tests.slack import scenes
from tests.slack.bots import bot, room


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandin]:
    """A stand-in for Slack that listens."""
    standin = SlackStandin()
    await standin.start()
    yield standin
    await standin.stop()


@pytest.fixture
async def notifier(slack: SlackStandin) -> AsyncIterator[SlackBot]:
    """A bot in its channel."""
    made = bot(slack)
    yield made
    await made.close()


def errors(code: str) -> float:
    """How often Slack said this so far."""
    return REGISTRY.get_sample_value("watchhouse_slack_errors_total", {"error": code}) or 0.0


async def tell(notifier: SlackBot, memory: Mapping[str, str] | None = None, **more: object) -> dict[str, str]:
    """Notifies of the burning SLO; gives what is remembered."""
    found = await notifier.notify(replace(scenes.told(scenes.slo_page()), memory=memory or {}, **more))  # type: ignore[arg-type]
    assert found is not None
    return dict(found)


@pytest.mark.parametrize(
    ("how", "reason", "retry_after_s"),
    [("rate_limited", "rate_limited", 7.0), ("server_error", "server_error", None), ("no_answer", "timeout", None)],
)
async def test_what_heals_is_one_message_in_the_end(
    how: str, reason: str, retry_after_s: float | None, slack: SlackStandin, notifier: SlackBot
) -> None:
    """After 429, 500 and no answer the attempt says so and may be repeated; then there is one message."""
    slack.misbehave(how, retry_after_s=7, only="chat.postMessage")  # type: ignore[arg-type]
    with pytest.raises(NotifyError) as caught:
        await tell(notifier)
    assert (caught.value.reason, caught.value.retry, caught.value.retry_after_s) == (reason, True, retry_after_s)
    assert slack.workspace.top() == []
    if how == "rate_limited":
        # the channel is closed for so long; nobody asks Slack before
        requests = slack.calls.count("chat.postMessage")
        with pytest.raises(NotifyError):
            await tell(notifier, deadline=scenes.NOW)
        assert slack.calls.count("chat.postMessage") == requests
        notifier = bot(slack)
    await tell(notifier)
    assert len(slack.workspace.top()) == 1


async def test_a_post_whose_answer_was_lost_is_looked_up(slack: SlackStandin, notifier: SlackBot) -> None:
    """The message arrived and its answer did not: the next attempt finds it, and edits it from then on."""
    slack.misbehave("lost_answer", only="chat.postMessage")
    with pytest.raises(NotifyError) as caught:
        await tell(notifier)
    assert caught.value.maybe_taken
    memory = await tell(notifier)
    await tell(notifier, memory, alerts=(scenes.slo_page(), scenes.crash("x", 3)))
    (message,) = slack.workspace.top()
    assert memory["ts"] == message.ts
    assert "2 alerts" in render_plain(message.payload)
    assert len(slack.workspace.thread(message)) == 1
    assert not slack.refusals


async def test_a_process_that_was_killed_before_it_noted_is_followed(slack: SlackStandin) -> None:
    """Another process that knows of no message finds the one that stands there, and says nothing twice."""
    before = bot(slack)
    memory = await tell(before)
    await tell(before, memory, alerts=(scenes.slo_page(), scenes.crash("x", 3)))
    # both the message and its reply were posted, and neither noted
    fresh = bot(slack)
    began = replace(scenes.slo_page(), starts_at=scenes.NOW - timedelta(minutes=14))
    await tell(fresh, alerts=(began, scenes.crash("x", 3)))
    (message,) = slack.workspace.top()
    assert len(slack.workspace.thread(message)) == 1
    # of a message it does remember, what the thread was told is looked up as well
    fresher = bot(slack)
    await tell(fresher, memory, alerts=(scenes.slo_page(), scenes.crash("x", 3)))
    assert len(slack.workspace.thread(message)) == 1
    for one in (before, fresh, fresher):
        await one.close()


async def test_a_reply_that_failed_is_said_once(slack: SlackStandin, notifier: SlackBot) -> None:
    """When the edit went through and the second of two replies did not, only that is said again."""
    memory = await tell(notifier)
    over = replace(scenes.slo_page(), ends_at=scenes.NOW)
    alerts = (over, scenes.crash("x", 3))
    slack.misbehave("server_error", only="chat.postMessage")
    with pytest.raises(NotifyError):
        await tell(notifier, memory, alerts=alerts)
    slack.misbehave("lost_answer", only="chat.postMessage")
    with pytest.raises(NotifyError):
        await tell(notifier, memory, alerts=alerts)
    await tell(notifier, memory, alerts=alerts)
    (message,) = slack.workspace.top()
    told = [render_plain(one.payload)[0] for one in slack.workspace.thread(message)]
    assert told == ["✅", "➕"]


@pytest.mark.parametrize(
    "code", ["invalid_auth", "channel_not_found", "is_archived", "not_in_channel", "token_revoked", "missing_scope"]
)
async def test_what_does_not_heal_is_shown(code: str, slack: SlackStandin) -> None:
    """The error is final, says what to do, is counted, and the next message gets through."""
    shared = room(charts=False)
    notifier = bot(slack, shared)
    before = errors(code)
    slack.misbehave("error", code=code, only="chat.postMessage")
    with pytest.raises(SlackError) as caught:
        await tell(notifier)
    assert not caught.value.retry
    assert caught.value.reason == "rejected"
    assert ERRORS[code][1] in str(caught.value)
    assert errors(code) - before == 1
    await tell(notifier)
    await notifier.close()


async def test_what_slack_really_says(slack: SlackStandin) -> None:
    """A wrong token, a channel that is not there, one that is archived and one the bot is not in are told apart."""
    slack.workspace.add_channel("old", archived=True)
    slack.workspace.add_channel("secret", member=False)
    for channel, code in (("#nowhere", "channel_not_found"), ("#old", "is_archived"), ("#secret", "not_in_channel")):
        notifier = bot(slack, channel=channel)
        with pytest.raises(SlackError) as caught:
            await tell(notifier)
        assert caught.value.code == code
        await notifier.close()
    slack.workspace.token = "xoxb-another"
    notifier = bot(slack)
    slack.workspace.token = "xoxb-changed"
    with pytest.raises(SlackError, match="invalid_auth"):
        await tell(notifier)
    await notifier.close()


async def test_blocks_that_slack_refuses_become_text(slack: SlackStandin, notifier: SlackBot) -> None:
    """The message is posted, and edited, as text with the same numbers; that is counted."""
    before = REGISTRY.get_sample_value("watchhouse_slack_plain_text_total") or 0.0
    # once for the whole message, and once for the one without its picture
    for _ in range(2):
        slack.misbehave("error", code="invalid_blocks", only="chat.postMessage")
    memory = await tell(notifier)
    (message,) = slack.workspace.top()
    assert "31.2× (threshold 14.4×)" in message.payload["text"]
    assert "blocks" not in message.payload
    for _ in range(2):
        slack.misbehave("error", code="invalid_attachments", only="chat.update")
    await tell(notifier, memory, alerts=(replace(scenes.slo_page(), ends_at=scenes.NOW),))
    assert message.payload["blocks"] == []
    assert render_plain(message.payload).startswith("✅ Resolved")
    assert REGISTRY.get_sample_value("watchhouse_slack_plain_text_total") == before + 2


async def test_a_deleted_message_is_posted_anew(slack: SlackStandin, notifier: SlackBot) -> None:
    """When somebody deleted it, news make a new one; a mere edit makes none."""
    memory = await tell(notifier)
    slack.workspace.remove(slack.workspace.top()[0])
    page = scenes.slo_page()
    quiet = await notifier.update(replace(scenes.told(suppressed=(scenes.silenced(page),)), memory=memory))
    assert slack.workspace.top() == []
    await tell(notifier, quiet, alerts=(page, scenes.crash("x", 3)))
    assert len(slack.workspace.top()) == 1


async def test_an_edit_that_changes_nothing_is_not_sent(slack: SlackStandin, notifier: SlackBot) -> None:
    """Asked to show what it shows already, it leaves Slack alone."""
    memory = await tell(notifier)
    calls = len(slack.calls)
    assert await notifier.update(replace(scenes.told(scenes.slo_page()), memory=memory)) == memory
    assert len(slack.calls) == calls


async def test_a_new_incident_is_a_new_message(slack: SlackStandin, notifier: SlackBot) -> None:
    """What fires after all was over is posted anew: an old message that changes calls nobody."""
    memory = await tell(notifier)
    memory = await tell(notifier, memory, alerts=(replace(scenes.slo_page(), ends_at=scenes.NOW),))
    await tell(notifier, memory)
    assert [render_plain(m.payload)[0] for m in slack.workspace.top()] == ["✅", "🔴"]


async def test_reminders_and_pages_are_shown_in_the_channel(slack: SlackStandin, notifier: SlackBot) -> None:
    """A page that joins and the reminder of repeat_interval are; what somebody looks after is not."""
    page = scenes.slo_page()
    memory = await tell(notifier)
    memory = await tell(notifier, memory, alerts=(page, scenes.disk()))
    memory = await tell(notifier, memory, alerts=(page, scenes.disk()), now=scenes.NOW + timedelta(hours=4))
    looked_after = tuple(scenes.acknowledged(one) for one in (page, scenes.disk()))
    update = replace(scenes.told(page, scenes.disk(), acknowledged=looked_after), memory=memory)
    memory = dict(await notifier.update(update) or {})
    await tell(notifier, memory, alerts=update.alerts, acknowledged=looked_after, now=scenes.NOW + timedelta(hours=8))
    (message,) = slack.workspace.top()
    thread = slack.workspace.thread(message)
    assert [(render_plain(one.payload)[0], one.broadcast) for one in thread] == [
        ("➕", True), ("⏰", True), ("👀", False), ("⏰", False),
    ]  # fmt: skip
    assert "Still firing after 4h" in render_plain(thread[1].payload)


async def test_a_chart_that_cannot_be_uploaded_costs_no_message(slack: SlackStandin) -> None:
    """Without the scope for files the message has its numbers in words, and the trouble is shown."""
    slack.workspace.scopes.discard("files:write")
    shared = room()
    notifier = bot(slack, shared)
    await tell(notifier)
    (message,) = slack.workspace.top()
    assert "41.2 %" in render_plain(message.payload)
    assert not any(b["type"] == "image" for b in message.payload["attachments"][0]["blocks"])
    assert "missing_scope" in shared.troubles.found()["team/slack/0 charts"]
    await notifier.close()


def pictures(payload: Mapping[str, object]) -> list[str]:
    """The files in a message."""
    blocks = [b for a in payload["attachments"] for b in a.get("blocks", [])]  # type: ignore[attr-defined]
    return [block["slack_file"]["id"] for block in blocks if block["type"] == "image"]


async def test_a_page_goes_before_its_chart(
    slack: SlackStandin, notifier: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Slack looks at the upload the message goes out without; then it gets its chart, and is edited once."""
    monkeypatch.setattr("alerting.slack.pictures.ASK_EVERY_S", 0.01)
    slack.workspace.slow_files = 3
    memory = await tell(notifier)
    (message,) = slack.workspace.top()
    assert pictures(message.edits[0]) == []
    assert pictures(message.payload) == [memory["file"]]
    assert len(message.edits) == 1
    assert not slack.refusals


async def test_a_picture_slack_refuses_costs_no_blocks(slack: SlackStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scope to ask when it may be shown, a refused picture is left out, and the blocks stay."""
    monkeypatch.setattr("alerting.slack.bot.PICTURE_WAIT_S", 0.01)
    slack.workspace.scopes.discard("files:read")
    slack.workspace.slow_files = 1
    notifier = bot(slack)
    memory = await tell(notifier)
    (message,) = slack.workspace.top()
    assert pictures(message.payload) == []
    assert message.payload["blocks"][0]["type"] == "header"
    # it may be shown by the time the message changes
    slack.workspace.slow_files = 0
    await tell(notifier, memory, alerts=(scenes.slo_page(), scenes.crash("x", 3)))
    assert pictures(message.payload) == [memory["file"]]
    await notifier.close()


async def test_rate_limits_of_the_stand_in_are_kept(slack: SlackStandin) -> None:
    """At Slack's own rate nothing is refused: the bot waits, and each group has its message."""
    slack.workspace.per_second = 20
    shared = room(between_s=0.05, charts=False)
    notifier = bot(slack, shared)
    for i in range(8):
        await notifier.notify(replace(scenes.told(scenes.crash(f"x{i}", 3)), group_key=f"g{i}"))
    assert len(slack.workspace.top()) == 8
    assert not slack.refusals
    stamps = [float(m.ts) for m in slack.workspace.top()]
    assert stamps == sorted(stamps)
    await notifier.close()


async def test_a_reply_that_is_refused_costs_no_news(slack: SlackStandin, notifier: SlackBot) -> None:
    """A thread that nobody may write to any more: the message is changed all the same, and that is the end of it."""
    memory = await tell(notifier)
    slack.misbehave("error", code="restricted_action", only="chat.postMessage")
    alerts = (scenes.slo_page(), scenes.crash("x", 3))
    after = await tell(notifier, memory, alerts=alerts)
    (message,) = slack.workspace.top()
    assert "2 alerts" in render_plain(message.payload)
    assert slack.workspace.thread(message) == []
    assert len(after["firing"].split()) == 2


@pytest.mark.parametrize(
    "entry",
    [
        "app_token: TOKEN, app_url: 'URL'",
        "app_token_file: token, app_url: 'URL'",
        "api_url: 'URL', http_config: {authorization: {credentials: TOKEN}}",
        "api_url: 'URL', http_config: {authorization: {credentials_file: token}}",
        "api_url_file: url, http_config: {authorization: {credentials_file: token}}",
        "http_config: {follow_redirects: true}",
    ],
)
async def test_ways_to_give_a_token(entry: str, slack: SlackStandin, tmp_path: Path) -> None:
    """However Alertmanager's file has it, in place, in a file or in `global`, the message can be changed."""
    (tmp_path / "token").write_text(f"{slack.workspace.token}\n")
    (tmp_path / "url").write_text(slack.api_url)
    entry = entry.replace("TOKEN", slack.workspace.token).replace("URL", slack.api_url)
    text = (
        f"global: {{slack_app_token_file: token, slack_app_url: '{slack.api_url}'}}\nroute: {{receiver: team}}\n"
        f"receivers: [{{name: team, slack_configs: [{{channel: alerts, {entry}}}]}}]\n"
    )
    (tmp_path / "alertmanager.yml").write_text(text)
    config = load_alertmanager(tmp_path / "alertmanager.yml")
    (notifier,) = build_notifiers(config, external_url="", slack=room(charts=False))["team"]
    assert isinstance(notifier, Editor)
    assert notifier.send_resolved
    memory = await notifier.notify(scenes.told(scenes.slo_page())) or {}
    page = scenes.slo_page()
    await notifier.update(replace(scenes.told(suppressed=(scenes.silenced(page),)), memory=memory))
    assert render_plain(slack.workspace.top()[0].payload)[0] == "🔕"
    await notifier.close()


def counted(result: str) -> float:
    """Attempts to notify Slack with this result so far."""
    labels = {"integration": "slack", "result": result}
    return REGISTRY.get_sample_value("watchhouse_alert_notifications_total", labels) or 0.0


async def test_what_each_answer_does_to_message_and_metrics(slack: SlackStandin) -> None:
    """429 with Retry-After, 500 and a time-out are tried again; invalid_auth waits for the next turn."""
    clock, shared = HandClock(), room(charts=False)
    config = config_of(
        "route: {receiver: team, group_wait: 0s, group_interval: 2m}\n"
        "receivers: [{name: team, slack_configs: [{channel: alerts, timeout: 300ms,"
        f" app_token: {slack.workspace.token}, app_url: '{slack.api_url}'}}]}}]\n"
    )
    notifiers = build_notifiers(config, external_url=scenes.HOME, slack=shared)
    manager = AlertManager(config, MemoryStore(), notifiers, external_url=scenes.HOME, clock=clock)
    await manager.start()
    results = ("rate_limited", "server_error", "timeout", "rejected", "sent")
    before = {result: counted(result) for result in results}
    for how in ("rate_limited", "server_error", "no_answer"):
        slack.misbehave(how, retry_after_s=1, only="chat.postMessage")
    slack.misbehave("error", code="invalid_auth", only="chat.postMessage")
    await manager.put_alerts([alert("Crash", severity="page")])
    # 1, 2 and 4 seconds after one another
    await clock.turn(manager, 10)
    assert {r: counted(r) - before[r] for r in results} == {
        "rate_limited": 1, "server_error": 1, "timeout": 1, "rejected": 1, "sent": 0,
    }  # fmt: skip
    assert manager.troubles.found()["team/slack/0"].startswith("rejected: Slack says invalid_auth ")
    assert slack.workspace.top() == []
    await clock.turn(manager, 120)
    assert counted("sent") - before["sent"] == 1
    assert len(slack.workspace.top()) == 1
    assert manager.troubles.found() == {}
    await manager.stop()


def test_workspaces_with_tokens_in_the_file_have_turns_of_their_own() -> None:
    """A token in place is masked where it is printed: two of them are two workspaces all the same."""
    entries = "".join(
        f"  - {{name: {name}, slack_configs: [{{channel: alerts, app_token: xoxb-{name}}}]}}\n" for name in ("a/b", "c")
    )
    shared = room()
    build_notifiers(config_of(f"route: {{receiver: c}}\nreceivers:\n{entries}"), external_url="", slack=shared)
    assert len(shared._pacers) == 2
    assert shared.followed == {"a/b", "c"}


async def test_what_cannot_be_looked_up_now_is_not_posted_again(slack: SlackStandin, notifier: SlackBot) -> None:
    """The answer was lost, and Slack answers 429 to the question whether it came: it is asked again later."""
    slack.misbehave("lost_answer", only="chat.postMessage")
    with pytest.raises(NotifyError):
        await tell(notifier)
    slack.misbehave("rate_limited", retry_after_s=7, only="conversations.history")
    with pytest.raises(NotifyError) as caught:
        await tell(notifier)
    assert (caught.value.reason, caught.value.retry, caught.value.retry_after_s) == ("rate_limited", True, 7)
    await tell(notifier)
    assert len(slack.workspace.top()) == 1


async def test_a_lookup_that_never_works_loses_no_page(slack: SlackStandin, notifier: SlackBot) -> None:
    """Told twice is better than never: after three tries the message is posted."""
    slack.misbehave("lost_answer", only="chat.postMessage")
    for _ in range(3):
        with pytest.raises(NotifyError):
            await tell(notifier)
        slack.misbehave("server_error", only="conversations.history")
    await tell(notifier)
    assert len(slack.workspace.top()) == 2


async def test_an_archived_channel_is_left_when_another_one_is_named(slack: SlackStandin, notifier: SlackBot) -> None:
    """As the error says: what fires goes on in the channel that the configuration names now."""
    memory = await tell(notifier)
    slack.workspace.channel("alerts").archived = True
    slack.workspace.add_channel("other")
    alerts = (scenes.slo_page(), scenes.crash("x", 3))
    with pytest.raises(SlackError, match="is_archived"):
        await tell(notifier, memory, alerts=alerts)
    moved = bot(slack, channel="#other")
    memory = await tell(moved, memory, alerts=alerts)
    (message,) = slack.workspace.top("other")
    assert (memory["channel"], memory["ts"]) == (message.channel, message.ts)
    await moved.close()


async def test_a_reload_while_slack_does_not_answer_doubles_nothing(slack: SlackStandin) -> None:
    """The message arrived, its answer did not yet, and the file is read again: the next attempt finds it."""
    entry = f"channel: '#alerts', app_token: {slack.workspace.token}, app_url: '{slack.api_url}'"
    config = config_of(
        f"route: {{receiver: team, group_wait: 0s}}\nreceivers: [{{name: team, slack_configs: [{{{entry}}}]}}]\n"
    )
    shared = room()
    made = [build_notifiers(config, external_url="", slack=shared) for _ in range(2)]
    manager = AlertManager(config, MemoryStore(), made[0], external_url="")
    await manager.start()
    slack.misbehave("lost_answer", only="chat.postMessage")
    await manager.put_alerts([replace(alert("A"), starts_at=manager.clock.now())])
    await slack.wait_until(lambda: len(slack.workspace.top()) == 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alerting.manager.manager.STOP_GRACE_S", 0.1)
        await manager.reload(config, made[1])
    await slack.wait_until(lambda: "chat.update" in slack.calls)
    await manager.stop()
    assert len(slack.workspace.top()) == 1
