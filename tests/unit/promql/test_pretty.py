"""Queries written anew and shown as trees; the expected texts are Prometheus 3.14's own answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadQuery
from app.query.promql.describe import describe
from app.query.promql.parse import parse
from app.query.promql.pretty import pretty

LONG = 'sum by (job) (rate(http_requests_total_with_long_name{job="a",instance=~"x.*"}[5m])) / on (job) group_left (x) '
LONG += (
    'topk(5, max_over_time((http_requests_total_with_long_name{job="a"} + http_requests_total_with_long_name)[1h:]))'
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("foo{a=~'b|c',a!=\"x\"}", 'foo{a!="x",a=~"b|c"}'),
        ('{"foo.bar","a.b"="b"}', '{"a.b"="b",__name__="foo.bar"}'),
        ("foo[90]  offset -5m @ 1.23456", "foo[1m30s] @ 1.235 offset -5m"),
        ("foo[0.5:0.1] @ start()", "foo[500ms:100ms] @ start()"),
        ("foo @ -5", "foo @ -5.000"),
        ('sum by(a,"b.c")(x)', 'sum by (a, "b.c") (x)'),
        ("sum without() (x)", "sum without () (x)"),
        ("foo*on(a)group_left bar", "foo * on (a) group_left () bar"),
        ("foo or ignoring() bar", "foo or bar"),
        ("foo >bool 5", "foo > bool 5"),
        ("1e21+1e-9 - -Inf", "1000000000000000000000 + 0.000000001 - -Inf"),
        ("- (5) ^ 2", "-(5) ^ 2"),
        ('"a\\tb\'\\"é\\u0001"', '"a\\tb\'\\"é\\x01"'),
        ('foo{a="1" or b="2"}', 'foo{a="1" or b="2"}'),
        ("foo</bar", "foo </ bar"),
        ("foo + fill_left(2e6) fill_right(-0.5) bar", "foo + fill_left (2e+06) fill_right (-0.5) bar"),
        (
            LONG,
            '  sum by (job) (rate(http_requests_total_with_long_name{instance=~"x.*",job="a"}[5m]))\n'
            "/ on (job) group_left (x)\n"
            "  topk(\n"
            "    5,\n"
            "    max_over_time(\n"
            '(http_requests_total_with_long_name{job="a"} + http_requests_total_with_long_name)[1h:]\n'
            "    )\n"
            "  )",
        ),
    ],
)
def test_a_query_is_written_as_prometheus_writes_it(query: str, expected: str) -> None:
    """Matchers sorted, durations and numbers in their shortest form, long queries on several lines."""
    assert pretty(describe(query)) == expected


def test_the_tree_has_prometheus_form() -> None:
    """Keys, types and defaults are those of Prometheus's parse_query."""
    selector: dict[str, Any] = {"offset": 0, "offsetExpr": None, "timestamp": None, "startOrEnd": None}
    selector |= {"anchored": False, "smoothed": False, "name": "a"}
    vector = {
        **selector,
        "type": "vectorSelector",
        "matchers": [{"name": "b", "type": "!=", "value": "c"}, {"name": "__name__", "type": "=", "value": "a"}],
    }
    matrix = {**vector, "type": "matrixSelector", "range": 60000, "rangeExpr": None, "startOrEnd": "end"}
    function = {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    assert describe('a{b!="c"} and (rate(a{b!="c"}[1m] @ end()))') == {
        "type": "binaryExpr",
        "op": "and",
        "bool": False,
        "lhs": vector,
        "rhs": {"type": "parenExpr", "expr": {"type": "call", "func": function, "args": [matrix]}},
        "matching": {
            "card": "many-to-many",
            "labels": [],
            "on": False,
            "include": [],
            "fillValues": {"lhs": None, "rhs": None},
        },
    }
    assert describe("1 + 2")["matching"] is None


def test_a_long_chain_of_operators_is_refused() -> None:
    """The parser would overflow its stack and end the process; operators in strings and matchers do not count."""
    with pytest.raises(BadQuery, match="more than 400 operators"):
        parse("1" + "+1" * 20_000)
    with pytest.raises(BadQuery, match="more than 400 operators"):
        parse("a" + " or a" * 401)
    parse("1" + "+1" * 300)
    parse('x{a=~"' + "a+" * 500 + '}"}')


_names = st.sampled_from(["foo", "up", "a:b"])
_values = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_times = st.sampled_from(["", " offset 5m", " offset -1h30m", " @ 12.5", " @ end() offset 1d"])
_label = st.sampled_from(["job", "le", '"a.b"'])


@st.composite
def _selectors(draw: st.DrawFn) -> str:
    matchers = draw(st.lists(st.tuples(_label, st.sampled_from(["=", "!="]), _values), max_size=3))
    inside = ",".join(f"{name}{op}{_quoted(value)}" for name, op, value in matchers)
    return draw(_names) + (f"{{{inside}}}" if inside else "")


def _quoted(value: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    matching = st.sampled_from(["", "on(job)", "ignoring(le) group_left(x)"])
    operator = st.sampled_from(["+", "-", "^", "and", "> bool", "</"])
    group = st.sampled_from(["", "by (job)", 'without ("a.b")'])
    return st.one_of(
        st.tuples(inner, operator, inner).map(" ".join),
        st.tuples(inner, matching, inner).map(lambda t: f"{t[0]} * {t[1]} {t[2]}"),
        st.tuples(group, inner).map(lambda t: f"topk {t[0]} (3, {t[1]})"),
        st.tuples(inner, _times).map(lambda t: f"max_over_time(({t[0]})[1h:5m]{t[1]})"),
        inner.map(lambda t: f"({t})"),
        inner.map(lambda t: f"-({t})"),
    )


_leaves = st.one_of(
    st.tuples(_selectors(), _times).map("".join),
    st.tuples(_selectors(), _times).map(lambda t: f"rate({t[0]}[5m]{t[1]})"),
)


@given(st.recursive(_leaves, _grown, max_leaves=12))
def test_what_is_written_means_the_same(query: str) -> None:
    """Read again, the new text gives the same tree, and is written as it is."""
    try:
        tree = describe(query)
    except BadQuery:
        return
    text = pretty(tree)
    assert _canonical(describe(text)) == _canonical(tree)
    assert pretty(describe(text)) == text


def _canonical(node: object) -> object:
    """A tree whose matchers are in order: writing sorts them, which changes no meaning."""
    if isinstance(node, dict):
        return {k: sorted(v, key=str) if k == "matchers" else _canonical(v) for k, v in node.items()}
    return [_canonical(item) for item in node] if isinstance(node, list) else node
