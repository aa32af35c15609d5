"""Slack messages: the numbers are there, markup cannot be injected, and Slack's limits hold whatever alerts hold."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerting.manager.state import decode_alert, encode_alert
from alerting.notify.base import Acknowledgement, Notification, SuppressedAlert
from alerting.notify.rendering import Renderer
from alerting.receivers import SlackConfig
from alerting.slack.chart import alt_text, draw
from alerting.slack.extras import NOTHING, BurnDown, Extras, Grafana, Look, Offender, Picture
from alerting.slack.message import BLUE, GREEN, GREY, MAX_LINES, ORANGE, RED, rich_message
from alerting.slack.mrkdwn import code, escaped, link, units
from alerting.slack.room import SlackRoom
from alerting.slack.rule_alert import label_codes, value_of
from alerting.slack.state import GroupState
from alerting.slack.thread import Told, replies
from alerting.slack.words import Words
from alerting.standin import check_payload, render_plain
from alerting.templates.alertmanager import AlertTemplates
from app.alert import Alert
from app.labels import Labels, labels_from
from tests.alert_world import START, alert
from tests.slack import scenes

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


LOOK = Look(
    "http://watchhouse.example/", Grafana("https://grafana.example.com"), frozenset({"acknowledge", "silence", "logs"})
)
RENDERER = Renderer(AlertTemplates(), "http://watchhouse.example")


def words(config: SlackConfig | None = None) -> Words:
    """What makes the messages of an entry."""
    return Words(config or SlackConfig(), RENDERER, SlackRoom(LOOK))


def message(*alerts: Alert, config: SlackConfig | None = None, extras: Extras = NOTHING, **more: Any) -> dict[str, Any]:
    """The message for some alerts, which the stand-in takes."""
    told = replace(notification(*alerts), **more)
    payload = words(config).payload(told, extras, group="0123456789abcdef01234567")
    check_payload(orjson.loads(orjson.dumps(payload)), known_file=lambda name: name == "F1")
    return payload


NUMBERS = [
    "15.2× (threshold 14.4×)",
    "120× (threshold 14.4×)",
    "63.1 %",
    "in 2d4h",
    "2026-03-03 17:48 UTC",
    "2026-03-01 12:00:00 UTC",
]


def test_a_burning_slo_shows_its_numbers() -> None:
    """The blocks and the plain text both name the SLO, both burn rates beside the threshold, the budget, and when."""
    payload = message(slo_alert(facts=FACTS))
    for shown in (render_plain(payload), payload["text"]):
        wanted = ["checkout-availability (shop)", "1h", "5m", *NUMBERS]
        assert [number for number in wanted if number not in shown] == []
    assert "objective 99.9 %" in render_plain(payload)
    assert "checkouts < 1s & fine" in render_plain(payload)
    assert "sloth_id=" not in payload["text"]
    assert payload["attachments"][0]["color"] == RED


def test_numbers_of_the_description_are_shown_once() -> None:
    """The description that is for other receivers has the numbers of the fields: only the spec's own text is shown."""
    plain = slo_alert(facts=FACTS)
    told = replace(plain, annotations=labels_from((*plain.annotations, ("description", "Burn rate 15.2× over 1h."))))
    assert message(told) == message(plain)


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
    assert "✅ Resolved: checkout-availability (shop)" in shown
    assert "Resolved after 30m · from 2026-03-01 12:00:00 UTC until 2026-03-01 12:30:00 UTC" in shown
    assert "Budget left: 63.1 %" in shown
    assert payload["attachments"][0]["color"] == GREEN


def test_an_overspent_budget_says_so() -> None:
    """A negative budget is shown as it is."""
    shown = render_plain(message(slo_alert(facts=FACTS | {"budget_left": -0.25})))
    assert "Budget: all spent: -25 %" in shown
    assert "Gone" not in shown
    assert "Budget all spent: -25 %" in message(slo_alert(facts=FACTS | {"budget_left": -0.25}))["text"]


