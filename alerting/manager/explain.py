"""Why somebody was told of an alert, or was not: now, and at a time past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alerting.manager.groups import AlertGroup
from alerting.manager.journal import Decision
from alerting.manager.manager import AlertManager
from alerting.manager.routes import RouteNode
from alerting.manager.silences import NoSuchSilence, shown
from alerting.matchers import format_matchers
from app.alert import Alert
from app.errors import NotFound
from app.labels import Labels, Matcher, MatchOp

_TOLD = {
    "first": "it is the first message of this group",
    "new_alerts": "alerts had joined the group",
    "all_resolved": "all alerts of the group had resolved",
    "some_resolved": "alerts of the group had resolved",
    "repeat": "repeat_interval had passed since the last message",
}


@dataclass(frozen=True, slots=True)
class _Moment:
    fingerprint: str
    at: datetime
    now: datetime

    @property
    def past(self) -> bool:
        return self.at < self.now


def explain(manager: AlertManager, fingerprint: str, at: datetime | None = None) -> dict[str, Any]:
    """What was decided about an alert until `at` (by itself: now), as JSON.

    For now, what the configuration in force, silences and other alerts do is worked out anew; for a time past, the
    decisions that were written down then are all there is. Raises NotFound when nothing is known of the alert.
    """
    now = manager.clock.now()
    moment = _Moment(fingerprint, min(at or now, now), now)
    known = manager.alert(fingerprint)
    labels = known.alert.labels if known else manager.journal.labels(fingerprint)
    if labels is None:
        raise NotFound(f"nothing is known of an alert {fingerprint!r}: it does not fire, and did not in the last day")
    answer: dict[str, Any] = {"fingerprint": fingerprint, "labels": dict(labels), "at": moment.at.isoformat()}
    decisions = manager.journal.about(fingerprint)
    if known is not None and not moment.past:
        answer |= _alert(manager, known.alert, now)
    if moment.past:
        answer["routes"] = _past(manager, moment, decisions)
    else:
        alert = known.alert if known else Alert(labels, now, now)
        answer["routes"] = _present(manager, alert, moment, decisions)
    answer["summary"] = [text for route in answer["routes"] for text in route["summary"]]
    return answer


def _alert(manager: AlertManager, alert: Alert, now: datetime) -> dict[str, Any]:
    acknowledged = manager.acknowledgements.of([alert])
    return {
        "state": "resolved" if alert.resolved_at(now) else "firing",
        "starts_at": alert.starts_at.isoformat(),
        "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
        "annotations": dict(alert.annotations),
        "acknowledged_by": [{"by": one.by, "at": one.at.isoformat()} for one in acknowledged],
    }


def _present(
    manager: AlertManager, alert: Alert, moment: _Moment, decisions: Sequence[Decision]
) -> list[dict[str, Any]]:
    found = []
    groups = {id(group.route): group for group in manager.groups_of(alert)}
    for node in manager.routes.root.match(dict(alert.labels)):
        group = groups.get(id(node))
        labels = node.group_labels(alert.labels)
        key = AlertGroup(node, labels, moment.now).key
        route = _route(node, manager.routes.root, key, labels)
        suppressed = _suppressed(manager, node, alert, moment.now)
        about = [d for d in decisions if (d.group_key, d.receiver) == (key, node.receiver)]
        due = group.due_at if group is not None else None
        notifiers = [way.name for way in manager.delivery.ways(node.receiver)]
        told = _notifiers(notifiers, about, moment)
        found.append(
            {
                **route,
                "suppressed": suppressed,
                "next_flush_at": due.isoformat() if due else None,
                "notifiers": told,
                "summary": _summary(manager, node.receiver, told, suppressed, due, moment),
            }
        )
    return found


def _past(manager: AlertManager, moment: _Moment, decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    ways: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions:
        ways.setdefault((decision.group_key, decision.receiver), []).append(decision)
    found = []
    for (key, receiver), about in ways.items():
        names = sorted({d.notifier for d in about if d.notifier})
        told = _notifiers(names, about, moment)
        found.append(
            {
                "receiver": receiver,
                "group_key": key,
                "notifiers": told,
                "summary": _summary(manager, receiver, told, [], None, moment),
            }
        )
    return found


def _route(node: RouteNode, root: RouteNode, key: str, labels: Labels) -> dict[str, Any]:
    return {
        "receiver": node.receiver,
        "path": [format_matchers(n.matchers) for n in _path(root, node)],
        "continue": node.goes_on,
        "group_key": key,
        "group_labels": dict(labels),
        "group_by": ["..."] if node.group_by_all else sorted(node.group_by),
        "group_wait_ms": node.group_wait_ms,
        "group_interval_ms": node.group_interval_ms,
        "repeat_interval_ms": node.repeat_interval_ms,
    }


def _path(node: RouteNode, wanted: RouteNode) -> list[RouteNode]:
    if node is wanted:
        return [node]
    for child in node.children:
        below = _path(child, wanted)
        if below:
            return [node, *below]
    return []


def _suppressed(manager: AlertManager, node: RouteNode, alert: Alert, now: datetime) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    status = manager.suppressor.status(alert.labels, now)
    for fingerprint in status.inhibited_by:
        source = manager.alert(fingerprint)
        labels = dict(source.alert.labels) if source else {}
        found.append({"by": "inhibition", "fingerprint": fingerprint, "labels": labels})
    found += [{"by": "mute", "time_interval": name} for name in manager.suppressor.muted_by(node, now)]
    for silence_id in status.silenced_by:
        try:
            found.append({"by": "silence", "id": silence_id, **shown(manager.silences.get(silence_id))})
        except NoSuchSilence:
            continue
    return found


def _notifiers(names: Sequence[str], decisions: Sequence[Decision], moment: _Moment) -> list[dict[str, Any]]:
    """What each notifier did: the decision in force at the moment, and the first one after it."""
    found = []
    for name in names or [""]:
        # a decision for all notifiers counts for each of them
        mine = [d for d in decisions if d.notifier in (name, "")]
        before = [d for d in mine if d.first_at <= moment.at]
        after = [d for d in mine if d.first_at > moment.at]
        sent = [d for d in before if d.outcome == "sent"]
        found.append(
            {
                "notifier": name,
                "decision": _decision(before[-1], moment) if before else None,
                "last_sent": _decision(sent[-1], moment) if sent else None,
                "next": _decision(after[0], moment) if after else None,
                "history": [_decision(d, moment) for d in before[-20:]],
            }
        )
    return found


def _decision(decision: Decision, moment: _Moment) -> dict[str, Any]:
    return {
        "outcome": decision.outcome,
        "why": decision.why,
        "alert_was": decision.alerts[moment.fingerprint],
        "first_at": decision.first_at.isoformat(),
        "last_at": decision.last_at.isoformat(),
        "times": decision.times,
        "took_ms": decision.took_ms,
        "alerts": len(decision.alerts),
        "by": decision.by,
    }


def _summary(
    manager: AlertManager,
    receiver: str,
    notifiers: Sequence[dict[str, Any]],
    suppressed: Sequence[dict[str, Any]],
    due: datetime | None,
    moment: _Moment,
) -> list[str]:
    found = []
    for notifier in notifiers:
        name = f"{receiver} ({notifier['notifier']})" if notifier["notifier"] else receiver
        found.append(f"{name}: {_sentence(manager, notifier, due, moment)}")
    for reason in suppressed:
        found.append(f"{receiver}: suppressed now by {_reason(reason)}")
    return found


def _reason(reason: dict[str, Any]) -> str:
    if reason["by"] == "inhibition":
        return f"the alert {_labels_text(reason['labels'])} ({reason['fingerprint']})"
    if reason["by"] == "mute":
        return f"the time interval {reason['time_interval']}"
    return f"the silence {reason['id']} of {reason['created_by'] or 'nobody'}: {reason['comment']}"


def _sentence(manager: AlertManager, notifier: dict[str, Any], due: datetime | None, moment: _Moment) -> str:
    decision = notifier["decision"]
    if decision is None:
        following = notifier["next"]
        if following is not None:
            return f"not told yet; the group was first looked at {_clock(following['first_at'])}"
        if due is not None:
            return f"not told yet; the group waits for others until {_clock(due.isoformat())}"
        return "not told, and no decision is written down"
    was, when = decision["alert_was"], _clock(decision["last_at"])
    match decision["outcome"]:
        case "sent" if was in ("firing", "resolved"):
            return f"told at {when} that it is {was}, since {_TOLD.get(decision['why'], decision['why'])}"
        case "failed":
            return f"not told at {when}: the receiver answered {decision['why']!r}"
        case "unchanged" if was in ("firing", "resolved"):
            last = notifier["last_sent"]
            told = f" (told at {_clock(last['last_at'])})" if last else ""
            return f"not told again at {when}: {decision['why']}{told}"
        case "not_sent":
            return f"not told at {when}: {decision['why']}"
    return f"not told at {when}: kept back by {_named(manager, was)}"


def _named(manager: AlertManager, was: str) -> str:
    """What suppressed an alert, as decisions have it, with labels for the fingerprint of the alert that inhibits."""
    kind, _, fingerprint = was.partition(" ")
    if kind != "inhibition":
        return was
    known = manager.alert(fingerprint)
    labels = known.alert.labels if known else manager.journal.labels(fingerprint)
    return f"the alert {_labels_text(dict(labels))} ({fingerprint})" if labels else f"the alert {fingerprint}"


def _labels_text(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(str(Matcher(name, MatchOp.EQUAL, value)) for name, value in sorted(labels.items())) + "}"


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
