"""Slash commands and mentions: words in, a message out. All of them read, but for `silence` and `ack`."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerting.slack import mrkdwn
from alerting.slack.blocks import TEXT_LIMIT, Block, context, section, sections
from alerting.slack.desk import (
    LENGTHS,
    Group,
    LogAnswer,
    NotAllowed,
    Person,
    Rights,
    SloView,
    World,
    acknowledge,
    silence,
)
from alerting.slack.room import SlackRoom
from alerting.slack.state import is_page, name_of
from app.errors import WatchhouseError
from app.figures import percent, span, times

LINES, MOST_LINES = 15, 50
_MOST = 15
_LONGEST_LINE = 300
HELP = """*What I answer*
`ping` – whether I am here
`status` – how Watchhouse is
`slo NAME` – an SLO: burn rates, budget, what stands out
`alerts` – what fires
`top` – the SLOs that fire, then those that burn fastest
`logs SELECTOR [n]` – the newest lines, as in `logs {service="shop"} |= "error" 20`"""
_ACTS = """
`ack GROUP` – say that you look after it
`silence GROUP 1h|4h|1d [why]` – silence it; `alerts` names the groups"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told. `public`: to the whole channel, and not only to who asked."""

    text: str
    blocks: list[Block] = field(default_factory=list)
    public: bool = False

    def payload(self) -> dict[str, Any]:
        """As Slack's message."""
        return {"text": self.text, **({"blocks": self.blocks} if self.blocks else {})}


class Commands:
    """Answers commands. Nothing it does raises: what fails is the answer."""

    def __init__(self, world: World, room: SlackRoom, rights: Rights) -> None:
        self._world = world
        self._room = room
        self._rights = rights
        self._known: dict[str, Callable[[list[str], Person], Awaitable[Answer]]] = {
            "ping": self._ping,
            "status": self._status,
            "slo": self._slo,
            "alerts": self._alerts,
            "top": self._top,
            "logs": self._logs,
            "ack": self._ack,
            "silence": self._silence,
        }

    async def answer(self, text: str, person: Person) -> Answer:
        """The answer to a command's words."""
        first, _, rest = mrkdwn.unescaped(text).strip().partition(" ")
        run = self._known.get(first.lower())
        if run is None:
            return self._help(first)
        try:
            # a LogQL query keeps its quotes
            words = [rest.strip()] if first.lower() == "logs" else shlex.split(rest)
            return await run(words, person)
        except NotAllowed as error:
            return Answer(str(error))
        except WatchhouseError as error:
            return Answer(f"That failed: {mrkdwn.escaped(str(error), 1000)}")
        except ValueError as error:
            return Answer(f"I cannot read that: {mrkdwn.escaped(str(error), 200)}")

    def _help(self, word: str) -> Answer:
        text = HELP + (_ACTS if self._rights.commands else "")
        unknown = f"I do not know `{mrkdwn.escaped(word.replace('`', ''), 40)}`.\n" if word and word != "help" else ""
        return Answer(unknown + text)

    async def _ping(self, words: list[str], person: Person) -> Answer:
        return Answer("pong")

    async def _status(self, words: list[str], person: Person) -> Answer:
        status, groups = await self._world.status(), self._world.groups()
        slos = await self._world.slos()
        sign = {"green": "✅", "yellow": "🟠", "red": "🔴"}[status.worst]
        firing = sum(len(group.alerts) for group in groups)
        burning = sum(bool(slo.firing) for slo in slos)
        lines = [
            f"{sign} Watchhouse is {status.worst}",
            f"{firing} alerts fire in {len(groups)} groups · {burning} of {len(slos)} SLOs burn",
            *(mrkdwn.escaped(detail, 300) for detail in status.details[:8]),
        ]
        return Answer("\n".join(lines))

    async def _slo(self, words: list[str], person: Person) -> Answer:
        if not words:
            return Answer("Which one? `slo NAME`")
        wanted = words[0].lower()
        slos = await self._world.slos()
        found = [s for s in slos if wanted in (s.id.lower(), s.name.lower())] or [
            s for s in slos if wanted in s.id.lower()
        ]
        if not found:
            return Answer(f"There is no SLO {mrkdwn.code(words[0], 100)}.")
        if len(found) > 1:
            return _slo_list(f"{len(found)} SLOs are called that", found)
        slo = found[0]
        text = _slo_text(slo)
        offenders = await self._room.slos.offenders(slo.id, slo.burns[-1][0]) if self._room.slos and slo.burns else []
        told = "\n".join(
            f"{mrkdwn.code(f'{one.label}={one.value}', 200)} {percent(one.share)} of the bad events"
            for one in offenders[:5]
        )
        blocks = [section(text), *([section(f"*What stands out*\n{told}")] if told else [])]
        return Answer(mrkdwn.plain(text), blocks)

    async def _alerts(self, words: list[str], person: Person) -> Answer:
        groups = sorted(self._world.groups(), key=lambda g: not any(map(is_page, g.alerts)))
        if not groups:
            return Answer("✅ Nothing fires.")
        lines = [_group_line(group, acts=self._rights.commands) for group in groups[:_MOST]]
        if len(groups) > _MOST:
            lines.append(f"and {len(groups) - _MOST} more groups")
        return Answer("\n".join(lines), sections(lines))

    async def _top(self, words: list[str], person: Person) -> Answer:
        slos = sorted(await self._world.slos(), key=lambda s: (not s.pages, not s.firing, -s.burn))
        burning = [slo for slo in slos if slo.firing or slo.burn > 0]
        if not burning:
            return Answer("✅ No SLO burns its budget.")
        return _slo_list("Burning fastest", burning[:10])

    async def _logs(self, words: list[str], person: Person) -> Answer:
        query, _, count = words[0].rpartition(" ")
        limit = min(int(count), MOST_LINES) if count.isdigit() and query else LINES
        if not (count.isdigit() and query):
            query = words[0]
        if not query:
            return Answer('Of what? `logs {service="shop"}`')
        if not query.startswith("{"):
            escaped = query.replace("\\", "\\\\").replace('"', '\\"')
            query = f'{{service="{escaped}"}}'
        return log_answer(await self._world.logs(query, max(1, limit)))

    async def _ack(self, words: list[str], person: Person) -> Answer:
        return Answer(await acknowledge(self._world, self._rights, self._group(words), person, by_command=True))

    async def _silence(self, words: list[str], person: Person) -> Answer:
        self._rights.check(person, by_command=True)
        group = self._group(words)
        if len(words) < 2 or words[1] not in LENGTHS:
            raise ValueError(f"for how long? {', '.join(LENGTHS)}")
        comment = " ".join(words[2:])
        until = await silence(self._world, self._rights, group, words[1], person, comment=comment, by_command=True)
        return Answer(f"Silenced until {mrkdwn.date(until)}.")

    def _group(self, words: list[str]) -> Group:
        found = [group for group in self._world.groups() if words and group.id.startswith(words[0].lower())]
        if len(found) != 1:
            raise ValueError("which group? `alerts` names them")
        return found[0]


