"""Requests that Slack sends: buttons, slash commands and events. Answered in three seconds, worked on afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

import orjson

from alerting.slack import mrkdwn
from alerting.slack.commands import LINES, Answer, Commands, log_answer
from alerting.slack.desk import LENGTHS, NotAllowed, Person, Rights, World, acknowledge, find_group, silence
from alerting.slack.message import ACKNOWLEDGE, LOGS, SILENCE
from alerting.slack.room import SlackRoom
from alerting.slack.verify import CameBefore, NotFromSlack, Verifier
from app.errors import ConfigError, WatchhouseError
from app.telemetry import SLACK_ANSWERED

log = logging.getLogger(__name__)

ANSWER_AT_ONCE_S = 2.0
"""A command that takes longer is answered later: Slack waits for three seconds."""
WORK_AT_MOST_S = 60.0
STOP_S = 2.0
_MOST_TASKS = 100
_MOST_EVENTS = 10_000
for _kind in ("button", "command", "mention"):
    for _result in ("done", "refused", "failed"):
        SLACK_ANSWERED.labels(_kind, _result)
SLACK_ANSWERED.labels("request", "refused")


class Speaker(Protocol):
    """Says things in Slack. Both raise NotifyError."""

    async def respond(self, url: str, payload: Mapping[str, Any]) -> None:
        """Answers an interaction at the URL that came with it."""

    async def say(self, channel: str, thread_ts: str, payload: Mapping[str, Any]) -> None:
        """Answers in a thread."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer; no body is an empty one."""

    status: int
    body: Any = None


