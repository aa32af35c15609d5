"""Query text to tree."""

from __future__ import annotations

import pytest

from app.errors import BadQuery
from app.labels import Matcher, MatchOp
from app.query.promql.ast import Aggregate, Binary, Call, Grouping, Negate, Number, Range, Selector, Subquery, Text
from app.query.promql.parse import parse, parse_selector


def name(value: str) -> Matcher:
    """The matcher of a metric name."""
    return Matcher("__name__", MatchOp.EQUAL, value)


def test_selectors_keep_matchers_offset_and_at() -> None:
    """All four matchers, a negative offset, and an @ before the epoch, come out as written."""
    node = parse('m{a="1",b!="2",c=~"3.*",d!~"4"} offset -5m')
    assert isinstance(node, Selector)
    assert [str(m) for m in node.alternatives[0]] == ['__name__="m"', 'a="1"', 'b!="2"', 'c=~"3.*"', 'd!~"4"']
    assert node.offset_ms == -300_000
    assert parse("m @ 10.5") == Selector(((name("m"),),), at=10_500)
    assert parse("m @ -10.5") == Selector(((name("m"),),), at=-10_500)
    assert parse("m @ start() offset 1m") == Selector(((name("m"),),), 60_000, "start")


def test_or_between_matchers_gives_alternatives() -> None:
    """`{a="1" or b="2"}` selects by either."""
    node = parse('{a="1" or b="2"}')
    assert isinstance(node, Selector)
    assert len(node.alternatives) == 2
    assert node.metric is None


def test_structure() -> None:
    """Ranges, subqueries, calls, aggregations and operators have nodes of their own; brackets have none."""
    assert parse("rate(m[5m])") == Call("rate", (Range(Selector(((name("m"),),)), 300_000),))
    assert parse("(m)[10m:30s] offset 1m") == Subquery(Selector(((name("m"),),)), 600_000, 30_000, 60_000)
    assert parse("sum without (a) (m)") == Aggregate("sum", Selector(((name("m"),),)), Grouping(("a",), True))
    assert parse("-m") == Negate(Selector(((name("m"),),)))
    assert parse("-1") == Number(-1.0)
    assert parse('"text"') == Text("text")
    node = parse("a * on (x) group_left (y) b")
    assert isinstance(node, Binary)
    assert (node.matching.on, node.matching.many, node.matching.include) == (True, "left", ("y",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rate(m[5m] anchored)", '1:12: parse error: the modifier "anchored" is not supported'),
        ("increase(m[5m] smoothed)", '1:16: parse error: the modifier "smoothed" is not supported'),
        ("rate(m[5m + 1m])", r"1:8: parse error: arithmetic between durations, as in 5m \+ 1m, is not supported"),
        ("m offset (1h / 2)", "1:11: parse error: arithmetic between durations, as in 1h / 2, is not supported"),
        ("m offset (1h)", r"1:11: parse error: arithmetic between durations, as in \(1h\), is not supported"),
        ("m[step()]", '1:3: parse error: the duration function "step" is not supported'),
        ("1 + start_timestamp(m)", '1:5: parse error: function "start_timestamp" is not supported yet'),
        (r'label_replace(m, "\xff", "", "", "")', r"1:18: parse error: \\xff in a string is no UTF-8"),
        ("(" * 300 + "1" + ")" * 300, "1:201: parse error: the query is nested deeper than 200 levels"),
        ("-" * 5000 + "1", "1:200: parse error: the query is nested deeper than 200 levels"),
        ("m + " * 401 + "m", "1:1603: parse error: the query has more than 400 operators"),
        ("m + " * 30_000 + "m", "longer than"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(text: str, says: str) -> None:
    """Wrong text, and what is not there yet, is a BadQuery; nothing overflows a stack."""
    with pytest.raises(BadQuery, match=says):
        parse(text)


def test_trims_are_the_comparisons_the_text_has() -> None:
    """`</` and `>/` bind as comparisons do, and are told from those in any order, in strings and in matchers."""

    def ops(text: str) -> list[str]:
        found: list[str] = []

        def walk(node: object) -> None:
            if isinstance(node, Binary):
                walk(node.left)
                found.append(node.op)
                walk(node.right)
            elif isinstance(node, Call):
                for arg in node.args:
                    walk(arg)
            elif isinstance(node, Aggregate):
                walk(node.param)
                walk(node.expr)

        walk(parse(text))
        return found

    assert ops("a </ 1") == ["</"]
    assert ops("a > 1 >/ 2 < 3") == [">", ">/", "<"]
    assert ops('a{b!="</", c=~"}>/"} >/ b{x!="1"} # </') == [">/"]
    assert ops("topk(scalar(a </ 1), b == 2) >/ -(c </ 3)") == ["</", "==", ">/"]
    assert ops("sum(a </ 2) + on (x) (b >= 1)") == ["</", "+", ">="]
    assert ops("a + b </ c * d") == ["+", "</", "*"]
    with pytest.raises(BadQuery, match="1:6: parse error: unexpected <op:</>"):
        parse("a </ </ b")


def test_a_match_parameter_is_a_plain_selector() -> None:
    """Functions, offsets and ranges are no series selectors."""
    assert parse_selector('{a="b"}').alternatives == ((Matcher("a", MatchOp.EQUAL, "b"),),)
    for text, says in (
        ("rate(m[5m])", '1:5: parse error: unexpected "("'),
        ("m offset 5m", "1:3: parse error: unexpected <offset>"),
        ("m[5m]", '1:2: parse error: unexpected "["'),
        ("1", '1:1: parse error: unexpected number "1"'),
        ("", "unknown position: parse error: unexpected end of input"),
    ):
        with pytest.raises(BadQuery) as refused:
            parse_selector(text)
        assert str(refused.value) == f'invalid parameter "match[]": {says}'
