"""What people ask and do from Slack: buttons, slash commands and mentions, and who may do what."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from alerting.notify.base import common_pairs
from alerting.slack.ids import group_id
from alerting.slack.state import PAGES
from app.alert import Alert
from app.errors import WatchhouseError
from app.labels import Labels, Matcher, MatchOp

log = logging.getLogger(__name__)

LENGTHS = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something in Slack, as Slack says it."""

    id: str
    name: str

    @property
    def shown(self) -> str:
        """The name others know, for messages."""
        return self.name or self.id

    @property
    def audited(self) -> str:
        """For logs and the audit: names can be changed, the id stays."""
        return f"{self.name} (Slack {self.id})" if self.name else f"Slack {self.id}"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of alerts as it is now."""

    key: str
    receiver: str
    labels: Labels
    alerts: tuple[Alert, ...]
    """Those that fire, silenced ones among them."""
    silenced: bool = False
    matchers: tuple[Matcher, ...] = ()
    """What its alerts match, and those of other groups do not."""

    @property
    def id(self) -> str:
        """As buttons name it."""
        return group_id(self.receiver, self.key)


@dataclass(frozen=True, slots=True)
class SloView:
    """An SLO as it is told."""

    id: str
    name: str
    service: str
    objective: float
    budget_left: float | None
    exhausted_in_ms: float | None
    burns: tuple[tuple[int, float | None], ...]
    """(window in milliseconds, burn rate), shortest first."""
    firing: str = ""
    """The severity of what fires, "" for nothing."""
    error: str = ""
    firing_burns: tuple[tuple[int, float | None], ...] = ()
    """As `burns`, but longest first: the windows of the condition that fires."""

    @property
    def burn(self) -> float:
        """The burn rate over the long window of what fires, else over the shortest that is known; 0 for none."""
        return next((burn for _, burn in (*self.firing_burns, *self.burns) if burn is not None), 0.0)

    @property
    def pages(self) -> bool:
        """Whether what fires is a page."""
        return self.firing.lower() in PAGES

    @property
    def spent(self) -> bool:
        """Whether nothing is left of the budget."""
        return self.budget_left is not None and self.budget_left <= 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log."""

    at: datetime
    stream: Labels
    text: str


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """The newest lines that a query chooses, oldest of them first."""

    query: str
    lines: Sequence[LogLine]


@dataclass(frozen=True, slots=True)
class Status:
    """The service in a few words."""

    worst: Literal["green", "yellow", "red"]
    details: Sequence[str] = ()


class World(Protocol):
    """What Slack may ask of the service, and do in it. Calls do not block; they raise WatchhouseError."""

    def groups(self) -> list[Group]:
        """Every group with an alert that fires."""

    async def acknowledge(self, group: Group, by: Person) -> int:
        """Notes that somebody looks after a group's alerts; gives how many were not looked after before."""

    async def silence(self, matchers: Sequence[Matcher], length: timedelta, by: Person, comment: str) -> datetime:
        """Silences alerts that match all of these; gives until when."""

    async def slos(self) -> list[SloView]:
        """Every SLO."""

    async def logs_of(self, alerts: Sequence[Alert], limit: int) -> LogAnswer:
        """The newest lines of what some alerts are about."""

    async def logs(self, query: str, limit: int) -> LogAnswer:
        """The newest lines that a LogQL query chooses."""

    async def status(self) -> Status:
        """How the service is."""


class NotAllowed(WatchhouseError):
    """Somebody may not do this; the text says what would have to be configured."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may acknowledge and silence by buttons (`actors`: everyone who sees one, or these users), and by commands."""

    everyone: bool = True
    actors: frozenset[str] = frozenset()
    commands: bool = False

    @property
    def buttons(self) -> bool:
        """Whether anybody may use buttons that change something."""
        return self.everyone or bool(self.actors)

    def check(self, person: Person, *, by_command: bool) -> None:
        """Raises NotAllowed."""
        if by_command and not self.commands:
            raise NotAllowed("Commands only read here (slack.commands: read_only).")
        if not self.everyone and person.id not in self.actors:
            raise NotAllowed("You are not among those who may do this (slack.allow_actions).")


def find_group(world: World, name: str) -> Group | None:
    """The group a button names; None when nothing of it fires any more."""
    return next((group for group in world.groups() if group.id == name), None)


def silence_matchers(group: Group) -> tuple[Matcher, ...]:
    """What a silence of a group asks for: what makes an alert one of this group, and the alerts' name where they share
    it.

    So it holds for alerts that join later, and for no group of another team. Where that takes any alert, every label
    the alerts share, too; "()" where they share none.
    """
    common = [Matcher(name, MatchOp.EQUAL, value) for name, value in common_pairs([a.labels for a in group.alerts])]
    found = [*group.matchers, *(one for one in common if one.name == "alertname")]
    if all(one.matches("") for one in found):
        found += common
    return tuple(dict.fromkeys(found)) if not all(one.matches("") for one in found) else ()


async def acknowledge(world: World, rights: Rights, group: Group, person: Person, *, by_command: bool = False) -> str:
    """Acknowledges a group's alerts; gives what to tell. Raises NotAllowed or WatchhouseError."""
    rights.check(person, by_command=by_command)
    count = await world.acknowledge(group, person)
    log.info("%s acknowledged %d alerts of %s", person.audited, count, group.key)
    return "You look after it." if count else "Somebody looks after it already."


async def silence(
    world: World,
    rights: Rights,
    group: Group,
    length: str,
    person: Person,
    *,
    comment: str = "",
    by_command: bool = False,
) -> datetime:
    """Silences a group for a length of `LENGTHS`; gives until when. Raises NotAllowed or WatchhouseError."""
    rights.check(person, by_command=by_command)
    matchers = silence_matchers(group)
    if not matchers:
        raise NotAllowed("These alerts have no label in common: silence them one by one.")
    until = await world.silence(matchers, LENGTHS[length], person, comment or "from Slack")
    log.info("%s silenced %s for %s", person.audited, group.key, length)
    return until
