"""An SLO's alert in a message: what burns, how fast beside its threshold, what is left and when it will be gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerting.slack import mrkdwn
from alerting.slack.blocks import Block, fields, section
from alerting.slack.extras import Offender, slo_id
from alerting.slack.facts import SloFacts
from alerting.slack.state import name_of, severity
from app.alert import Alert
from app.figures import percent, span, times

_MAX_OFFENDERS = 5


def slo_blocks(
    alert: Alert,
    facts: SloFacts,
    offenders: Sequence[Offender],
    now: datetime,
    *,
    named: bool = True,
    budget: bool = True,
) -> list[Block]:
    """A sentence, the numbers in two columns, and what stands out among the bad events.

    Without `named` the name is not said again, as it stands in the header; without `budget` another alert tells it.
    """
    over = alert.resolved_at(now)
    blocks = [section(_sentence(alert, facts, over, named))]
    if numbers := slo_numbers(facts, now, resolved=over, budget=budget):
        blocks.append(fields([f"*{name}*\n{text}" for name, text in numbers]))
    if offenders and not over:
        blocks.append(section(f"*What stands out among the bad events*\n{_offenders(offenders)}"))
    return blocks


def tell_budget(alerts: Sequence[Alert], now: datetime) -> list[bool]:
    """Which of some alerts tell the budget: of each SLO that with the newest numbers, the first of several such.

    One that is over has those of its end, one that is held those of before.
    """
    newest: dict[str, tuple[tuple[bool, bool, float], int]] = {}
    for i, alert in enumerate(alerts):
        over = alert.resolved_at(now)
        age = not over, not alert.facts.get("held"), alert.ends_at.timestamp() if over and alert.ends_at else 0.0
        name = slo_id(alert) or name_of(alert)
        if name not in newest or age > newest[name][0]:
            newest[name] = age, i
    chosen = {i for _, i in newest.values()}
    return [i in chosen for i in range(len(alerts))]


def slo_line(alert: Alert, facts: SloFacts, now: datetime, *, budget: bool = True) -> str:
    """The alert in one marked-up line, for a group of several."""
    over = alert.resolved_at(now)
    name = mrkdwn.bold(f"{facts.slo} ({facts.service})" if facts.service else facts.slo, 200)
    kind = f" {mrkdwn.code(word, 40)}" if (word := severity(alert)) else ""
    told = [f"{name}{kind} {verb(facts, resolved=over)}"]
    if not over and facts.threshold is not None and facts.long_window_ms is not None:
        told.append(f"threshold {times(facts.threshold)} over {span(facts.long_window_ms)}")
    if budget and facts.budget_left is not None:
        spent = "all spent: " if facts.budget_left <= 0 else ""
        told.append(f"budget {spent}{percent(facts.budget_left)} left")
    if budget and not over and facts.exhausted_in_ms is not None and (facts.budget_left or 0) > 0:
        told.append(f"gone in {span(facts.exhausted_in_ms)}")
    return " · ".join(told)


def slo_numbers(facts: SloFacts, now: datetime, *, resolved: bool, budget: bool = True) -> list[tuple[str, str]]:
    """Names and marked-up texts of its numbers, the most pressing first."""
    found: list[tuple[str, str]] = []
    if not resolved:
        # a condition of one window has it as the long and the short one
        windows = {facts.short_window_ms: facts.short_burn, facts.long_window_ms: facts.long_burn}
        for window_ms, burn in reversed(windows.items()):
            if window_ms is not None:
                found.append((f"Burn rate over {span(window_ms)}", _beside(burn, facts.threshold)))
        if facts.cause != "burn" and facts.condition:
            found.append(("Alerts when", mrkdwn.escaped(facts.condition, 200)))
    if budget:
        found += _budget(facts, now, resolved)
    if facts.held and not resolved:
        found.append(("Held", mrkdwn.escaped(facts.held, 200)))
    return found


def _budget(facts: SloFacts, now: datetime, resolved: bool) -> list[tuple[str, str]]:
    left = f"{percent(facts.budget_left)}{_amount(facts)}"
    if facts.budget_left is not None and facts.budget_left <= 0:
        return [("Budget", f"all spent: {left}")]
    if resolved or facts.budget_left is None or facts.exhausted_in_ms is None:
        return [("Budget left", left)]
    name = "Gone at this rate" if facts.cause == "burn" else "Gone at today's rate"
    return [("Budget left", left), (name, _gone(facts, now))]


def verb(facts: SloFacts, *, resolved: bool) -> str:
    """What it does, after its name."""
    if facts.cause == "budget":
        if resolved:
            return "has more of its error budget left again"
        used = "too much" if facts.budget_left is None else percent(1 - facts.budget_left)
        return f"has used {used} of its error budget"
    if facts.cause == "no data":
        return "has data again" if resolved else "has no data"
    if resolved:
        return "no longer burns its error budget too fast"
    speed = "too fast" if facts.long_burn is None else f"at {times(facts.long_burn)} the sustainable rate"
    return f"burns its error budget {speed}"


def gone_at(facts: SloFacts, now: datetime) -> datetime | None:
    """When the budget will be used up; None when that does not come, or is already so."""
    if facts.exhausted_in_ms is None or facts.budget_left is None or facts.budget_left <= 0:
        return None
    try:
        return now + timedelta(milliseconds=facts.exhausted_in_ms)
    except OverflowError:
        return None


def _sentence(alert: Alert, facts: SloFacts, over: bool, named: bool) -> str:
    name = mrkdwn.bold(f"{facts.slo} ({facts.service})" if facts.service else facts.slo, 300)
    kind = mrkdwn.code(word, 60) if (word := severity(alert)) else ""
    objective = f"objective *{facts.objective:.6g} %*" if facts.objective is not None else ""
    first = [" ".join(part for part in (name, verb(facts, resolved=over)) if part)] if named or over else []
    if not first and facts.cause != "burn":
        first = [f"It {verb(facts, resolved=over)}"]
    lines = [" · ".join(part for part in (kind, *first, objective) if part)]
    # not the annotation: its numbers stand below
    if mrkdwn.clean(facts.description):
        lines.append(mrkdwn.escaped(facts.description, 1000))
    return "\n".join(line for line in lines if line) or name


def _beside(burn: float | None, threshold: float | None) -> str:
    if threshold is None:
        return times(burn)
    mark = "*" if burn is not None and burn >= threshold else ""
    return f"{mark}{times(burn)}{mark} (threshold {times(threshold)})"


def _gone(facts: SloFacts, now: datetime) -> str:
    at = gone_at(facts, now)
    return f"in {span(facts.exhausted_in_ms)}" + (f", {mrkdwn.minute(at)}" if at is not None else "")


def _amount(facts: SloFacts) -> str:
    """What is left in events and minutes, behind the per cent."""
    amounts = []
    if facts.budget_left_events is not None:
        amounts.append(f"{facts.budget_left_events:,.0f} events")
    if facts.budget_left_minutes is not None:
        amounts.append(f"{facts.budget_left_minutes:,.1f} min")
    return f" ({', '.join(amounts)})" if amounts else ""


def _offenders(offenders: Sequence[Offender]) -> str:
    lines = []
    for one in offenders[:_MAX_OFFENDERS]:
        usual = f", of all events {percent(one.usual)}" if one.usual is not None else ""
        pair = mrkdwn.code(f"{one.label}={one.value}", 200)
        lines.append(f"{pair}  *{percent(one.share)}* of the bad ones ({one.bad:,.0f}){usual}")
    return "\n".join(lines)
