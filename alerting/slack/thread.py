"""What a message said last, kept across restarts, and what its thread is told when that changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast, get_args

from alerting.notify.base import common_pairs
from alerting.slack import mrkdwn
from alerting.slack.rule_alert import label_codes, words_of
from alerting.slack.state import GroupState, State, is_page, name_of
from app.alert import Alert
from app.figures import span

Kind = Literal["joined", "resolved", "over", "silenced", "unsilenced", "acknowledged", "repeated"]
REPLY_LIMIT = 3500
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Told:
    """A message as it stands in Slack. Alerts are known by their fingerprints."""

    channel: str
    ts: str
    state: State
    firing: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    acknowledged: frozenset[str] = frozenset()
    words: str = ""
    """A digest of what it says of silences: until when, by whom."""
    file: str = ""
    """The id of the chart in it, and when it was drawn."""
    drawn_at: float = 0.0
    to: str = ""
    """Where the configuration sent it to: the channel's name or id then."""

    @classmethod
    def of(cls, state: GroupState, message: Told) -> Told:
        """What a message says that is made of this anew."""
        return cls(
            message.channel,
            message.ts,
            state.state,
            frozenset(a.fingerprint for a in state.firing),
            frozenset(one.alert.fingerprint for one in state.quiet),
            frozenset(state.acknowledged),
            _digest(*(f"{one.until}{one.author}{one.comment}" for one in state.quiet)) if state.quiet else "",
            message.file,
            message.drawn_at,
            message.to,
        )

    @classmethod
    def read(cls, memory: Mapping[str, str]) -> Told | None:
        """What `memory` gave, None when there is no message (any more)."""
        if not memory.get("ts") or not memory.get("channel"):
            return None
        state = memory.get("state", "firing")
        firing, quiet, acknowledged = (
            frozenset(memory.get(key, "").split()) for key in ("firing", "quiet", "acknowledged")
        )
        try:
            drawn_at = float(memory.get("drawn_at", "0"))
        except ValueError:
            drawn_at = 0.0
        known = cast(State, state if state in get_args(State) else "firing")
        return cls(
            memory["channel"],
            memory["ts"],
            known,
            firing,
            quiet,
            acknowledged,
            memory.get("words", ""),
            memory.get("file", ""),
            drawn_at,
            memory.get("to", ""),
        )

    def says(self, state: GroupState) -> bool:
        """Whether the message would say the same now, but for numbers that change all the time."""
        return Told.of(state, self) == self

    def memory(self) -> dict[str, str]:
        """For the notification log."""
        found = {
            "channel": self.channel,
            "ts": self.ts,
            "state": self.state,
            "firing": " ".join(sorted(self.firing)),
            "quiet": " ".join(sorted(self.quiet)),
            "acknowledged": " ".join(sorted(self.acknowledged)),
            "words": self.words,
            "file": self.file,
            "drawn_at": f"{self.drawn_at:.0f}" if self.drawn_at else "",
            "to": self.to,
        }
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Reply:
    """Something to say in the thread. `key` tells it from every other, so that it is said once."""

    kind: Kind
    text: str
    key: str
    broadcast: bool = False
    """Shown in the channel, too: somebody should look again."""


