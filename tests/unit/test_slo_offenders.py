"""What stands out among the bad events: label values that more of them have than of all events."""

from __future__ import annotations

import pytest

from app.labels import Labels, labels_from
from slo.offenders import Counts, offenders, standing_out, unsummed
from slo.spec import Component, EventsSli, Query, RatioSli, Sli, SloSpec

HOUR = 3_600_000


def series(*rows: tuple[dict[str, str], float]) -> list[tuple[Labels, float]]:
    """Label sets and their counts."""
    return [(labels_from(labels), value) for labels, value in rows]


TOTAL = series(
    ({"route": "/pay", "version": "1", "code": "200"}, 300),
    ({"route": "/pay", "version": "2", "code": "200"}, 100),
    ({"route": "/list", "version": "1", "code": "200"}, 400),
    ({"route": "/list", "version": "2", "code": "200"}, 100),
    ({"route": "/pay", "version": "2", "code": "503"}, 95),
    ({"route": "/list", "version": "1", "code": "500"}, 5),
)
BAD = [row for row in TOTAL if dict(row[0])["code"] != "200"]


def spec(sli: Sli, **more: object) -> SloSpec:
    """An SLO with this SLI."""
    return SloSpec("a", "shop", 99.9, (Component(sli, 99.9),), **more)  # type: ignore[arg-type]


def test_what_the_bad_ones_have_more_often_than_all() -> None:
    """A version that is in a fifth of all events and in nearly all bad ones comes before a route that is in half."""
    found = standing_out(BAD, TOTAL)
    assert [(one.label, one.value) for one in found] == [("code", "503"), ("version", "2"), ("route", "/pay")]
    version = found[1]
    assert (version.bad, version.share, version.usual) == (95, 0.95, 0.295)


def test_what_is_everywhere_is_no_offender() -> None:
    """A label all events share, one that is spread as usual, and a share below a tenth are not named."""
    total = series(({"job": "x", "pod": "a"}, 500), ({"job": "x", "pod": "b"}, 500), ({"job": "x", "pod": "c"}, 5))
    bad = series(({"job": "x", "pod": "a"}, 50), ({"job": "x", "pod": "b"}, 48), ({"job": "x", "pod": "c"}, 5))
    assert standing_out(bad, total) == []
    assert standing_out([], total) == []


def test_the_labels_of_a_group_are_known() -> None:
    """What every event of a group has is not told again."""
    assert [one.label for one in standing_out(BAD, TOTAL, {"version"})] == ["code", "route"]


@pytest.mark.parametrize(
    ("text", "language", "inner"),
    [
        ('sum(rate(http{code=~"5.."}[{{.window}}]))', "promql", 'increase_exact(http{code=~"5.."}[1h])'),
        ("sum(increase(x[{{.window}}])) by (a)", "promql", "increase_exact(x[1h])"),
        ("(sum(rate(x[{{.window}}])) or vector(0))", "promql", "increase_exact(x[1h])"),
        ("increase(x[{{.window}}])", "promql", "increase_exact(x[1h])"),
        ("sum(rate(a[{{.window}}])) - sum(rate(b[{{.window}}]))", "promql", None),
        ("max(rate(a[{{.window}}]))", "promql", None),
        ('sum(count_over_time({a="b"} |= "x" [{{.window}}]))', "logql", 'count_over_time({a="b"} |= "x" [1h])'),
        ("sum(", "promql", None),
    ],
)
def test_what_a_query_sums(text: str, language: str, inner: str | None) -> None:
    """The sum is taken away, so that the labels under it are seen; what is no sum is left alone."""
    found = unsummed(Query(text, language), HOUR)  # type: ignore[arg-type]
    assert (found.text if found else None) == inner


def test_good_events_tell_the_bad_ones() -> None:
    """With queries of good and of all events, bad is what is left, by series."""
    good = [row for row in TOTAL if dict(row[0])["code"] == "200"]
    answers = {"all": TOTAL, "good": good}

    def ask(query: Query) -> Counts:
        return answers["good" if "good" in query.text else "all"]

    sli = EventsSli(None, Query("sum(rate(all[{{.window}}]))"), Query("sum(rate(good[{{.window}}]))"))
    assert [one.value for one in offenders(spec(sli), HOUR, ask)] == ["503", "2", "/pay"]


def test_only_the_group_counts() -> None:
    """Of an SLO of a group the events of other groups are left out."""
    sli = EventsSli(Query("sum by (route) (rate(bad[{{.window}}]))"), Query("sum by (route) (rate(all[{{.window}}]))"))

    def ask(query: Query) -> Counts:
        return BAD if "bad" in query.text else TOTAL

    found = offenders(spec(sli, group=(("route", "/list"),)), HOUR, ask)
    assert [(one.label, one.value, one.bad) for one in found] == [("code", "500", 5), ("version", "1", 5)]


def test_what_makes_an_event_bad_is_no_offender() -> None:
    """The label by which the bad query tells bad events from all others is not named."""
    bad, total = 'sum(rate(http{job="x",code=~"5.."}[{{.window}}]))', 'sum(rate(http{job="x"}[{{.window}}]))'

    def ask(query: Query) -> Counts:
        return BAD if "5.." in query.text else TOTAL

    found = offenders(spec(EventsSli(Query(bad), Query(total))), HOUR, ask)
    assert [(one.label, one.value) for one in found] == [("version", "2"), ("route", "/pay")]


def test_a_ratio_has_no_events() -> None:
    """An SLI that counts no events has nothing that stands out, and nothing is asked."""

    def ask(query: Query) -> Counts:
        raise AssertionError(query)

    assert offenders(spec(RatioSli(Query("x"))), HOUR, ask) == []
