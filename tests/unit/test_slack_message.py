"""Slack messages: the numbers are there, markup cannot be injected, and Slack's limits hold whatever alerts hold."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerting.manager.state import decode_alert, encode_alert
from alerting.notify.base import Notification
from alerting.notify.mrkdwn import code, escaped, link, units
from alerting.notify.slack_message import GREEN, MAX_ALERTS_SHOWN, ORANGE, RED, slack_message
from alerting.receivers import SlackConfig
from app.alert import Alert
from app.labels import Labels, labels_from
from tests.alert_world import START, alert
from tests.slack_standin import check_payload, render_plain

FACTS: dict[str, object] = {
    "slo": "checkout-availability",
    "service": "shop",
    "objective": 99.9,
    "severity": "page",
    "long_window_ms": 3_600_000,
    "short_window_ms": 300_000,
    "threshold": 14.4,
    "long_burn": 15.234,
    "short_burn": 120.1,
    "budget_left": 0.631,
    "exhausted_in_ms": 2.2 * 86_400_000,
    "description": "checkouts < 1s & fine",
}
NOW = START + timedelta(hours=1)


def slo_alert(**more: Any) -> Alert:
    """An alert of a burning SLO."""
    labels = labels_from({"alertname": "SLOBurn", "sloth_id": "shop-checkout", "severity": "page", "region": "eu"})
    annotations = labels_from({"runbook_url": "https://wiki.example/x?a=1&b=2"})
    url = "http://watchhouse.example/api/v1/slos/shop-checkout"
    return Alert(labels, START, annotations=annotations, generator_url=url, **more)


def notification(*alerts: Alert, group_labels: Labels = ()) -> Notification:
    """A group of alerts on its way."""
    return Notification("{}:{}", group_labels, "team", alerts, NOW, 3_600_000, NOW + timedelta(minutes=5))


def message(*alerts: Alert, config: SlackConfig | None = None) -> dict[str, Any]:
    """The message for some alerts, which the stand-in takes."""
    payload = slack_message(notification(*alerts), config or SlackConfig(), "http://watchhouse.example/")
    check_payload(orjson.loads(orjson.dumps(payload)))
    return payload


NUMBERS = [
    "15.2× (threshold 14.4×)",
    "120× (threshold 14.4×)",
    "63.1 %",
    "2d4h at this rate",
    "99.9 %",
    "2026-03-01 12:00:00 UTC",
]


def test_a_burning_slo_shows_its_numbers() -> None:
    """The blocks and the plain text both name the SLO, both burn rates beside the threshold, the budget, and when."""
    payload = message(slo_alert(facts=FACTS))
    for shown in (render_plain(payload), payload["text"]):
        assert [
            number for number in ["checkout-availability (shop)", "1h", "5m", *NUMBERS] if number not in shown
        ] == []
    assert "checkouts < 1s & fine" in render_plain(payload)
    assert "region=eu" in render_plain(payload)
    assert "sloth_id" not in render_plain(payload)
    assert payload["attachments"][0]["color"] == RED


def test_links_lead_somewhere() -> None:
    """The runbook and Watchhouse are linked, with the ampersand as Slack wants it."""
    text = orjson.dumps(message(slo_alert(facts=FACTS))).decode()
    assert "<https://wiki.example/x?a=1&amp;b=2|Runbook>" in text
    assert "<http://watchhouse.example/api/v1/slos/shop-checkout|Watchhouse>" in text
    assert "|Source>" not in text


def test_a_resolved_slo_shows_since_when_until_when_and_the_budget() -> None:
    """A resolved message is green and has both times, the length, and the budget left."""
    payload = message(slo_alert(facts=FACTS, ends_at=START + timedelta(minutes=30)))
    shown = render_plain(payload)
    assert "🟢 Resolved: checkout-availability (shop)" in shown
    assert "From 2026-03-01 12:00:00 UTC until 2026-03-01 12:30:00 UTC (30m)" in shown
    assert "Budget left: 63.1 %" in shown
    assert payload["attachments"][0]["color"] == GREEN


def test_an_overspent_budget_says_so() -> None:
    """A negative budget is shown as it is."""
    shown = render_plain(message(slo_alert(facts=FACTS | {"budget_left": -0.25})))
    assert "Budget left: -25 %" in shown
    assert "already spent" in shown


def test_a_budget_that_is_nearly_used_says_how_much_is_left() -> None:
    """An alert on budget used has no windows: it says how much is used, when it alerts, and what is left."""
    windows = ("long_window_ms", "short_window_ms", "threshold", "long_burn", "short_burn")
    facts = {name: value for name, value in FACTS.items() if name not in windows} | {
        "cause": "budget",
        "condition": "90 % of the budget is used",
        "budget_left": 0.08,
        "budget_left_events": 1234.4,
        "budget_left_minutes": 3.456,
    }
    shown = render_plain(message(slo_alert(facts=facts)))
    assert "has used 92 % of its error budget" in shown
    assert "Alerts when: 90 % of the budget is used" in shown
    assert "Budget left: 8 % (1,234 events, 3.5 min)" in shown
    assert "Burn rate over" not in shown
    assert "at today's rate" in shown
    over = render_plain(message(slo_alert(facts=facts, ends_at=START + timedelta(minutes=30))))
    assert "has more of its error budget left again" in over


def test_an_slo_without_data_says_so() -> None:
    """An alert for want of data speaks of that, and not of a burn rate."""
    facts = {"slo": "x", "service": "shop", "objective": 99.0, "cause": "no data", "condition": "no data for 10m"}
    shown = render_plain(message(slo_alert(facts=facts)))
    assert "x (shop)" in shown
    assert "has no data" in shown
    assert "no data for 10m" in shown
    assert "has data again" in render_plain(message(slo_alert(facts=facts, ends_at=START + timedelta(minutes=1))))


def test_a_held_alert_says_why_and_one_window_is_shown_once() -> None:
    """What holds an alert is told beside its numbers; a condition of a single window is not told twice."""
    facts = FACTS | {"held": "less of a window is known than the coverage floor", "short_window_ms": 3_600_000}
    shown = render_plain(message(slo_alert(facts=facts)))
    assert "Held: less of a window is known than the coverage floor" in shown
    assert shown.count("Burn rate over 1h") == 1


def test_an_alert_may_want_its_end_untold() -> None:
    """The end of an alert with the fact `tell_resolved: false` goes into no message; that of another does."""
    quiet = slo_alert(facts=FACTS | {"tell_resolved": False}, ends_at=START + timedelta(minutes=1))
    loud = replace(quiet, labels=labels_from({"alertname": "Loud"}), facts=FACTS)
    assert notification(quiet, loud).told(send_resolved=True) == (loud,)
    assert notification(quiet, loud).told(send_resolved=False) == ()
    assert notification(replace(quiet, ends_at=None)).told(send_resolved=False) != ()


def test_facts_survive_the_store() -> None:
    """A message made after a restart has the same numbers."""
    before = slo_alert(facts=FACTS)
    assert message(decode_alert(orjson.loads(orjson.dumps(encode_alert(before))))) == message(before)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "x", [], True, 10**400], ids=str)
def test_a_number_that_is_none_is_unknown(value: object) -> None:
    """Odd facts make a poorer message, never none."""
    odd = dict.fromkeys(FACTS, value) | {"slo": "checkout-availability"}
    assert "checkout-availability" in render_plain(message(slo_alert(facts=odd)))


def test_a_plain_alert_shows_its_annotations_and_labels() -> None:
    """An alert of a Prometheus rule shows summary, description, labels and source."""
    plain = replace(
        alert("DiskFull", instance="h1:9100", severity="warning"),
        annotations=labels_from({"summary": "Disk of h1", "description": "96 % are used"}),
        generator_url="http://prometheus.example/graph",
    )
    payload = message(plain)
    shown = render_plain(payload)
    for part in ("DiskFull", "Disk of h1", "96 % are used", "instance=h1:9100", "http://prometheus.example/graph"):
        assert part in shown
    assert payload["attachments"][0]["color"] == ORANGE


def test_the_rest_is_counted() -> None:
    """Of many alerts some are shown, firing ones first, and the others counted."""
    many = [alert(f"A{i}", slo=str(i)) for i in range(12)] + [alert("R", 0, 60, slo=str(i)) for i in range(3)]
    shown = render_plain(message(*many))
    assert sum(f"A{i} " in shown or f"A{i}\n" in shown for i in range(12)) == MAX_ALERTS_SHOWN
    assert "and 4 more firing, 3 more resolved" in shown
    assert "(12 firing, 3 resolved)" in shown


def test_labels_that_differ_are_shown() -> None:
    """In a group, what all alerts share is not repeated."""
    shown = render_plain(message(alert("A", zone="a", job="node"), alert("A", zone="b", job="node")))
    assert "zone=a" in shown
    assert "zone=b" in shown
    assert "job=node" not in shown


def test_markup_of_alerts_is_harmless() -> None:
    """Nobody is called and no link is made by what an alert holds."""
    evil = replace(
        alert("<!channel>", zone="<http://evil.example|click>"),
        annotations=labels_from({"summary": "<!here> & <@U1>", "runbook_url": "javascript:alert(1)"}),
    )
    payload = message(evil)
    text = orjson.dumps(payload["attachments"]).decode() + payload["text"]
    assert not any(bad in text for bad in ("<!channel", "<!here", "<@U1", "<http://evil", "javascript"))


def test_plain_texts_of_the_configuration_are_used_and_templates_are_not() -> None:
    """A fixed title replaces ours; one with a template does not; the numbers stay in either case."""
    config = SlackConfig(
        title="The shop burns",
        pretext="*Look*",
        text="{{ .CommonLabels }}",
        footer="on call: Kim",
        color="danger",
        channel="#alerts",
        fields=({"title": "Team", "value": "shop"},),  # as a file gives it
    )
    payload = message(slo_alert(facts=FACTS), config=config)
    shown = render_plain(payload)
    assert "The shop burns" in shown
    assert "Team: shop" in shown
    assert "on call: Kim" in shown
    assert "{{" not in shown
    assert "15.2×" in shown
    assert (payload["channel"], payload["attachments"][0]["color"]) == ("#alerts", "danger")


TEXTS = st.text(max_size=40) | st.sampled_from(["&" * 4000, "<>" * 2000, "😀" * 3000, "a" * 5000, "\x00\n \t", "`*_~|"])
SOME = TEXTS.filter(bool)
PAIRS = st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=6).map(labels_from)
NUMBER = st.none() | st.floats() | st.integers() | st.text(max_size=3)
SLO_FACTS = st.fixed_dictionaries(
    {"slo": TEXTS, "service": TEXTS, "description": TEXTS},
    optional={key: NUMBER for key in FACTS if key not in ("slo", "service", "description")},
)
URLS = st.just("") | TEXTS | TEXTS.map(lambda text: "https://example.org/" + text)
ALERTS = st.builds(
    lambda labels, annotations, runbook, url, facts, minutes, over: Alert(
        labels,
        START + timedelta(minutes=minutes),
        START + timedelta(minutes=minutes + 1) if over else None,
        labels_from({**dict(annotations), "runbook_url": runbook}),
        url,
        facts,
    ),
    PAIRS, PAIRS, URLS, URLS, st.just({}) | SLO_FACTS, st.integers(-60, 50), st.booleans(),
)  # fmt: skip
CONFIGS = st.builds(
    SlackConfig,
    title=TEXTS, pretext=TEXTS, text=TEXTS, message_text=TEXTS, footer=TEXTS, fallback=TEXTS, color=TEXTS,
    title_link=URLS,
    fields=st.lists(st.fixed_dictionaries({"title": SOME, "value": SOME}), max_size=12),
    actions=st.lists(st.fixed_dictionaries({"type": st.just("button"), "text": SOME, "url": URLS.filter(bool)})),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(ALERTS, min_size=1, max_size=10), st.just(SlackConfig()) | CONFIGS, PAIRS)
def test_any_alerts_make_a_message_slack_takes(alerts: list[Alert], config: SlackConfig, group: Labels) -> None:
    """Whatever alerts and texts hold, the stand-in takes the message, and its fallback text is short."""
    payload = slack_message(notification(*alerts, group_labels=group), config, "http://watchhouse.example")
    check_payload(orjson.loads(orjson.dumps(payload)))
    assert 0 < units(payload["text"]) <= 3000


@given(TEXTS, st.integers(2, 60))
def test_escaping_never_cuts_an_entity(text: str, limit: int) -> None:
    """An escaped text holds no bare control character, no half entity, and not more than its limit."""
    out = escaped(text, limit)
    assert units(out) <= limit
    rest = out.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not set("&<>") & set(rest)


@pytest.mark.parametrize("url", ["", "ftp://x/y", "http://", "javascript:x", "//x/y", "http://[bad"])
def test_no_link_to_nowhere(url: str) -> None:
    """A URL nobody can follow makes no link."""
    assert link(url, "x") == ""


def test_code_stays_code() -> None:
    """A backtick cannot end the code it stands in."""
    assert code("a`b", 20) == "`aˋb`"