def log_answer(answer: LogAnswer) -> Answer:
    """Lines of a log as a message."""
    query = mrkdwn.code(answer.query, 600)
    if not answer.lines:
        return Answer(f"No lines: {query}")
    lines = [f"{line.at:%H:%M:%S} {' '.join(mrkdwn.clean(line.text).split())}" for line in answer.lines]
    fitted: list[str] = []
    left = TEXT_LIMIT - 10
    for line in reversed(lines):  # the newest are wanted most
        text = mrkdwn.escaped(line.replace("```", "ˋˋˋ"), _LONGEST_LINE)
        left -= mrkdwn.units(text) + 1
        if left < 0:
            break
        fitted.insert(0, text)
    return Answer(
        f"{len(fitted)} lines of {query}",
        [section(f"```{chr(10).join(fitted)}```"), context([f"{len(fitted)} newest lines of {query}, times in UTC"])],
    )


def _slo_list(title: str, slos: Sequence[SloView]) -> Answer:
    lines = [f"*{title}*", *(_slo_line(slo) for slo in slos[:_MOST])]
    return Answer("\n".join(lines), sections(lines))


def _slo_line(slo: SloView) -> str:
    sign = "🔴" if slo.pages else "🟠" if slo.firing or slo.spent else "✅"
    parts = [
        f"{sign} {mrkdwn.bold(slo.id, 150)}",
        f"burns at {times(slo.burn)}",
        f"budget spent ({percent(slo.budget_left)} left)" if slo.spent else f"budget left {percent(slo.budget_left)}",
    ]
    return " · ".join(parts)


def _slo_text(slo: SloView) -> str:
    lines = [_slo_line(slo), f"objective {slo.objective:.6g} %"]
    if slo.firing_burns:
        beside = " and ".join(f"{times(burn)} over {span(window)}" for window, burn in slo.firing_burns)
        lines.append(f"{mrkdwn.code(slo.firing, 60)} fires: {beside}")
    if slo.burns:
        lines.append("burn rates " + ", ".join(f"{span(window)} {times(burn)}" for window, burn in slo.burns))
    if slo.exhausted_in_ms is not None and not slo.spent:
        lines.append(f"the budget is gone in {span(slo.exhausted_in_ms)} at today's rate")
    if slo.error:
        lines.append(f"it cannot be counted: {mrkdwn.escaped(slo.error, 500)}")
    return "\n".join(lines)


def _group_line(group: Group, *, acts: bool) -> str:
    sign = "🔕" if group.silenced else "🔴" if any(map(is_page, group.alerts)) else "🟠"
    names = list(dict.fromkeys(name_of(alert) for alert in group.alerts))
    shown = ", ".join(mrkdwn.bold(name, 80) for name in names[:3]) + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )
    labels = " ".join(mrkdwn.code(f"{name}={value}", 60) for name, value in group.labels[:4] if name != "alertname")
    since = min(alert.starts_at for alert in group.alerts)
    count = f" ×{len(group.alerts)}" if len(group.alerts) > 1 else ""
    name = f" · {mrkdwn.code(group.id[:8], 20)}" if acts else ""
    return f"{sign} {shown}{count} {labels} since {mrkdwn.date(since)}{name}"
