"""A Slack message for a group of alerts, within Slack's limits whatever the alerts hold."""

from __future__ import annotations

from typing import Any

from alerting.notify.base import Notification, common_pairs
from alerting.slack import mrkdwn
from alerting.slack.blocks import (
    MAX_BLOCKS,
    TEXT_LIMIT,
    VALUE_LIMIT,
    Block,
    actions,
    button,
    context,
    header,
    image,
    section,
)
from alerting.slack.extras import NOTHING, Extras, Look, explore_link, group_pairs, slo_id, watchhouse_link
from alerting.slack.facts import slo_facts
from alerting.slack.rule_alert import label_codes, many_alerts, one_alert, words_of
from alerting.slack.slo_alert import slo_blocks, slo_line, slo_numbers, tell_budget, verb
from alerting.slack.state import GroupState, State, name_of, severity
from app.alert import Alert
from app.figures import span, times

MAX_SLOS_IN_FULL = 2
QUIET_LINKS = {"unfurl_links": False, "unfurl_media": False}
"""A page is not buried under previews of the pages it links to."""
MAX_LINES = 12
RED, ORANGE, BLUE, GREY, GREEN = "#d50200", "#e8912d", "#1d9bd1", "#9a9a9a", "#2eb67d"
SIGNS: dict[State, str] = {"firing": "🔴", "acknowledged": "👀", "silenced": "🔕", "resolved": "✅"}
ACKNOWLEDGE, SILENCE, LOGS = "watchhouse_ack", "watchhouse_silence", "watchhouse_logs"
SILENCES = (("1h", "Silence 1h"), ("4h", "4h"), ("1d", "1d"))
_LINKED = (
    ("runbook_url", "Runbook"),
    ("runbook", "Runbook"),
    ("dashboard", "Dashboard"),
    ("dashboard_url", "Dashboard"),
    ("grafana_url", "Dashboard"),
)


def rich_message(
    notification: Notification, look: Look, extras: Extras = NOTHING, *, group: str = "", own: OwnWords | None = None
) -> dict[str, Any]:
    """`text`, `blocks` and `attachments`: a header above, the alerts beside a bar of colour, a text that says the same.

    `group` names the group to the buttons; without it there are none.
    """
    state, own = GroupState.of(notification), own or OwnWords()
    body = [*_status(state), *_alerts(state, extras)]
    foot: list[Block] = []
    if extras.picture is not None and state.state != "silenced":
        foot.append(image(extras.picture.alt, url=extras.picture.url, file=extras.picture.file))
    foot += _foot(state, look, own)
    if row := _buttons(state, look, group):
        foot.append(row)
    top = [header(title(state)), *([section(own.above)] if own.above else [])]
    room = MAX_BLOCKS - len(top) - len(foot)
    return {
        **QUIET_LINKS,
        "text": fallback(state, own),
        "blocks": top,
        "attachments": [{"color": own.color or color(state), "blocks": [*body[:room], *foot]}],
    }


class OwnWords:
    """Texts of the configuration that stand in our message, their templates filled in."""

    def __init__(self, above: str = "", footer: str = "", color: str = "") -> None:
        # their author may use Slack's markup, so they are cut and not escaped
        self.above = mrkdwn.fit(above, TEXT_LIMIT)
        self.footer = mrkdwn.fit(footer, 300)
        self.color = mrkdwn.clean(color)[:20]


def title(state: GroupState) -> str:
    """The header: how it is, what it is about."""
    alerts = state.firing or state.alive or state.resolved
    if not alerts:
        return f"{SIGNS[state.state]} {state.notification.receiver}"
    sign = SIGNS[state.state] if state.page or state.state != "firing" else "🟠"
    if len({name_of(a) for a in alerts}) == 1 and (facts := slo_facts(alerts[0])):
        name = name_of(alerts[0])
        if state.state == "resolved":
            return f"{sign} Resolved: {name}"
        if facts.cause == "burn" and facts.long_burn is not None:
            return f"{sign} {name} burns at {times(facts.long_burn)}"
        return f"{sign} {name} {verb(facts, resolved=False)}"
    count = f"{len(alerts)} × " if len(alerts) > 1 else ""
    names = list(dict.fromkeys(name_of(a) for a in alerts))
    what = names[0] if len(names) == 1 else f"{len(alerts)} alerts"
    pairs = tuple(p for p in state.notification.group_labels if p[0] not in ("alertname", "severity", "slo", "service"))
    where = group_pairs(pairs)
    subject = (f"{count}{what}" if len(names) == 1 else what) + (f" · {where}" if where else "")
    return f"{sign} Resolved: {subject}" if state.state == "resolved" else f"{sign} {subject}"


