"""Where in a query its parts begin."""

from __future__ import annotations

import pytest

from app.query.promql.ast import Call, Node, children
from app.query.promql.parse import parse
from app.query.promql.places import line_and_column, place_of


def all_places(node: Node) -> list[int | None]:
    """The places of a node and of what is below it, in the order of the tree."""
    return [place_of(node), *(place for child in children(node) for place in all_places(child))]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("m", [0]),
        ("rate(m[5m])", [0, 5, 5]),
        (" sum by (a, rate) (rate(m[5m]))", [1, 19, 24, 24]),
        ("sum(m) by (sum) / on (x) group_left (y) n", [0, 0, 4, 40]),
        ('quantile without (a) (0.9, {__name__="m"})', [0, 22, 27]),
        ('label_replace(m{a="rate(x[5m])"}, "b", "# no comment", "", "") # m(', [0, 14, None, None, None, None]),
        ("m offset 5m + n @ 1e9 - o @ start() > bool p{}", None),
        ("max_over_time(rate(m[5m])[1h:30s] offset -1m)", [0, 14, 14, 19, 19]),
        ("-m + 5m * .5e-3 + Inf", [1, 1, 1, 1, 5, 5, 10, 18]),
        ("histogram_quantile(0.9,\n  rate(m[5m]))", [0, 19, 26, 31, 31]),
        ('{"utf-8.name"} or m:n', [0, 0, 18]),
        ('info(m, {data=~".*"})', [0, 5, 8]),
        ("m + fill(5) n", [0, 0, 12]),
        ("start() + m @ end()", [0, 0, 10]),
    ],
)
def test_each_part_has_its_place(query: str, places: list[int | None] | None) -> None:
    """Strings, comments, label lists, durations and modifiers are not taken for parts."""
    found = all_places(parse(query))
    assert None not in found or places is not None
    if places is not None:
        assert found == places


def test_line_and_column_count_as_prometheus_does() -> None:
    """From 1, in bytes, within the line."""
    assert line_and_column("rate(m[5m])", 5) == "1:6"
    assert line_and_column("sum(\n  m)", 7) == "2:3"
    assert line_and_column('{a="é"} + m', 10) == "1:12"


def test_info_takes_a_selector_that_matches_nothing() -> None:
    """Elsewhere such a selector is refused, and the mark that opens the door is gone afterwards."""
    node = parse('sum(info(m, {data=~".*"})) + info(n, {})')
    calls = [child for side in children(node) for child in (side, *children(side)) if isinstance(child, Call)]
    assert [[m.name for m in children(call)[1].alternatives[0]] for call in calls] == [["data"], []]  # type: ignore[union-attr]


def test_byte_escapes_are_characters() -> None:
    """Two bytes that are one character in UTF-8, after an escaped backslash too."""
    assert parse(r'm{a="\\\xc3\xa9\303\251"}') == parse(r'm{a="\\éé"}')
