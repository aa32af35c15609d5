"""One alert in a Slack message: Block Kit for those who see it, a line of text with the same numbers for the rest."""

from __future__ import annotations

from typing import Any

from alerting.notify import mrkdwn
from alerting.notify.base import Notification
from alerting.notify.facts import SloFacts, percent, slo_facts, span, times
from app.alert import Alert
from app.labels import Labels

Block = dict[str, Any]

MAX_LABELS = 20
_SHOWN_ELSEWHERE = {"alertname", "slo", "service", "severity"}
_SLOTH = {"sloth_id", "sloth_service", "sloth_slo", "sloth_severity"}
_LINKS = (
    ("runbook_url", "Runbook"),
    ("runbook", "Runbook"),
    ("dashboard", "Dashboard"),
    ("dashboard_url", "Dashboard"),
    ("grafana_url", "Grafana"),
)


def alert_blocks(alert: Alert, notification: Notification, external_url: str, *, detailed: bool) -> list[Block]:
    """A section saying what and since when, one with the numbers, one with labels and links; at most three blocks."""
    facts = slo_facts(alert)
    blocks: list[Block] = [section(_what(alert, facts, notification, detailed))]
    fields = _numbers(facts, resolved=alert.resolved_at(notification.now)) if facts else []
    if fields:
        blocks.append({"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in fields]})
    context = [text for text in (_labels(alert, notification), _links(alert, external_url)) if text]
    if context:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": text} for text in context]})
    return blocks


def alert_line(alert: Alert, notification: Notification) -> str:
    """The alert in one line without markup, with the numbers of its blocks."""
    facts = slo_facts(alert)
    resolved = alert.resolved_at(notification.now)
    parts = ["[RESOLVED]" if resolved else "[FIRING]", _severity(alert, facts), name_of(alert) + ":"]
    words = " ".join(part for part in parts if part)
    numbers = [
        text.replace("*", "").replace("\n", " ") for text in (_numbers(facts, resolved=resolved) if facts else [])
    ]
    told = ", ".join(numbers) or dict(alert.annotations).get("summary", "")
    until = f" until {mrkdwn.utc(alert.ends_at)}" if resolved and alert.ends_at else ""
    since = f"since {mrkdwn.utc(alert.starts_at)}{until}"
    return " ".join(part for part in (words, told + ";" if told else "", since) if part)


def section(text: str) -> Block:
    """A section of marked-up text."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def name_of(alert: Alert) -> str:
    """What a person calls it: the SLO and its service, or the alert's name."""
    facts = slo_facts(alert)
    if facts:
        return f"{facts.slo} ({facts.service})" if facts.service else facts.slo
    return alert.name or "alert"


def is_page(alert: Alert) -> bool:
    """Whether somebody has to get up for it."""
    return _severity(alert, slo_facts(alert)).lower() in ("page", "critical")


def _severity(alert: Alert, facts: SloFacts | None) -> str:
    return (facts.severity if facts else "") or dict(alert.labels).get("severity", "")


def _what(alert: Alert, facts: SloFacts | None, notification: Notification, detailed: bool) -> str:
    annotations = dict(alert.annotations)
    resolved = alert.resolved_at(notification.now)
    severity = _severity(alert, facts)
    lines = [mrkdwn.bold(name_of(alert), 300) + (f" {mrkdwn.code(severity, 60)}" if severity else "")]
    if facts:
        lines[0] += f" {_verb(facts, resolved)}"
    summary, description = annotations.get("summary", ""), annotations.get("description", "")
    if facts and not description:
        description = facts.description
    for text in (summary, description if description != summary else ""):
        if mrkdwn.clean(text):
            lines.append(mrkdwn.escaped(text, 1000 if detailed else 250))
    lines.append(_since(alert, notification))
    return "\n".join(lines)


def _verb(facts: SloFacts, resolved: bool) -> str:
    if facts.cause == "budget":
        if resolved:
            return "has more of its error budget left again"
        used = "too much" if facts.budget_left is None else percent(1 - facts.budget_left)
        return f"has used {used} of its error budget"
    if facts.cause == "no data":
        return "has data again" if resolved else "has no data"
    return "no longer burns its error budget too fast" if resolved else f"burns its error budget {_speed(facts)}"


def _speed(facts: SloFacts) -> str:
    return "too fast" if facts.long_burn is None else f"at {times(facts.long_burn)} the sustainable rate"


def _since(alert: Alert, notification: Notification) -> str:
    if alert.ends_at is not None and alert.resolved_at(notification.now):
        length_ms = (alert.ends_at - alert.starts_at).total_seconds() * 1000
        return f"From {mrkdwn.date(alert.starts_at)} until {mrkdwn.date(alert.ends_at)} ({span(length_ms)})"
    age_ms = (notification.now - alert.starts_at).total_seconds() * 1000
    return f"Since {mrkdwn.date(alert.starts_at)} ({span(max(0.0, age_ms))})"


def _numbers(facts: SloFacts, *, resolved: bool) -> list[str]:
    found = []
    if not resolved:
        # a condition of one window has it as the long and the short one
        windows = {facts.short_window_ms: facts.short_burn, facts.long_window_ms: facts.long_burn}
        for window_ms, burn in reversed(windows.items()):
            if window_ms is not None:
                found.append(f"*Burn rate over {span(window_ms)}*\n{times(burn)} (threshold {times(facts.threshold)})")
        if facts.cause != "burn" and facts.condition:
            found.append(f"*Alerts when*\n{mrkdwn.escaped(facts.condition, 200)}")
    found.append(f"*Budget left*\n{percent(facts.budget_left)}{_amount(facts)}")
    if not resolved and facts.budget_left is not None:
        if facts.budget_left <= 0:
            found.append("*Budget gone in*\nalready spent")
        elif facts.exhausted_in_ms is not None:
            rate = "this rate" if facts.cause == "burn" else "today's rate"
            found.append(f"*Budget gone in*\n{span(facts.exhausted_in_ms)} at {rate}")
    if facts.held and not resolved:
        found.append(f"*Held*\n{mrkdwn.escaped(facts.held, 200)}")
    if facts.objective is not None:
        found.append(f"*Objective*\n{facts.objective:.6g} %")
    return found


def _amount(facts: SloFacts) -> str:
    """What is left in events and minutes, behind the per cent."""
    amounts = []
    if facts.budget_left_events is not None:
        amounts.append(f"{facts.budget_left_events:,.0f} events")
    if facts.budget_left_minutes is not None:
        amounts.append(f"{facts.budget_left_minutes:,.1f} min")
    return f" ({', '.join(amounts)})" if amounts else ""


def _labels(alert: Alert, notification: Notification) -> str:
    """The labels that tell this alert from the others of its group; of a single one, those the group does not name."""
    many = len(notification.alerts) > 1
    shared: Labels = notification.common_labels if many else notification.group_labels
    named = _SHOWN_ELSEWHERE | _SLOTH if slo_facts(alert) else _SHOWN_ELSEWHERE
    own = [pair for pair in alert.labels if pair not in shared and pair[0] not in named]
    shown = [mrkdwn.code(f"{name}={value}", 100) for name, value in own[:MAX_LABELS]]
    more = len(own) - len(shown)
    return " ".join(shown) + (f" and {more} more labels" if more > 0 else "")


def _links(alert: Alert, external_url: str) -> str:
    home = external_url.rstrip("/")
    ours = bool(home) and alert.generator_url.startswith(f"{home}/")
    found = [mrkdwn.link(alert.generator_url if ours else home, "Watchhouse")]
    annotations = dict(alert.annotations)
    urls: set[str] = set()
    for key, label in _LINKS:
        url = annotations.get(key, "")
        if url and url not in urls:
            urls.add(url)
            found.append(mrkdwn.link(url, label))
    if not ours:
        found.append(mrkdwn.link(alert.generator_url, "Source"))
    joined = ""
    for text in found:
        if text and len(joined) + len(text) < 2900:
            joined += f" · {text}" if joined else text
    return joined