def color(state: GroupState) -> str:
    """The bar beside the alerts."""
    if state.state == "firing":
        return RED if state.page else ORANGE
    return {"acknowledged": BLUE, "silenced": GREY, "resolved": GREEN}[state.state]


def fallback(state: GroupState, own: OwnWords | None = None) -> str:
    """What a notification on a phone says, and all there is where blocks cannot be shown: the same numbers."""
    if not state.alerts:
        return title(state)
    lines = [mrkdwn.escaped(title(state), 200)]
    if own and own.above:
        lines.append(mrkdwn.fit(own.above, 300))
    shown = state.alerts[:6]
    budgets = zip(shown, tell_budget(shown, state.notification.now), strict=True)
    lines += [mrkdwn.escaped(alert_line(alert, state, budget=budget), 400) for alert, budget in budgets]
    if more := _rest(state, len(shown)):
        lines.append(more)
    return "\n".join(lines)


def alert_line(alert: Alert, state: GroupState, *, budget: bool = True) -> str:
    """The alert in one line without markup, with the numbers of its blocks."""
    now = state.notification.now
    facts, over = slo_facts(alert), alert.resolved_at(now)
    quiet = any(one.alert is alert for one in state.quiet)
    words = ["[RESOLVED]" if over else "[SILENCED]" if quiet else "[FIRING]", severity(alert), name_of(alert) + ":"]
    told = words_of(alert)[0]
    if facts is None and (own := label_codes(alert.labels, hidden=_shared(state))):
        told = " ".join(part for part in (told, _plain(own)) if part)
    if facts:
        numbers = slo_numbers(facts, now, resolved=over, budget=budget)
        told = ", ".join(f"{name} {_plain(text)}" for name, text in numbers)
    until = f" until {mrkdwn.utc(alert.ends_at)}" if over and alert.ends_at else ""
    since = f"since {mrkdwn.utc(alert.starts_at)}{until}"
    return " ".join(part for part in (*words, told + ";" if told else "", since) if part)


def _shared(state: GroupState) -> set[str]:
    pairs = common_pairs([a.labels for a in state.alerts]) if len(state.alerts) > 1 else state.notification.group_labels
    return {name for name, _ in pairs}


def _plain(text: str) -> str:
    return mrkdwn.plain(text).replace("\n", ", ")


def _status(state: GroupState) -> list[Block]:
    """One line: how it is, since when, how many."""
    now, began = state.notification.now, state.began_at
    if state.state == "resolved":
        length = span(max(0.0, (state.ended_at - began).total_seconds() * 1000))
        told = f"*Resolved* after {length} · from {mrkdwn.date(began)} until {mrkdwn.date(state.ended_at)}"
        return [section(told)]
    since = f"since {mrkdwn.date(began)} ({span(max(0.0, (now - began).total_seconds() * 1000))})"
    parts = [since]
    if len(state.alerts) > 1:
        parts.insert(0, _counts(state))
    if state.state == "silenced":
        return [section(f"{_quiet_words(state)}\n{' · '.join(parts)}")]
    lines = [" · ".join(parts)]
    if state.acknowledged:
        lines.insert(0, _acknowledged_words(state))
    if state.quiet:
        lines.append(f"{len(state.quiet)} more {_quiet_words(state, bold=False)}")
    return [section("\n".join(lines))] if len(lines) > 1 else [context(lines)]


def _counts(state: GroupState) -> str:
    counts = ((len(state.firing), "firing"), (len(state.quiet), "silenced"), (len(state.resolved), "resolved"))
    return ", ".join(f"{n} {word}" for n, word in counts if n)


def _acknowledged_words(state: GroupState) -> str:
    first = min(state.acknowledged.values(), key=lambda ack: ack.at)
    some = "" if state.state == "acknowledged" else f"{len(state.acknowledged)} of {len(state.firing)} "
    return f"*{some}Acknowledged* by {mrkdwn.escaped(first.by, 100)}, {mrkdwn.date(first.at)}"