def replies(before: Told, now: GroupState, *, pings: bool, reminds: bool = True) -> list[Reply]:
    """What happened since, in the order in which a reader wants it.

    `pings`: this is a notification and no mere edit, so it may be shown in the channel, and when nothing else happened
    it is the reminder that `repeat_interval` asks for, unless not even that is wanted (`reminds`).
    """
    known = before.firing | before.quiet
    over = [a for a in now.resolved if a.fingerprint in known]
    joined = [a for a in now.firing if a.fingerprint not in known]
    back = [a for a in now.firing if a.fingerprint in before.quiet]
    hushed = [one.alert for one in now.quiet if one.alert.fingerprint in before.firing]
    answered = [a for a in now.alive if a.fingerprint in now.acknowledged and a.fingerprint not in before.acknowledged]
    found: list[Reply] = []
    if now.state == "resolved":
        if before.state != "resolved":
            found.append(_reply("over", now.resolved, _over_words(now)))
        return found
    if over:
        left = f"; {_still(now)}"
        found.append(_reply("resolved", over, f"✅ {_names(over, now)} resolved{_after(over, now)}{left}"))
    if joined:
        pages = any(map(is_page, joined)) and now.state == "firing"
        found.append(_reply("joined", joined, f"➕ {_more(joined)}{_names(joined, now)}", broadcast=pings and pages))
    if hushed:
        found.append(_reply("silenced", hushed, _silenced_words(now, hushed)))
    if back:
        text = f"🔔 {_names(back, now)}: no longer silenced, still firing"
        found.append(_reply("unsilenced", back, text, broadcast=pings and any(map(is_page, back))))
    if answered:
        by = mrkdwn.escaped(now.acknowledged[answered[0].fingerprint].by, 100)
        some = "" if len(answered) == len(now.alive) else f": {_names(answered, now)}"
        found.append(_reply("acknowledged", answered, f"👀 {by} looks after it{some}"))
    if not found and pings and reminds and before.state == now.state and now.firing:
        age = span(max(0.0, (now.notification.now - now.began_at).total_seconds() * 1000))
        text = f"⏰ Still firing after {age}" + ("" if now.state == "acknowledged" else ", and nobody looks after it")
        found.append(_reply("repeated", now.firing, text, broadcast=now.state == "firing", at=now.notification.now))
    return found


def _reply(
    kind: Kind, alerts: Sequence[Alert], text: str, *, broadcast: bool = False, at: datetime | None = None
) -> Reply:
    parts = sorted(f"{a.fingerprint}@{a.starts_at.timestamp()}" for a in alerts)
    return Reply(kind, mrkdwn.fit_marked(text, REPLY_LIMIT), f"{kind}-{_digest(*parts, str(at or ''))}", broadcast)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("|".join(parts).encode(), digest_size=10).hexdigest()


def _over_words(now: GroupState) -> str:
    length = max(timedelta(), now.ended_at - now.began_at)
    return f"✅ All resolved after {span(length.total_seconds() * 1000)}, {mrkdwn.date(now.ended_at)}"


def _silenced_words(now: GroupState, hushed: Sequence[Alert]) -> str:
    one = next(one for one in now.quiet if one.alert is hushed[0])
    what = "" if len(hushed) == len(now.alive) else f"{_names(hushed, now)}: "
    if one.by == "inhibition":
        return f"🔕 {what}{'inhibited' if what else 'Inhibited'} by another alert"
    if one.by == "mute":
        return f"🔕 {what}{'muted' if what else 'Muted'} by {mrkdwn.escaped(', '.join(one.ids), 200)}"
    by = f" by {mrkdwn.escaped(one.author, 100)}" if one.author else ""
    until = f" until {mrkdwn.date(one.until)}" if one.until else ""
    comment = f": {mrkdwn.escaped(one.comment, 300)}" if one.comment else ""
    return f"🔕 {what}{'silenced' if what else 'Silenced'}{by}{until}{comment}"


def _names(alerts: Sequence[Alert], now: GroupState) -> str:
    # what the whole group shares tells nothing
    shared = set(now.notification.group_labels)
    if len(now.alerts) > 1:
        shared |= set(common_pairs([a.labels for a in now.alerts]))
    alike = len({_subject(a) for a in now.alerts}) == 1
    named: list[str] = []
    for alert in alerts[:_NAMED]:
        labels = (
            label_codes(alert.labels, hidden={name for name, _ in shared}) if alert.facts.get("slo") is None else ""
        )
        subject = "" if alike and labels else mrkdwn.bold(_subject(alert), 150)
        named.append(" ".join(part for part in (subject, labels) if part))
    more = f" and {len(alerts) - _NAMED} more" if len(alerts) > _NAMED else ""
    return ", ".join(dict.fromkeys(named)) + more


def _subject(alert: Alert) -> str:
    return words_of(alert)[0] or name_of(alert)


def _more(joined: Sequence[Alert]) -> str:
    return f"{len(joined)} more: " if len(joined) > 1 else "Also firing: "


def _after(over: Sequence[Alert], now: GroupState) -> str:
    alert = over[0]
    if len(over) > 1 or alert.ends_at is None:
        return ""
    return f" after {span(max(0.0, (alert.ends_at - alert.starts_at).total_seconds() * 1000))}"


def _still(now: GroupState) -> str:
    count = len(now.alive)
    return f"{count} {'is' if count == 1 else 'are'} left"
