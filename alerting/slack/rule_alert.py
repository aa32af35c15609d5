"""Alerts of rules in a message: one in full, several as lines with what tells them apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

from alerting.notify.base import common_pairs
from alerting.slack import mrkdwn
from alerting.slack.blocks import Block, section, sections
from alerting.slack.state import severity
from app.alert import Alert
from app.figures import span
from app.labels import Labels

_SHOWN_ELSEWHERE = {"alertname", "severity"}
_MORE_LABELS = 6
_MORE_ANNOTATIONS = 4
_LINE_LIMIT = 200
NAMED = ("summary", "description", "message", "title")
LINKS = ("runbook_url", "runbook", "dashboard", "dashboard_url", "grafana_url")


def one_alert(alert: Alert, now: datetime, group_labels: Labels) -> list[Block]:
    """A single alert: its summary, its description, its other annotations, its value and its labels."""
    annotations = dict(alert.annotations)
    summary, description = words_of(alert)
    kind = f" {mrkdwn.code(word, 60)}" if (word := severity(alert)) else ""
    lines = [f"{mrkdwn.bold(summary or alert.name or 'alert', 400)}{kind}"]
    if description:
        lines.append(mrkdwn.escaped(description, 1200))
    others = [(name, text) for name, text in annotations.items() if name not in (*NAMED, *LINKS, "value") and text]
    lines += [f"{mrkdwn.bold(name, 60)} {mrkdwn.escaped(text, 180)}" for name, text in others[:_MORE_ANNOTATIONS]]
    if value := value_of(alert):
        lines.append(f"*Value* {value}")
    blocks = [section("\n".join(lines))]
    if labels := label_codes(alert.labels, hidden={name for name, _ in group_labels}):
        blocks.append(section(labels))
    return blocks


def many_alerts(alerts: Sequence[Alert], now: datetime) -> list[Block]:
    """Alerts of a group: by name, what they share said once, and a line for each."""
    blocks: list[Block] = []
    ordered = sorted(alerts, key=lambda a: a.name)
    by_name = [list(many) for _, many in itertools.groupby(ordered, key=lambda a: a.name)]
    # the order that the alerts came in is the order of what presses most
    by_name.sort(key=lambda many: min(alerts.index(alert) for alert in many))
    for many in by_name:
        blocks += _of_one_name(sorted(many, key=alerts.index), now, named=len(by_name) > 1)
    return blocks


def words_of(alert: Alert) -> tuple[str, str]:
    """Its summary and its description, the second "" where it says the same."""
    annotations = dict(alert.annotations)
    summary = mrkdwn.clean(annotations.get("summary", "") or annotations.get("title", ""))
    description = mrkdwn.clean(annotations.get("description", "") or annotations.get("message", ""))
    return summary, "" if description == summary else description


def value_of(alert: Alert) -> str:
    """The value its rule's expression had, or "" where nobody says."""
    value = alert.facts.get("value")
    if isinstance(value, int | float) and not isinstance(value, bool):
        # four digits are enough beside a summary; an exponent is none for a count
        return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    return mrkdwn.escaped(dict(alert.annotations).get("value", ""), 60)


def label_codes(labels: Labels, *, hidden: set[str]) -> str:
    """Labels as code, "" for none; what has no room is counted."""
    shown = [pair for pair in labels if pair[0] not in hidden | _SHOWN_ELSEWHERE]
    codes = [mrkdwn.code(f"{name}={value}", 90) for name, value in shown[:_MORE_LABELS]]
    more = len(shown) - len(codes)
    return " ".join(codes) + (f" and {more} more label{'s' if more > 1 else ''}" if more > 0 else "")


def _of_one_name(alerts: list[Alert], now: datetime, *, named: bool) -> list[Block]:
    words = [words_of(alert) for alert in alerts]
    summary = words[0][0] if len({one[0] for one in words}) == 1 else ""
    description = words[0][1] if len({one[1] for one in words}) == 1 else ""
    lines: list[str] = []
    kind = f" {mrkdwn.code(word, 60)}" if (word := severity(alerts[0])) else ""
    if named or summary:
        name = alerts[0].name if named else ""
        count = f" ×{len(alerts)}" if named and len(alerts) > 1 else ""
        title = " – ".join(part for part in (name + count, summary) if part)
        lines.append(f"{mrkdwn.bold(title, 300)}{kind}")
    if description:
        lines.append(mrkdwn.escaped(description, 500))
    common = {name for name, _ in common_pairs([alert.labels for alert in alerts])} if len(alerts) > 1 else set()
    for alert, (own_summary, own_description) in zip(alerts, words, strict=True):
        told = "" if summary else own_summary or ("" if description else own_description)
        lines.append(_line(alert, told, common, now))
    return sections(lines)


def _line(alert: Alert, told: str, common: set[str], now: datetime) -> str:
    sign = "✓" if alert.resolved_at(now) else "•"
    labels = label_codes(alert.labels, hidden=common)
    parts = [mrkdwn.escaped(" ".join(told.split()), _LINE_LIMIT) if told else "", labels]
    if value := value_of(alert):
        parts.append(f"value {value}")
    parts.append(_age(alert, now))
    return f"{sign} " + " · ".join(part for part in parts if part)


def _age(alert: Alert, now: datetime) -> str:
    if alert.ends_at is not None and alert.resolved_at(now):
        return f"over after {span((alert.ends_at - alert.starts_at).total_seconds() * 1000)}"
    return f"for {span(max(0.0, (now - alert.starts_at).total_seconds() * 1000))}"
