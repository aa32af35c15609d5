"""SLO alerts: what they say, and how they begin, wait, are held, go on, end and survive a restart."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest

from app.store.state import StateStore
from slo.alerts import AlertBook, Firing, observe
from slo.judge import Policy, judge
from slo.measure import Sums
from slo.notice import condition_text
from slo.spec import AlertSpec, BudgetCondition, BurnCondition, Condition, NoDataCondition, SloSpec
from slo.state import INACTIVE, AlertState, advance
from slo.status import SloStatus, assess
from slo.view import View
from tests.slo_judging import PAGE_FAST, D, H, M, alert, measured, slo, sums

A = Firing("s", "page", (("alertname", "A"),), (), 1000)
B = replace(A, labels=(("alertname", "B"),), since_ms=5000)
BURNS, QUIET, UNKNOWN = sums([200], [1000], 60, 60), sums([0], [1000], 60, 60), sums([200], [1000], 1, 60)
SPEC = replace(
    slo(
        replace(
            alert(PAGE_FAST),
            name="ShopDown",
            labels=(("owner", "y"), ("severity", "critical")),
            annotations=(("title", "own {{$labels.x}}"),),
        )
    ),
    description="Requests are answered.",
    labels=(("owner", "x"), ("sloth_id", "mine")),
)
SLO = "shop-availability"


class FakeState:
    """A state store in a dictionary that keeps only what JSON keeps."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.writes = 0

    def put(self, kind: str, documents: Mapping[str, Any]) -> None:
        """As StateStore.put."""
        self.writes += len(documents)
        self.documents.update(json.loads(json.dumps(documents)))

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """As StateStore.delete."""
        for key in keys:
            self.documents.pop(key, None)

    def get_all(self, kind: str) -> dict[str, Any]:
        """As StateStore.get_all."""
        return copy.deepcopy(self.documents)


def book_on(state: FakeState) -> AlertBook:
    """A book that has taken up what the state holds."""
    book = AlertBook(cast(StateStore, state), "http://wh:9470/")
    book.load()
    return book


def status(at_ms: int, window: Sums, spec: SloSpec = SPEC) -> SloStatus:
    """An SLO all of whose windows are the same at a time."""
    windows = dict.fromkeys(spec.windows_ms, window)
    return assess([spec], measured(windows, window, at_ms=at_ms), Policy())[0]


def wearing(**alert_fields: Any) -> SloSpec:
    """The SLO with another alert."""
    return replace(SPEC, alerts=(replace(SPEC.alerts[0], **alert_fields),))


@pytest.mark.parametrize(
    ("old", "seen", "expected"),
    [
        (None, None, []),
        (None, A, [A]),
        (A, replace(A, since_ms=7000), [A]),
        (A, None, [replace(A, ended_ms=9000)]),
        (A, B, [replace(A, ended_ms=9000), replace(B, since_ms=1000)]),
        (replace(A, ended_ms=2000), None, [replace(A, ended_ms=2000)]),
        (replace(A, ended_ms=2000), replace(A, since_ms=9000), [replace(A, since_ms=9000)]),
        (replace(A, ended_ms=2000), B, [replace(A, ended_ms=2000), B]),
    ],
    ids=["nothing", "begins", "goes on", "ends", "labels change", "untold", "untold, again", "untold, another"],
)
def test_one_look(old: Firing | None, seen: Firing | None, expected: list[Firing]) -> None:
    """What is to be told after one look follows from what was and what is seen."""
    assert observe(old, seen, 9000) == expected


@pytest.mark.parametrize(
    ("old", "says", "expected"),
    [
        (INACTIVE, "no", INACTIVE),
        (INACTIVE, "held", INACTIVE),
        (INACTIVE, "fires", AlertState(600)),
        (AlertState(500), "fires", AlertState(500)),
        (AlertState(301), "fires", AlertState(301)),
        (AlertState(300), "fires", AlertState(300, 600)),
        (AlertState(100), "held", AlertState(100)),
        (AlertState(100), "no", INACTIVE),
        (AlertState(100, 400), "fires", AlertState(100, 400)),
        (AlertState(100, 400), "held", AlertState(100, 400)),
        (AlertState(100, 400), "no", INACTIVE),
    ],
)
def test_an_evaluation_moves_an_alert_on(old: AlertState, says: str, expected: AlertState) -> None:
    """At 600 with a `for` of 300: it waits from the first evaluation, fires when 300 have passed, and may be held."""
    assert advance(old, 600, firing=says == "fires", held=says == "held", for_ms=300) == expected


def test_without_for_it_fires_at_once() -> None:
    """`for: 0` is no waiting."""
    assert advance(INACTIVE, 600, firing=True, held=False, for_ms=0) == AlertState(600, 600)


