"""SLO alerts: what they say, and how they begin, go on, end and survive a restart."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, cast

import pytest

from app.store.state import StateStore
from slo.alerts import AlertBook, Firing, firing, observe
from slo.burn import PairBurn
from slo.spec import AlertSpec, EventsSli, SloSpec
from slo.windows import BurnPair

A = Firing("s", "page", (("alertname", "A"),), (), 1000)
B = replace(A, labels=(("alertname", "B"),), since_ms=5000)
PAIR = BurnPair("page", 3_600_000, 300_000, Fraction("14.4"))
SPEC = SloSpec(
    name="availability",
    service="shop",
    objective=99.9,
    sli=EventsSli("a", "b"),
    description="Requests are answered.",
    labels=(("owner", "x"), ("sloth_id", "mine")),
    page=AlertSpec("ShopDown", (("owner", "y"), ("severity", "critical")), (("title", "own {{$labels.x}}"),)),
)


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
def test_transitions(old: Firing | None, seen: Firing | None, expected: list[Firing]) -> None:
    """What is told depends only on what was, what is seen, and when."""
    assert observe(old, seen, 9000) == expected


def test_an_alert_says_what_sloths_would() -> None:
    """Labels, annotations and facts are Sloth's, with the spec's own over them; the ids cannot be taken by a label."""
    alert = SPEC.page
    assert alert is not None
    found = firing(SPEC, alert, "page", PairBurn(PAIR, 200.0, 190.0, True), -1.5, 60_000)
    assert dict(found.labels) == {
        "alertname": "ShopDown",
        "owner": "y",
        "severity": "critical",
        "sloth_id": "shop-availability",
        "sloth_service": "shop",
        "sloth_severity": "page",
        "sloth_slo": "availability",
    }
    assert dict(found.annotations) == {
        "title": "own {{$labels.x}}",
        "summary": "shop availability SLO error budget burn rate is too fast.",
    }
    assert found.facts == {
        "slo": "availability",
        "service": "shop",
        "objective": 99.9,
        "severity": "page",
        "long_window_ms": 3_600_000,
        "short_window_ms": 300_000,
        "threshold": 14.4,
        "long_burn": 200.0,
        "short_burn": 190.0,
        "budget_left": -1.5,
        "exhausted_in_ms": 0,
        "description": "Requests are answered.",
    }


def test_beginning_survives_a_restart() -> None:
    """After a restart a firing alert has the beginning it had, and is not written again while nothing changes."""
    state = FakeState()
    book = book_on(state)
    book.look("s", "page", A, 1000)
    book.keep()
    again = book_on(state)
    again.look("s", "page", replace(A, since_ms=60_000, facts={"long_burn": 3.0}), 60_000)
    again.keep()
    (alert,) = again.alerts()
    assert alert.starts_at == datetime.fromtimestamp(1, UTC)
    assert alert.ends_at is None
    assert alert.generator_url == "http://wh:9470/api/v1/slos/s"
    assert alert.facts == {"long_burn": 3.0}
    assert state.writes == 1


def test_an_end_is_told_once_and_not_lost() -> None:
    """An end that was not told before a restart is told after it, and forgotten once it was."""
    state = FakeState()
    book = book_on(state)
    book.look("s", "page", A, 1000)
    book.look("s", "page", None, 2000)
    book.keep()
    again = book_on(state)
    again.look("s", "page", None, 90_000)
    (alert,) = again.alerts()
    assert alert.ends_at == datetime.fromtimestamp(2, UTC)
    again.forget_ended()
    assert again.alerts() == []
    assert state.documents == {}


def test_changed_labels_end_one_alert_and_go_on_with_another() -> None:
    """Both are handed on in one go, and both survive until they are told."""
    state = FakeState()
    book = book_on(state)
    book.look("s", "page", A, 1000)
    book.look("s", "page", B, 5000)
    book.keep()
    book.look("s", "page", B, 6000)
    alerts = {alert.name: alert for alert in book_on(state).alerts()}
    assert alerts["A"].ends_at == datetime.fromtimestamp(5, UTC)
    assert (alerts["B"].starts_at, alerts["B"].ends_at) == (datetime.fromtimestamp(1, UTC), None)
    assert {alert.name for alert in book.alerts()} == {"A", "B"}
    book.forget_ended()
    assert {alert.name for alert in book.alerts()} == {"B"}


def test_severities_are_apart() -> None:
    """The page of an SLO ends without its ticket."""
    book = book_on(FakeState())
    book.look("s", "page", A, 1000)
    book.look("s", "ticket", replace(B, severity="ticket"), 1000)
    book.look("s", "page", None, 2000)
    assert {alert.name: alert.ends_at is None for alert in book.alerts()} == {"A": False, "B": True}