def _quiet_words(state: GroupState, *, bold: bool = True) -> str:
    # a silence has an author and an end; of several the one that lasts longest is told
    one = max(state.quiet, key=lambda s: (s.by == "silence", s.until.timestamp() if s.until else 0.0))
    word = {"silence": "Silenced", "inhibition": "Inhibited", "mute": "Muted"}[one.by]
    told = f"*{word}*" if bold else word.lower()
    if one.by == "inhibition":
        return f"{told} by another alert"
    if one.by == "mute":
        return f"{told} by {mrkdwn.escaped(', '.join(one.ids), 200)}"
    told += f" by {mrkdwn.escaped(one.author, 100)}" if one.author else ""
    told += f" until {mrkdwn.date(one.until)}" if one.until else ""
    return told + (f": {mrkdwn.escaped(one.comment, 300)}" if one.comment else "")


def _alerts(state: GroupState, extras: Extras) -> list[Block]:
    now, group_labels = state.notification.now, state.notification.group_labels
    shown = list(state.alerts[:MAX_LINES])
    slos = [(alert, facts) for alert in shown if (facts := slo_facts(alert))]
    rules = [alert for alert in shown if slo_facts(alert) is None]
    blocks: list[Block] = []
    names = {name_of(alert) for alert, _ in slos}
    full = len(slos) <= MAX_SLOS_IN_FULL and not rules
    budgets = tell_budget([alert for alert, _ in slos], now)
    for i, (alert, facts) in enumerate(slos):
        # two alerts of one SLO, a page and a ticket, have the same offenders
        again = slo_id(alert) in {slo_id(other) for other, _ in slos[:i]}
        offenders = () if again else extras.offenders.get(slo_id(alert), ())
        if full and not again:
            blocks += slo_blocks(alert, facts, offenders, now, named=len(names) > 1, budget=budgets[i])
        else:
            blocks.append(section(mrkdwn.joined([slo_line(alert, facts, now, budget=budgets[i])], TEXT_LIMIT)))
    if len(rules) == 1 and not slos:
        blocks += one_alert(rules[0], now, group_labels)
    elif rules:
        blocks += many_alerts(rules, now)
    return blocks


def _rest(state: GroupState, shown: int) -> str:
    rest = state.alerts[shown:]
    if not rest:
        return ""
    over = sum(a.resolved_at(state.notification.now) for a in rest)
    silenced = {id(one.alert) for one in state.quiet}
    quiet = sum(id(a) in silenced for a in rest)
    counts = ((len(rest) - over - quiet, "firing"), (quiet, "silenced"), (over, "resolved"))
    return "and " + ", ".join(f"{n} more {word}" for n, word in counts if n)


def _foot(state: GroupState, look: Look, own: OwnWords) -> list[Block]:
    texts = [_rest(state, MAX_LINES), links(state, look), own.footer]
    return [context([text for text in texts if text])] if any(texts) else []


def links(state: GroupState, look: Look) -> str:
    """Runbook, dashboard, Grafana and Watchhouse, each once; "" for none."""
    if not state.alerts:
        return ""
    first = state.alerts[0]
    now = state.notification.now
    found: list[str] = []
    labels: dict[str, str] = {}
    for alert in state.alerts[:MAX_LINES]:
        for key, label in _LINKED:
            url = dict(alert.annotations).get(key, "")
            name = label if label not in labels.values() else f"{label} of {alert.name}"
            if url and url not in labels and (text := mrkdwn.link(url, name)):
                labels[url] = label
                found.append(text)
    found.append(mrkdwn.link(explore_link(first, look, now), "Grafana"))
    found.append(mrkdwn.link(watchhouse_link(first, look), "Watchhouse"))
    home = look.external_url.rstrip("/")
    if not (home and first.generator_url.startswith(f"{home}/")):
        found.append(mrkdwn.link(first.generator_url, "Source"))
    return mrkdwn.joined(found, TEXT_LIMIT)


def _buttons(state: GroupState, look: Look, group: str) -> Block | None:
    if not group or state.state == "resolved" or len(group) > VALUE_LIMIT - 10:
        return None
    row = []
    if "acknowledge" in look.buttons and state.state == "firing":
        row.append(button("Acknowledge", ACKNOWLEDGE, group, primary=True))
    if "silence" in look.buttons and state.state != "silenced":
        row += [button(text, f"{SILENCE}_{length}", f"{length} {group}") for length, text in SILENCES]
    if "logs" in look.buttons:
        row.append(button("Show logs", LOGS, group))
    return actions(row, "watchhouse") if row else None