def test_an_alert_says_what_sloths_would() -> None:
    """Labels, annotations and facts are Sloth's, with the spec's own over them; the ids cannot be taken by a label."""
    book = book_on(FakeState())
    book.look(status(60_000, BURNS))
    (found,) = book.alerts()
    assert dict(found.labels) == {
        "alertname": "ShopDown",
        "owner": "y",
        "severity": "critical",
        "sloth_id": SLO,
        "sloth_service": "shop",
        "sloth_severity": "page",
        "sloth_slo": "availability",
    }
    assert dict(found.annotations) == {
        "title": "own {{$labels.x}}",
        "summary": "shop availability SLO error budget burn rate is over expected.",
        "description": (
            "Burn rate 200× over 1h (threshold 14.4×) and 200× over 5m (threshold 14.4×), since 1970-01-01 00:01:00"
            " UTC. Error budget all spent: -19900 % left (-199 events, -8,596.8 minutes)."
        ),
    }
    assert found.facts == {
        "slo": "availability",
        "service": "shop",
        "objective": 99.9,
        "severity": "page",
        "condition": "burns faster than 14.4× over 1h and 5m",
        "cause": "burn",
        "long_window_ms": 3_600_000,
        "short_window_ms": 300_000,
        "threshold": 14.4,
        "long_burn": pytest.approx(200.0),
        "short_burn": pytest.approx(200.0),
        "budget_left": pytest.approx(-199.0),
        "budget_left_events": -199.0,
        "budget_left_minutes": pytest.approx(-199 * 43.2),
        "exhausted_in_ms": 0,
        "exhausted_at_ms": None,
        "description": "Requests are answered.",
        "tell_resolved": True,
    }


def described(book: AlertBook) -> str:
    """The description of the one alert there is."""
    (found,) = book.alerts()
    return dict(found.annotations)["description"]


def test_the_description_has_the_numbers_of_each_evaluation() -> None:
    """They change with each, are told from since when, and are in the past once it is over; none of it is written."""
    state = FakeState()
    book = book_on(state)
    windows = {H: sums([20], [1000], 60, 60), 5 * M: sums([52], [1000], 60, 60)}
    for at_ms in (60_000, 120_000):
        book.look(assess([SPEC], measured(windows, sums([500], [1_000_000], 9, 9), at_ms=at_ms), Policy())[0])
        book.keep()
    budget = "Error budget 50 % left (500 events, 21.6 minutes)"
    burns = "Burn rate 20× over 1h (threshold 14.4×) and 52× over 5m (threshold 14.4×), since 1970-01-01 00:01:00 UTC."
    assert described(book) == f"{burns} {budget}, gone in 18h at this rate (1970-01-01 18:02 UTC)."
    assert "description" not in json.dumps([one["annotations"] for one in state.documents.values()])
    writes = state.writes
    book.look(status(180_000, UNKNOWN))
    assert described(book).endswith(f"Held: {book.alerts()[0].facts['held']}.")
    book.keep()
    assert state.writes == writes == 1
    again = book_on(state)
    again.look(status(240_000, QUIET))
    over = f"Fired from 1970-01-01 00:01:00 UTC until 1970-01-01 00:04:00 UTC. {budget} at its end."
    assert described(again) == over


@pytest.mark.parametrize(
    ("window", "spec", "told"),
    [
        (QUIET, wearing(conditions=(BudgetCondition(Fraction(9, 10)),)), "90 % of the budget is used, since"),
        (sums([0], [0], 0, 60), wearing(conditions=(NoDataCondition(5 * M),)), "No data for 5m, since"),
        (BURNS, wearing(annotations=(("description", "Call Kim."),)), "Call Kim.\nBurn rate 200× over 1h (threshold"),
        (
            BURNS,
            wearing(conditions=(BurnCondition((H,), Fraction(2)),)),
            "Burn rate 200× over 1h (threshold 2×), ",
        ),
    ],
    ids=["budget", "no data", "its own text", "one window"],
)
def test_the_description_of_other_alerts(window: Sums, spec: SloSpec, told: str) -> None:
    """Every kind says what it fires for, behind the spec's own text; what is not known is named as such."""
    book = book_on(FakeState())
    period = sums([950], [1_000_000], 9, 9) if window is QUIET else window
    book.look(assess([spec], measured(dict.fromkeys(spec.windows_ms, window), period), Policy())[0])
    assert described(book).startswith(told)
    assert "nan" not in described(book)