def test_the_budget_of_an_slo_is_told_once() -> None:
    """A page that is over has the budget of its end: beside a ticket that fires only the ticket's is shown."""
    page = slo_alert(facts=FACTS, ends_at=START + timedelta(minutes=30))
    labels = labels_from({**dict(page.labels), "severity": "ticket"})
    ticket = replace(page, labels=labels, ends_at=None, facts=FACTS | {"budget_left": 0.5, "severity": "ticket"})
    ended = replace(ticket, ends_at=START + timedelta(minutes=40))
    held = replace(page, ends_at=None, facts=FACTS | {"held": "history"})
    other = replace(page, labels=labels_from({**dict(page.labels), "sloth_id": "other"}))
    for alerts, left in (((page, ticket), "50 %"), ((page, ended), "50 %"), ((held, ticket), "50 %")):
        payload = message(*alerts)
        for text in (render_plain(payload), payload["text"]):
            found = re.findall(r"([\d.]+ %) left|[Bb]udget left:? ([\d.]+ %)", text)
            assert [one or two for one, two in found] == [left], text
    assert message(page, other)["text"].count("Budget left 63.1 %") == 2


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
    assert "Gone at today's rate" in shown
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
    why = "5 % of the 1h window is known, 50 % are wanted; decided from 08:14 UTC on at the earliest"
    facts = FACTS | {"held": why, "short_window_ms": 3_600_000}
    shown = render_plain(message(slo_alert(facts=facts)))
    assert f"Held: {why}" in shown
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
    many = [alert("A", pod=f"p{i:02}") for i in range(20)] + [alert("A", 0, 60, pod=f"r{i}") for i in range(3)]
    payload = message(*many)
    shown = render_plain(payload)
    assert sum(f"pod=p{i:02}" in shown for i in range(20)) == MAX_LINES
    assert f"and {20 - MAX_LINES} more firing, 3 more resolved" in shown
    assert "20 × A" in shown
    assert "20 firing, 3 resolved" in shown
    assert "and 14 more firing, 3 more resolved" in payload["text"]


def test_the_state_shows_in_header_and_colour() -> None:
    """Acknowledged and silenced groups look otherwise, say by whom, and have no button for what is done already."""
    page = slo_alert(facts=FACTS)
    silenced = SuppressedAlert(page, "silence", ("1",), NOW + timedelta(hours=1), "Kim", "we <know>")
    acknowledged = Acknowledgement(page.fingerprint, "Kim", NOW)
    firing = message(page)
    looked_after = message(page, acknowledged=(acknowledged,))
    quiet = message(suppressed=(silenced,))
    assert [m["attachments"][0]["color"] for m in (firing, looked_after, quiet)] == [RED, BLUE, GREY]
    assert [render_plain(m)[0] for m in (firing, looked_after, quiet)] == ["🔴", "👀", "🔕"]
    assert "Acknowledged by Kim" in render_plain(looked_after)
    assert "Silenced by Kim until 2026-03-01 14:00:00 UTC: we <know>" in render_plain(quiet)
    buttons = [[b["action_id"] for b in actions(m)] for m in (firing, looked_after, quiet)]
    silences = [f"watchhouse_silence_{length}" for length in ("1h", "4h", "1d")]
    assert buttons == [
        ["watchhouse_ack", *silences, "watchhouse_logs"], [*silences, "watchhouse_logs"], ["watchhouse_logs"],
    ]  # fmt: skip
    assert actions(message(slo_alert(facts=FACTS, ends_at=START))) == []


def actions(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """The buttons of a message."""
    return [
        b
        for block in payload["attachments"][0]["blocks"]
        for b in block.get("elements", [])
        if block["type"] == "actions"
    ]


def test_offenders_chart_and_grafana() -> None:
    """What stands out, the picture with its words, and Explore with the SLO's burn rate since before it began."""
    extras = Extras({"shop-checkout": [Offender("route", "/p<ay>", 900, 0.9, 0.3)]}, Picture("it falls", file="F1"))
    shown = render_plain(message(slo_alert(facts=FACTS), extras=extras))
    assert "route=/p<ay>  90 % of the bad ones (900), of all events 30 %" in shown
    assert "(it falls)" in shown
    assert "https://grafana.example.com/explore?schemaVersion=1&panes=%7B" in shown
    assert "slo%3Acurrent_burn_rate%3Aratio%7Bsloth_id%3D%5C%22shop-checkout%5C%22%7D" in shown


def test_a_chart_is_a_small_picture_with_words() -> None:
    """Whatever the budget did, the chart is a PNG of moderate size, and its words say what it shows."""
    day = [START + timedelta(hours=hour) for hour in range(24)]
    cases = {
        "falls": BurnDown("a$b_{x}", 99.9, day, [1 - hour / 30 for hour in range(24)], NOW + timedelta(days=2), START),
        "spent": BurnDown("x", 99.0, day, [-hour / 10 for hour in range(24)]),
        "unknown": BurnDown("y" * 300, 50.0, day, [math.nan] * 24),
        "one": BurnDown("z", 99.0, day[:1], [0.5], day[0]),
    }
    for burn_down in cases.values():
        png = draw(burn_down)
        assert png.startswith(b"\x89PNG")
        assert 2_000 < len(png) < 60_000
    assert alt_text(cases["falls"]).endswith(
        "over 23h: from 100 % to 23.3 % left, gone at Mar 3, 13:00 UTC at this rate"
    )
    assert "nothing is known" in alt_text(cases["unknown"])


def test_the_alternative_text_has_the_length_of_the_data() -> None:
    """What is not known at the beginning is not counted into how long the chart is."""
    at = [START + timedelta(minutes=2 * i) for i in range(180)]
    left = [math.nan] * 166 + [1 - i / 100 for i in range(14)]
    assert alt_text(BurnDown("x", 99.0, at, left)) == "Error budget of x over 26m: from 100 % to 87 % left"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0811666, "0.08117"), (12345.678, "12346"), (1_234_567, "1234567"), (-2.5, "-2.5"), (0, "0")]
)
def test_a_value_has_four_digits(value: float, shown: str) -> None:
    """More of them say nothing, but those of a count are all there."""
    assert value_of(replace(alert("Down"), facts={"value": value})) == shown


