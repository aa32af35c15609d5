"""LogQL text → tree, and what is refused by name and place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.loki_params import read_time_ns
from app.errors import BadQuery
from app.labels import Matcher, MatchOp
from app.query.logql.ast import FilterOp, LineFilter, LogQuery, RangeAggregation
from app.query.logql.conditions import lines_condition
from app.query.logql.parse import parse, parse_matchers
from app.query.promql.conditions import Parameters

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(st.tuples(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True), TEXT), max_size=3),
    st.lists(st.tuples(st.sampled_from(FilterOp), st.lists(TEXT, min_size=1, max_size=3)), max_size=3),
)
def test_what_is_printed_reads_back(pairs: list[tuple[str, str]], filters: list[tuple[FilterOp, list[str]]]) -> None:
    """Any selector and any filters, printed and parsed again, are the same tree."""
    matchers = (Matcher("app", MatchOp.EQUAL, "x"), *(Matcher(name, MatchOp.NOT_EQUAL, value) for name, value in pairs))
    literal = tuple(
        LineFilter(op if op in (FilterOp.CONTAINS, FilterOp.NOT_CONTAINS) else FilterOp.CONTAINS, tuple(texts))
        for op, texts in filters
    )
    query = LogQuery(matchers, literal)
    assert parse(str(query)) == query


@given(TEXT, TEXT)
def test_no_text_of_a_query_stands_in_the_sql(value: str, needle: str) -> None:
    """The SQL of a query is the same whatever its texts hold, but for the words looked up in the index."""
    query = LogQuery((Matcher("app", MatchOp.EQUAL, value),), (LineFilter(FilterOp.NOT_CONTAINS, (needle,)),))
    parameters = Parameters()
    sql = lines_condition(query, 0, 1, parameters)
    assert sql == lines_condition(
        LogQuery((Matcher("app", MatchOp.EQUAL, ""),), (LineFilter(FilterOp.NOT_CONTAINS, ("",)),)), 0, 1, Parameters()
    )
    assert {value, needle} <= set(map(str, parameters.values.values()))


@pytest.mark.parametrize(
    ("query", "printed"),
    [
        ('{a="b",}', '{a="b"}'),
        ("{a=`b\\n`}", '{a="b\\\\n"}'),
        (r'{a="\x41\u00e9\101\t\""}', '{a="Aé' + 'A\\t\\""}'),
        ('{ a = "b" , c =~ "d.*" }|="x"!="y"|~"z"!~"w"', '{a="b", c=~"d.*"} |= "x" != "y" |~ "z" !~ "w"'),
        ('{by="a", sum="b", offset="c", rate="d"}', '{by="a", sum="b", offset="c", rate="d"}'),
        ('{a="b"} |= "x" or `y`', '{a="b"} |= "x" or "y"'),
        ('{a="b"} # a comment\n|= "x"', '{a="b"} |= "x"'),
        ('({a="b"} |= "x")', '{a="b"} |= "x"'),
        ('rate({a="b"}|="x"[1h30m])', 'rate({a="b"} |= "x" [1h30m])'),
        ('rate({a="b"}[5m] offset 1m |= "x")', 'rate({a="b"} |= "x" [5m] offset 1m)'),
        ('rate(({a="b"} |= "x")[5m])', 'rate({a="b"} |= "x" [5m])'),
        ('rate(({a="b"}[5m]))', 'rate({a="b"} [5m])'),
        ('sum(rate({a="b"}[1m])) by (x, y)', 'sum by (x, y) (rate({a="b"} [1m]))'),
        ('sum without(x) (rate({a="b"}[1m]))', 'sum without (x) (rate({a="b"} [1m]))'),
        ('topk(3, rate({a="b"}[1m]))', 'topk (3, rate({a="b"} [1m]))'),
        ("vector(1)+vector(1)", "(vector(1) + vector(1))"),
        ("1 + 2 * 3 ^ 2", "(1 + (2 * (3 ^ 2)))"),
        ("-1", "-1"),
    ],
)
def test_forms(query: str, printed: str) -> None:
    """Each form is read, and its print is read as the same."""
    tree = parse(query)
    assert str(tree) == printed
    assert parse(printed) == tree


def test_a_range_in_its_unit() -> None:
    """Ranges and offsets are milliseconds."""
    tree = parse('rate({a="b"}[1h30m500ms] offset -1.5s)')
    assert isinstance(tree, RangeAggregation)
    assert (tree.range_ms, tree.offset_ms) == (5_400_500, -1500)


@pytest.mark.parametrize(
    ("query", "message", "position"),
    [
        ("", "unexpected end", 0),
        ("{", "unexpected end", 1),
        ('{a="b"', "unexpected end", 6),
        ('{a="b"} x', "line 1, col 9", 8),
        ('\n{a="b"}\n  )', "line 3, col 3", 11),
        ('{a="b"} |= 5', "unexpected '5'", 11),
        ("{}", "at least one regexp or equality matcher", 0),
        ('{a=~".*"}', "at least one regexp or equality matcher", 0),
        ('{a!="b"} |= "x"', "at least one regexp or equality matcher", 0),
        ('{a=~"("}', "not a regular expression", 4),
        ('{a="b"} |~ "["', "not a regular expression", 11),
        (r'{a="\q"}', "invalid escape", 3),
        (r'{a="\ud800"}', "invalid escape", 3),
        (r'{a="\xff"}', "invalid escape", 3),
        ('{a="b"} | json', "`| json`", 8),
        ('{a="b"} | logfmt | level="x"', "`| logfmt`", 8),
        ('{a="b"} | level = "error"', "`| level`", 8),
        ('{a="b"} |> "<_> x"', "pattern filter `|>`", 8),
        ('{a="b"} |= ip("10.0.0.1")', "IP filter", 8),
        ('quantile_over_time(0.9, {a="b"} | unwrap x [1m])', "`quantile_over_time`", 0),
        ('label_replace(rate({a="b"}[1m]), "a", "b", "c", "d")', "`label_replace`", 0),
        ('rate({a="b"}[1m]) > 1', "comparison `>`", 18),
        ('rate({a="b"}[1m]) and rate({a="b"}[1m])', "operator `and`", 18),
        ('rate({a="b"}[1m]) / rate({a="b"}[1m])', "between two computed vectors", 18),
        ('{a="b"} + 1', "log lines", 8),
        ('rate({a="b"}[0s])', "duration", 12),
        ('rate({a="b"}[5x])', "duration", 12),
        ('rate({a="b"})', "unexpected", 12),
        ('sum({a="b"})', "sum wants a vector", 0),
        ('topk(rate({a="b"}[1m]))', "topk wants a number", 0),
        ('topk(0.5, rate({a="b"}[1m]))', "whole number", 0),
        ('sum(3, rate({a="b"}[1m]))', "takes no number", 0),
        ("(" * 30_000, "unexpected", 30_000),
    ],
)
def test_mistakes(query: str, message: str, position: int) -> None:
    """Each mistake is named, with where it stands."""
    with pytest.raises(BadQuery) as caught:
        parse(query)
    assert message in str(caught.value)
    assert caught.value.position == position


def test_names_inside_strings_and_selectors_are_no_stages() -> None:
    """What looks like an unsupported form in a string or a label name is none."""
    assert parse_matchers('{json="| json", and="x > 1"}')
    assert parse('{a="b"} |= "| json |> @ quantile_over_time("')


def test_matchers_alone() -> None:
    """A selector with filters, or a query that computes, is not a selector."""
    for query in ('{a="b"} |= "x"', 'rate({a="b"}[1m])'):
        with pytest.raises(BadQuery, match="only l"):
            parse_matchers(query)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1700000000", 1_700_000_000 * 10**9),
        ("17000000000", 17_000_000_000),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1.7e9", None),
        ("1.7e9.", None),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * 10**9),
        ("2023-11-15T07:13:20.000000001+09:00", 1_700_000_000_000_000_001),
        ("2023-11-14", None),
        ("now", None),
        ("", None),
        ("0", 0),
        ("4", 4 * 10**9),
    ],
)
def test_times_of_the_api(text: str, ns: int | None) -> None:
    """Ten digits and fewer are seconds, more are nanoseconds, a point means seconds, and RFC 3339."""
    if ns is None and text != "1.7e9":
        with pytest.raises(BadQuery, match="'start'"):
            read_time_ns(text, "start")
    else:
        assert read_time_ns(text, "start") == (ns or (0 if text == "0" else 1_700_000_000 * 10**9))


def test_dropping_errors_that_no_stage_makes_changes_nothing() -> None:
    """Grafana's log volume ends in `| drop __error__`: it is printed back; other drops and places are refused."""
    volume = 'sum by (level, detected_level) (count_over_time({a="b"} |= `x` | drop __error__%s [15s]))'
    printed = 'sum by (level, detected_level) (count_over_time({a="b"} |= "x" | drop __error__%s [15s]))'
    for names in ("", ", __error_details__"):
        assert str(parse(volume % names)) == printed % names
        assert str(parse(printed % names)) == printed % names
    assert str(parse('{a="b"} | drop __error__ |= "x" | drop __error__')) == '{a="b"} |= "x" | drop __error__'
    for other in (", level", '="x"', ", "):
        with pytest.raises(BadQuery, match="drop"):
            parse(volume % other)
    for misplaced in (
        '{a="b" | drop __error__}',
        'count_over_time({a="b"}[1m]) | drop __error__',
        "1 | drop __error__",
    ):
        with pytest.raises(BadQuery, match="drop"):
            parse(misplaced)
    with pytest.raises(BadQuery, match="only label matchers"):
        parse_matchers('{a="b"} | drop __error__')