def test_a_group_is_in_the_labels_and_the_link() -> None:
    """Each SLO of a grouping has its values as labels, and an address that can be followed."""
    grouped = replace(SPEC, group=(("handler", "/a b"),))
    book = book_on(FakeState())
    book.look(status(60_000, BURNS, grouped))
    (found,) = book.alerts()
    assert dict(found.labels)["handler"] == "/a b"
    assert dict(found.labels)["sloth_id"] == 'shop-availability{handler="/a b"}'
    assert " " not in found.generator_url
    assert '"' not in found.generator_url


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (BurnCondition((H,), Fraction(2), "lte"), "burns at most as fast as 2× over 1h"),
        (BurnCondition((H, 30 * M, 5 * M), Fraction(2), "gte"), "burns at least as fast as 2× over 1h and 30m and 5m"),
        (BudgetCondition(Fraction(99, 100)), "99 % of the budget is used"),
        (NoDataCondition(10 * M), "no data for 10m"),
    ],
)
def test_conditions_in_words(condition: Condition, text: str) -> None:
    """Every condition can be told."""
    assert condition_text(condition) == text


def test_an_alert_on_budget_says_how_much_is_used() -> None:
    """Its summary names the share, its facts have the budget and no windows."""
    book, spec = book_on(FakeState()), wearing(conditions=(BudgetCondition(Fraction(9, 10)),), severity="warning")
    book.look(assess([spec], measured({}, sums([950], [1_000_000], 9, 9)), Policy())[0])
    (found,) = book.alerts()
    assert dict(found.annotations)["summary"] == "shop availability SLO has used 90 % of its error budget."
    assert found.facts["cause"] == "budget"
    assert (found.facts["budget_left"], found.facts["budget_left_events"]) == (pytest.approx(0.05), 50.0)
    assert "long_window_ms" not in found.facts


def test_an_alert_without_data_says_so() -> None:
    """Be it for a condition of its own or for `when_no_data`."""
    for spec in (wearing(conditions=(NoDataCondition(5 * M),)), wearing(when_no_data=True)):
        book = book_on(FakeState())
        book.look(status(60_000, sums([0], [0], 0, 60), spec))
        (found,) = book.alerts()
        assert dict(found.annotations)["summary"] == "shop availability SLO has no data."
        assert (found.facts["cause"], found.facts["condition"]) == ("no data", "no data for 5m")


def test_beginning_survives_a_restart() -> None:
    """After a restart a firing alert has the beginning it had, and is not written again while nothing changes."""
    state = FakeState()
    book = book_on(state)
    book.look(status(1000, BURNS))
    book.keep()
    again = book_on(state)
    again.look(status(60_000, sums([300], [1000], 60, 60)))
    again.keep()
    (found,) = again.alerts()
    assert found.starts_at == datetime.fromtimestamp(1, UTC)
    assert found.ends_at is None
    assert found.generator_url == f"http://wh:9470/api/v1/slos/{SLO}"
    assert found.facts["long_burn"] == pytest.approx(300)
    assert state.writes == 1


def test_an_alert_of_an_earlier_build_goes_on() -> None:
    """What was kept by severity is taken up as the alert of that key."""
    state = FakeState()
    book = book_on(state)
    book.look(status(1000, BURNS))
    book.keep()
    (document,) = state.documents.values()
    document["severity"] = document.pop("alert")
    assert book_on(state).state(SLO, "page") == AlertState(1000, 1000)


def test_waiting_survives_a_restart() -> None:
    """A pending alert is told to nobody, and after a restart goes on waiting from when it began to."""
    state, spec = FakeState(), wearing(for_ms=60_000)
    book = book_on(state)
    book.look(status(1000, BURNS, spec))
    book.keep()
    assert book.alerts() == []
    again = book_on(state)
    again.look(status(60_999, BURNS, spec))
    assert again.alerts() == []
    again.look(status(61_000, BURNS, spec))
    again.keep()
    assert again.alerts()[0].starts_at == datetime.fromtimestamp(61, UTC)
    assert len(state.documents) == 1
    assert book_on(state).state(SLO, "page").firing_ms == 61_000


def test_waiting_ends_without_a_trace() -> None:
    """What did not last long enough is forgotten, in the store too."""
    state, spec = FakeState(), wearing(for_ms=60_000)
    book = book_on(state)
    book.look(status(1000, BURNS, spec))
    book.keep()
    book.look(status(2000, QUIET, spec))
    book.keep()
    assert (state.documents, book.alerts(), book.state(SLO, "page")) == ({}, [], INACTIVE)


def test_too_little_known_holds_an_alert() -> None:
    """One that fires goes on and says why; one that waits goes on waiting; one that does neither stays quiet."""
    book = book_on(FakeState())
    book.look(status(500, UNKNOWN))
    assert book.alerts() == []
    book.look(status(1000, BURNS))
    book.look(status(2000, UNKNOWN))
    (found,) = book.alerts()
    assert found.ends_at is None
    assert str(found.facts["held"]).startswith("1.67 % of the 5m window is known, 50 % are wanted; decided from")
    assert found.facts["long_burn"] == pytest.approx(200)
    book.look(status(3000, BURNS))
    assert "held" not in book.alerts()[0].facts
    waiting = wearing(for_ms=5_000)
    book = book_on(FakeState())
    for at_ms, window in ((1000, BURNS), (4000, UNKNOWN), (6000, BURNS)):
        book.look(status(at_ms, window, waiting))
    assert book.state(SLO, "page") == AlertState(1000, 6000)


