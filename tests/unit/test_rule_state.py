"""How alerts of a rule go on: as AlertingRule.Eval of Prometheus, evaluation by evaluation."""

from __future__ import annotations

import pytest

from alerting.rules.evaluate import AlertMaker, Sample, alert_samples, check_limit, recorded
from alerting.rules.expand import expander
from alerting.rules.slots import offset_ns, slot_after, slot_before
from alerting.rules.spec import Group, Rule
from alerting.rules.state import ActiveAlert, Found, advance, needs_sending
from app.errors import QueryFailed
from app.labels import Labels

A: Labels = (("alertname", "A"), ("i", "1"))
MINUTE = 60_000


def told(script: str, *, for_minutes: int = 0, keep_minutes: int = 0, held: str = "") -> str:
    """The states of an alert, a letter a minute: `p`ending, `f`iring, `i`nactive or none (`.`).

    `script` has `1` where the query gives it; at the minutes where `held` has `h` nobody could have seen it.
    """
    alerts: dict[Labels, ActiveAlert] = {}
    out = ""
    for minute, seen in enumerate(script):
        alerts = advance(
            alerts,
            {A: Found(1.0)} if seen == "1" else {},
            minute * MINUTE,
            for_ms=for_minutes * MINUTE,
            keep_firing_ms=keep_minutes * MINUTE,
            held=lambda labels, alert, minute=minute: held[minute : minute + 1] == "h",  # type: ignore[misc]
            step_ms=MINUTE,
        )
        out += alerts[A].state[0] if A in alerts else "."
    return out


@pytest.mark.parametrize(
    ("script", "for_minutes", "keep_minutes", "states"),
    [
        ("0110", 0, 0, ".ffi"),
        ("1111", 2, 0, "ppff"),
        ("1101111", 2, 0, "pp.ppff"),
        ("110011", 0, 0, "ffiiff"),
        ("1100001", 0, 2, "ffffiif"),
        ("11010000", 0, 2, "ffffffii"),
        ("1110000", 2, 3, "ppffffi"),
        ("1" + "0" * 18, 0, 0, "f" + "i" * 16 + ".."),
    ],
)
def test_states(script: str, for_minutes: int, keep_minutes: int, states: str) -> None:
    """Pending for `for`, firing on for `keep_firing_for`, remembered for 15 minutes after its end."""
    assert told(script, for_minutes=for_minutes, keep_minutes=keep_minutes) == states


def test_what_nobody_could_see_changes_nothing_and_does_not_count() -> None:
    """Held: firing stays firing, pending stays pending and has as long to wait as before."""
    assert told("110001", held="..hhh") == "ffffff"
    assert told("1100011", for_minutes=3, held="..hhh") == "ppppppf"
    assert told("1100011", for_minutes=3) == "pp...pp"


def test_a_longer_for_makes_it_pending_again() -> None:
    """As in Prometheus: an alert that fires and has not waited for the new `for` waits."""
    firing = {A: ActiveAlert("firing", 0, 1.0, fired_ms=0, sent_ms=0)}
    after = advance(firing, {A: Found(2.0)}, MINUTE, for_ms=5 * MINUTE, keep_firing_ms=0)[A]
    assert (after.state, after.fired_ms, after.sent_ms, after.value) == ("pending", None, None, 2.0)


def test_who_is_told_when() -> None:
    """New and ended alerts at once, those that go on once the delay has passed, pending ones never."""
    firing = ActiveAlert("firing", 0, 1.0, fired_ms=0)
    assert needs_sending(firing, 0, MINUTE)
    sent = ActiveAlert("firing", 0, 1.0, fired_ms=0, sent_ms=0)
    assert not needs_sending(sent, MINUTE, MINUTE)
    assert needs_sending(sent, MINUTE + 1, MINUTE)
    assert needs_sending(ActiveAlert("inactive", 0, 1.0, resolved_ms=10, sent_ms=0), 10, MINUTE)
    assert not needs_sending(ActiveAlert("pending", 0, 1.0), 10 * MINUTE, MINUTE)


def test_samples_of_alerts() -> None:
    """ALERTS with the state, ALERTS_FOR_STATE with the second since when; none of an alert that is over."""
    rule = Rule("alerting", "A", "m", labels=(("s", "{{ $value }}"),))
    labels: Labels = (("alertname", "A"), ("s", "1"))
    alerts = {labels: ActiveAlert("pending", 61_500, 1.0), A: ActiveAlert("inactive", 0, 1.0, resolved_ms=1)}
    assert [(dict(s.labels), s.value) for s in alert_samples(rule, alerts)] == [
        ({"__name__": "ALERTS", "alertname": "A", "alertstate": "pending", "s": "1"}, 1.0),
        ({"__name__": "ALERTS_FOR_STATE", "alertname": "A", "s": "1"}, 61.0),
    ]


def test_limits_and_labels_that_meet() -> None:
    """More than the limit, and two series of one label set, are errors in Prometheus's words."""
    vector = [Sample((("i", "1"),), 1.0), Sample((("i", "2"),), 2.0)]
    with pytest.raises(QueryFailed, match="exceeded limit of 1 with 2 series"):
        recorded(Rule("recording", "r", "m"), vector, 1)
    with pytest.raises(QueryFailed, match="same labelset after applying rule labels"):
        recorded(Rule("recording", "r", "m", labels=(("i", ""),)), vector, 0)
    assert [dict(s.labels) for s in recorded(Rule("recording", "r", "m", labels=(("i", ""),)), vector[:1], 0)] == [
        {"__name__": "r"}
    ]
    with pytest.raises(QueryFailed, match="exceeded limit of 1 with 2 alerts"):
        check_limit({A: ActiveAlert("firing", 0, 1.0), (): ActiveAlert("pending", 0, 1.0)}, 1)
    expand = expander({}, "", 0, lambda text: [])
    with pytest.raises(QueryFailed, match="same labelset after applying alert labels"):
        AlertMaker(Rule("alerting", "A", "m", labels=(("i", ""),))).found(vector, expand)


def test_templates_are_expanded_anew_only_where_they_may_say_something_else() -> None:
    """A steady series is not expanded twice; another value, or a template that asks the store, is."""
    asked: list[str] = []

    def expand(alert: str, text: str, labels: object, value: object) -> str:
        asked.append(text)
        return f"{value}"

    vector = [Sample((("i", "1"),), 1.0)]
    steady = AlertMaker(Rule("alerting", "A", "m", annotations=(("a", "{{ $value }}"),)))
    asking = AlertMaker(Rule("alerting", "A", "m", annotations=(("a", '{{ query "up" }}'),)))
    for _ in range(2):
        steady.found(vector, expand)
        asking.found(vector, expand)
    assert asked == ["{{ $value }}", '{{ query "up" }}', '{{ query "up" }}']
    (found,) = steady.found([Sample((("i", "1"),), 2.0)], expand).values()
    assert found.annotations == (("a", "2.0"),)


def test_slots_are_an_interval_apart_at_the_groups_own_offset() -> None:
    """The slots around a time enclose it, and groups are spread; `e2e/test_rules_peer.py` has Prometheus's."""
    group = Group("rules.yml", "g", 15_000, ())
    for now in (1_700_000_000_000, 1_700_000_007_123, slot_before(group, 1_700_000_000_000)):
        before, after = slot_before(group, now), slot_after(group, now)
        assert before <= now < after
        assert after - before in (14_999, 15_000, 15_001)
        assert slot_before(group, after) == after
    offsets = {offset_ns(Group("rules.yml", f"g{n}", 15_000, ())) // 1_000_000_000 for n in range(200)}
    assert offsets == set(range(15))