class SlackInbound:
    """The endpoints. Bound to the event loop it is used on."""

    def __init__(
        self,
        verifier: Verifier,
        world: World,
        rights: Rights,
        room: SlackRoom,
        commands: Commands | None,
        speaker: Speaker,
    ) -> None:
        self._verifier = verifier
        self._world = world
        self._rights = rights
        self._room = room
        self._commands = commands
        self._speaker = speaker
        self._tasks: set[asyncio.Task[Any]] = set()
        self._events: OrderedDict[str, None] = OrderedDict()

    async def interactive(self, headers: Mapping[str, str], body: bytes) -> Response:
        """A press of a button."""
        return await self._taken(headers, body, self._interactive)

    async def command(self, headers: Mapping[str, str], body: bytes) -> Response:
        """A slash command."""
        return await self._taken(headers, body, self._command)

    async def events(self, headers: Mapping[str, str], body: bytes) -> Response:
        """The Events API: the check of the URL, and mentions."""
        return await self._taken(headers, body, self._event)

    async def stop(self) -> None:
        """Ends; what is under way gets a moment. Safe to call twice."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _taken(
        self, headers: Mapping[str, str], body: bytes, handle: Callable[[bytes], Awaitable[Response]]
    ) -> Response:
        try:
            self._verifier.check(headers, body)
        except NotFromSlack as error:
            if isinstance(error, CameBefore) and handle == self._event and "x-slack-retry-num" in headers:
                return Response(200)  # told once more, since our answer was late: nothing is to be done
            log.warning("a request that claims to come from Slack is refused: %s", error)
            SLACK_ANSWERED.labels("request", "refused").inc()
            return Response(401)
        except ConfigError as error:
            # its text names a file, which is nothing for those outside
            log.error("requests of Slack cannot be checked: %s", error)
            return Response(503)
        if len(self._tasks) >= _MOST_TASKS:
            return Response(200, _only_you("I am busy with too many requests; try again in a moment."))
        try:
            return await handle(body)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            # signed, and yet not what the documentation says
            log.warning("a request of Slack cannot be read: %s: %s", type(error).__name__, error)
            return Response(400)

    async def _interactive(self, body: bytes) -> Response:
        payload = orjson.loads(_form(body)["payload"])
        if payload.get("type") != "block_actions":
            return Response(200)
        who = payload["user"]
        person = Person(str(who["id"]), str(who.get("name") or who.get("username") or ""))
        for action in payload["actions"]:
            work = self._press(str(action["action_id"]), str(action.get("value", "")), person)
            self._start(self._respond(str(payload.get("response_url", "")), "button", work))
        return Response(200)

    async def _press(self, action: str, value: str, person: Person) -> Answer | None:
        if not action.startswith((ACKNOWLEDGE, SILENCE, LOGS)):
            return None  # a link, or a button of somebody's own template
        length, _, named = value.partition(" ") if action.startswith(SILENCE) else ("", "", value)
        group = find_group(self._world, named)
        if group is None:
            return Answer("Nothing of this fires any more.")
        if action == LOGS:
            log.info("%s asked for the logs of %s", person.audited, group.key)
            return log_answer(await self._world.logs_of(group.alerts, LINES))
        followed = group.receiver in self._room.followed
        if action == ACKNOWLEDGE:
            told = await acknowledge(self._world, self._rights, group, person)
            # where messages are changed in place, everybody sees it there
            return (
                Answer(told)
                if followed
                else Answer(f"👀 {mrkdwn.escaped(person.shown, 100)} looks after it", public=True)
            )
        if length not in LENGTHS:
            return None
        until = await silence(self._world, self._rights, group, length, person)
        words = f"silenced until {mrkdwn.date(until)}"
        return Answer(
            words.capitalize() if followed else f"🔕 {mrkdwn.escaped(person.shown, 100)}: {words}", public=not followed
        )

    async def _command(self, body: bytes) -> Response:
        form = _form(body)
        person = Person(form["user_id"], form.get("user_name", ""))
        if self._commands is None:
            return Response(200, _only_you("Commands are switched off here (slack.commands)."))
        log.info("%s asked: %s", person.audited, _on_one_line(form.get("text", "")))
        work = self._start(self._commands.answer(form.get("text", ""), person))
        done, _ = await asyncio.wait([work], timeout=ANSWER_AT_ONCE_S)
        if done:
            SLACK_ANSWERED.labels("command", "done").inc()
            return Response(200, _only_you(**work.result().payload()))
        self._start(self._respond(form.get("response_url", ""), "command", work))
        return Response(200)

    async def _event(self, body: bytes) -> Response:
        payload = orjson.loads(body)
        if payload["type"] == "url_verification":
            return Response(200, {"challenge": str(payload["challenge"])})
        event, event_id = payload.get("event", {}), str(payload.get("event_id", ""))
        # Slack sends an event again when our answer was late; it is the same one
        if event.get("type") != "app_mention" or event.get("bot_id") or not self._is_new(event_id):
            return Response(200)
        if self._commands is None:
            return Response(200)
        person = Person(str(event["user"]), "")
        text = str(event.get("text", "")).partition(">")[2]
        log.info("%s asked: %s", person.audited, _on_one_line(text))
        thread = str(event.get("thread_ts") or event["ts"])
        self._start(self._say(str(event["channel"]), thread, self._commands.answer(text, person)))
        return Response(200)

    def _is_new(self, event_id: str) -> bool:
        if event_id in self._events:
            return False
        self._events[event_id] = None
        if len(self._events) > _MOST_EVENTS:
            self._events.popitem(last=False)
        return True

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name="slack request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _respond(self, url: str, kind: str, work: Awaitable[Answer | None]) -> None:
        answer = await self._worked(kind, work)
        if answer is not None and url:
            shown = "in_channel" if answer.public else "ephemeral"
            payload = {"response_type": shown, "replace_original": False, **answer.payload()}
            await self._told(self._speaker.respond(url, payload))

    async def _say(self, channel: str, thread_ts: str, work: Awaitable[Answer | None]) -> None:
        answer = await self._worked("mention", work)
        if answer is not None:
            await self._told(self._speaker.say(channel, thread_ts, answer.payload()))

    async def _worked(self, kind: str, work: Awaitable[Answer | None]) -> Answer | None:
        try:
            async with asyncio.timeout(WORK_AT_MOST_S):
                answer = await work
        except NotAllowed as error:
            SLACK_ANSWERED.labels(kind, "refused").inc()
            return Answer(str(error))
        except WatchhouseError as error:
            SLACK_ANSWERED.labels(kind, "failed").inc()
            log.warning("what Slack asked for failed: %s", error)
            return Answer(f"That failed: {mrkdwn.escaped(str(error), 1000)}")
        except TimeoutError:
            SLACK_ANSWERED.labels(kind, "failed").inc()
            return Answer(f"That took longer than {WORK_AT_MOST_S:.0f} s.")
        except Exception:
            SLACK_ANSWERED.labels(kind, "failed").inc()
            log.exception("what Slack asked for failed")
            return Answer("That failed; the log of Watchhouse says why.")
        SLACK_ANSWERED.labels(kind, "done").inc()
        return answer

    async def _told(self, said: Awaitable[None]) -> None:
        try:
            await said
        except WatchhouseError as error:
            log.warning("an answer did not reach Slack: %s", error)


def _form(body: bytes) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}


def _on_one_line(text: str) -> str:
    # a line break would begin a line of the log that nobody wrote
    return " ".join(mrkdwn.clean(text).split())[:200]


def _only_you(text: str, **more: Any) -> dict[str, Any]:
    return {"response_type": "ephemeral", "text": text, **more}