def test_an_end_is_told_once_and_not_lost() -> None:
    """An end that was not told before a restart is told after it, and forgotten once it was."""
    state = FakeState()
    book = book_on(state)
    book.look(status(1000, BURNS))
    book.look(status(2000, QUIET))
    book.keep()
    again = book_on(state)
    again.look(status(90_000, QUIET))
    (found,) = again.alerts()
    assert found.ends_at == datetime.fromtimestamp(2, UTC)
    again.forget_ended()
    assert again.alerts() == []
    assert state.documents == {}


def test_changed_labels_end_one_alert_and_go_on_with_another() -> None:
    """Both are handed on in one go, and both survive until they are told."""
    state = FakeState()
    book = book_on(state)
    renamed = wearing(name="Renamed")
    book.look(status(1000, BURNS))
    book.look(status(5000, BURNS, renamed))
    book.keep()
    book.look(status(6000, BURNS, renamed))
    alerts = {found.name: found for found in book_on(state).alerts()}
    assert alerts["ShopDown"].ends_at == datetime.fromtimestamp(5, UTC)
    assert (alerts["Renamed"].starts_at, alerts["Renamed"].ends_at) == (datetime.fromtimestamp(1, UTC), None)
    assert {found.name for found in book.alerts()} == {"ShopDown", "Renamed"}
    book.forget_ended()
    assert {found.name for found in book.alerts()} == {"Renamed"}


def test_alerts_are_apart() -> None:
    """One alert of an SLO ends without another, and the same key of another SLO is not touched."""
    ticket = AlertSpec("ticket", "T", "ticket", (BurnCondition((D,), Fraction(1)),))
    spec, other = replace(SPEC, alerts=(*SPEC.alerts, ticket)), replace(SPEC, name="other")
    book = book_on(FakeState())
    book.look(status(1000, BURNS, spec))
    book.look(status(1000, BURNS, other))
    windows = {H: QUIET, 5 * M: QUIET, D: BURNS}
    book.look(assess([spec], measured(windows, BURNS, at_ms=2000), Policy())[0])
    ended = {(dict(a.labels)["sloth_slo"], a.name): a.ends_at is not None for a in book.alerts()}
    assert ended == {
        ("availability", "ShopDown"): True,
        ("availability", "T"): False,
        ("other", "ShopDown"): False,
    }


def test_what_is_not_configured_any_more_ends() -> None:
    """An alert whose SLO or key is gone ends and is told; one that only waited is forgotten."""
    book = book_on(FakeState())
    book.look(status(1000, BURNS))
    book.look(status(1000, BURNS, replace(wearing(for_ms=M), name="waits")))
    assert View(states=book.states()).firing() == {SLO: {"page"}}
    book.end_missing(lambda slo, key: False, 9000)
    assert View(states=book.states()).firing() == {}
    (found,) = book.alerts()
    assert found.ends_at == datetime.fromtimestamp(9, UTC)
    assert book.state("shop-waits", "page") == INACTIVE
    book.end_missing(lambda slo, key: False, 10_000)
    assert book.alerts()[0].ends_at == datetime.fromtimestamp(9, UTC)


def test_only_those_that_fire_or_did_are_looked_at() -> None:
    """Of many SLOs a quiet one needs no look; one that fired does, until its end was told."""
    specs = [replace(SPEC, name=str(i)) for i in range(3)]
    points = {window: sums([0, 200, 0], [1000] * 3, 60, 60) for window in SPEC.windows_ms}
    known = measured(points)
    verdicts = judge(SPEC, known, Policy())
    book = book_on(FakeState())
    assert book.to_look_at(specs, verdicts) == [1]
    book.look(status(1000, BURNS, specs[2]))
    assert book.to_look_at(specs, verdicts) == [1, 2]
    for one in assess([specs[n] for n in (1, 2)], known.at(np.array([1, 2])), Policy()):
        book.look(one)
    book.forget_ended()
    assert book.to_look_at(specs, verdicts) == [1]


def test_an_slo_never_counted_is_not_looked_at() -> None:
    """Before the first count nothing begins and nothing ends."""
    book = book_on(FakeState())
    book.look(status(1000, BURNS))
    book.look(SloStatus(SPEC))
    assert book.alerts()[0].ends_at is None
    assert math.isnan(SloStatus(SPEC).budget.left)