@pytest.mark.parametrize(("count", "rest"), [(6, ""), (7, " and 1 more label"), (8, " and 2 more labels")])
def test_labels_without_room_are_counted(count: int, rest: str) -> None:
    """In the singular or the plural."""
    labels = labels_from({f"l{i}": "x" for i in range(count)})
    assert label_codes(labels, hidden=set()) == " ".join(f"`l{i}=x`" for i in range(6)) + rest


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


def test_what_is_no_text_of_its_own_stands_in_our_message() -> None:
    """Pretext, footer and colour are the user's, templates filled in; the numbers stay."""
    config = SlackConfig(
        pretext="*Look* <!here>",
        footer="on call: {{ .CommonLabels.region }}",
        color='{{ if eq .Status "firing" }}danger{{ end }}',
        channel="#alerts-{{ .CommonLabels.region }}",
    )
    payload = message(slo_alert(facts=FACTS), config=config)
    shown = render_plain(payload)
    assert "<!here>" in payload["blocks"][1]["text"]["text"]
    assert "on call: eu" in shown
    assert "15.2×" in shown
    assert (payload["channel"], payload["attachments"][0]["color"]) == ("#alerts-eu", "danger")


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
CONFIGS = st.builds(SlackConfig, pretext=TEXTS, message_text=TEXTS, footer=TEXTS, color=TEXTS)
OFFENDERS = st.lists(
    st.builds(Offender, TEXTS, TEXTS, st.floats(0, 1e12), st.floats(0, 1), st.none() | st.floats(0, 1))
)
LOOKS = st.sampled_from([LOOK, Look()])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(ALERTS, min_size=1, max_size=16),
    st.just(SlackConfig()) | CONFIGS,
    PAIRS,
    OFFENDERS,
    TEXTS,
    st.data(),
    LOOKS,
)
def test_any_alerts_make_a_message_slack_takes(
    alerts: list[Alert],
    config: SlackConfig,
    group: Labels,
    offenders: list[Offender],
    words_of_people: str,
    data: st.DataObject,
    look: Look,
) -> None:
    """Whatever alerts, people and texts say, the stand-in takes the message and each reply, and the text is short."""
    quiet = data.draw(st.integers(0, len(alerts)))
    suppressed = tuple(
        SuppressedAlert(one, "silence", ("1",), NOW, words_of_people, words_of_people) for one in alerts[:quiet]
    )
    told = replace(
        notification(*alerts[quiet:], group_labels=group),
        suppressed=suppressed,
        acknowledged=tuple(Acknowledgement(one.fingerprint, words_of_people, NOW) for one in alerts[::2]),
    )
    slos = {dict(one.labels).get("sloth_id", ""): offenders for one in alerts}
    made = Words(config, RENDERER, SlackRoom(look))
    payload = made.payload(told, Extras(slos, Picture(words_of_people, file="F1")), group="0123456789abcdef01234567")
    check_payload(orjson.loads(orjson.dumps(payload)), known_file=lambda name: name == "F1")
    assert 0 < units(payload["text"]) <= 3500
    check_payload(made.plain(told))
    state = GroupState.of(told)
    before = Told("C1", "1.0", "firing", frozenset(one.fingerprint for one in alerts[1::2]), frozenset())
    for reply in replies(before, state, pings=True):
        check_payload({"text": reply.text})
        assert units(reply.text) <= 4000


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


def test_an_alert_of_our_own_rules_shows_its_value_and_why_it_was_told() -> None:
    """The value is there; the link leads to the explanation, as no page has a graph; Grafana has the query."""
    url = "http://watchhouse.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
    payload = message(replace(alert("Down", job="x"), generator_url=url, facts={"value": 0.123456789}))
    shown = render_plain(payload)
    assert "Value 0.1235\n" in shown
    assert "Watchhouse (http://watchhouse.example/api/v1/alerts/explain?fingerprint=" in shown
    assert "/graph?" not in shown
    assert "up+%3D%3D+0" in shown


def test_no_alert_calls_anybody_or_turns_a_line_around() -> None:
    """`@here` in a label stays a word, and a sign for right to left does not reach the words of others."""
    hostile = "@here @channel (@everyone) a@b.example \u202ednuf.sdnes\u2066"
    alert = replace(scenes.crash("x", 3), annotations=labels_from({"summary": hostile, "description": f"{hostile}!"}))
    for alerts in ((alert,), (alert, scenes.disk())):
        shown = orjson.dumps(rich_message(scenes.told(*alerts), scenes.LOOK, group="g")).decode()
        assert not re.search(r"@(here|channel|everyone)", shown)
        assert "a@b.example" in shown
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", shown)
