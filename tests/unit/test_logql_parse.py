"""LogQL text → tree, and what is refused by name and place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.loki_params import read_time_ns
from app.errors import BadQuery
from app.labels import Matcher, MatchOp
from app.query.logql.ast import LogQuery, RangeAggregation
from app.query.logql.parse import parse, parse_matchers
from app.query.logql.pipeline import selected
from app.query.logql.stages.drop_keep import Drop, Keep
from app.query.logql.stages.json_paths import JsonPaths
from app.query.logql.stages.label_filter import Both, Either, LabelFilter, TextPredicate
from app.query.logql.stages.label_format import LabelFormat, Rename, Template
from app.query.logql.stages.line_filter import FilterOp, LineFilter
from app.query.logql.stages.line_format import LineFormat
from app.query.logql.stages.logfmt import LogfmtPairs
from app.query.logql.stages.pattern import Pattern
from app.query.logql.stages.stage import Stage
from app.query.promql.conditions import Parameters
from tests.unit.logql_trees import EXPRESSIONS, LOG_QUERIES

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.one_of(LOG_QUERIES, EXPRESSIONS))
def test_what_is_printed_reads_back(tree: object) -> None:
    """Any query, printed and parsed again, is the same tree."""
    assert parse(str(tree)) == tree


@given(TEXT, TEXT)
def test_no_text_of_a_query_stands_in_the_sql(value: str, other: str) -> None:
    """The SQL of a query is the same whatever its texts hold, but for the words looked up in the index."""

    def sql(text: str, parameters: Parameters) -> str:
        test = Matcher("level", MatchOp.EQUAL, text)
        stages: list[Stage] = [
            LineFilter(FilterOp.NOT_CONTAINS, (text,)),
            JsonPaths((("a", "b.c"),)),
            LogfmtPairs((("a", "b"),)),
            Pattern(f"<a>{text.replace('<', '')}x"),
            LabelFormat((Template("b", "x" + text.replace("{", "")), Rename("c", "d"))),
            LineFormat("x" + text.replace("{", "")),
            LabelFilter(Either(TextPredicate(test), Both(TextPredicate(test), TextPredicate(test)))),
            Drop((test,)),
            Keep((test,)),
            LineFilter(FilterOp.PATTERN, (f"<_>{text.replace('<', '')}x",)),
        ]
        query = LogQuery((Matcher("app", MatchOp.EQUAL, text),), tuple(stages))
        rows, late = selected(query, 0, 1, None, frozenset(), parameters)
        for stage in late:
            stage.apply(rows)
        return rows.sql("*")

    parameters = Parameters()
    assert sql(value, parameters) == sql(other, Parameters())
    assert value in parameters.values.values()


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
        (
            '{a="b"} | json | status >= 500, x="1" y="2" or z=~"3"',
            '{a="b"} | json | ((status >= 500 and x="1") and y="2") or z=~"3"',
        ),
        (
            '{a="b"} | took > 1.5s | size <= 20MB | n = -3 | n != 4',
            '{a="b"} | took > 1s500ms | size <= 20000000B | n == -3 | n != 4',
        ),
        ('{a="b"} | size == 1.5KiB | took < -1us', '{a="b"} | size == 1536B | took < -1000ns'),
        ('{a="b"} | json one, two="x.y[0]"', '{a="b"} | json one="one", two="x.y[0]"'),
        ('{a="b"} | logfmt --keep-empty --strict one', '{a="b"} | logfmt --strict --keep-empty one="one"'),
        (
            '{a="b"} | PATTERN `<a> <_>`|regexp "(?P<x>.)"|unpack|decolorize',
            '{a="b"} | pattern "<a> <_>" | regexp "(?P<x>.)" | unpack | decolorize',
        ),
        ('{a="b"} | drop x, y="z" | keep __error__', '{a="b"} | drop x, y="z" | keep __error__'),
        (
            '{a="b"} | line_format `{{.x}}` | label_format a=b, c=`{{.d}}`',
            '{a="b"} | line_format "{{.x}}" | label_format a=b, c="{{.d}}"',
        ),
        ('{a="b"} |= "x" or ip("::1") != ip("10.0.0.0/8")', '{a="b"} |= "x" or ip("::1") != ip("10.0.0.0/8")'),
        (
            '{a="b"} | ip=ip("10.0.0.1-10.0.0.9") or ip!=ip("::1")',
            '{a="b"} | ip=ip("10.0.0.1-10.0.0.9") or ip!=ip("::1")',
        ),
        ('{a="b"} |> "<_> x" or "y" !> `z`', '{a="b"} |> "<_> x" or "y" !> "z"'),
        ('{a="b"} | duration > 1m | bytes = 1 | sum = 2', '{a="b"} | duration > 1m | bytes == 1 | sum == 2'),
        (
            'sum_over_time({a="b"} | unwrap bytes(x) | __error__="" [5m])',
            'sum_over_time({a="b"} | unwrap bytes(x) | __error__="" [5m])',
        ),
        (
            'avg_over_time(({a="b"} | json | unwrap x)[5m]) by (y)',
            'avg_over_time({a="b"} | json | unwrap x [5m]) by (y)',
        ),
        (
            'avg_over_time({a="b"}[5m] offset 1m | unwrap x) without ()',
            'avg_over_time({a="b"} | unwrap x [5m] offset 1m) without ()',
        ),
        ('quantile_over_time(.5, {a="b"} | unwrap x [5m])', 'quantile_over_time(0.5, {a="b"} | unwrap x [5m])'),
        (
            'rate({a="b"}[1m]) > bool on (x) group_left (y) vector(1)',
            '(rate({a="b"} [1m]) > bool on (x) group_left (y) vector(1))',
        ),
        (
            "vector(1) or vector(2) and vector(3) unless vector(4)",
            "(vector(1) or ((vector(2) and vector(3)) unless vector(4)))",
        ),
        ("1 + 2 > 3", "((1 + 2) > 3)"),
        ('SUM BY (x) (Rate({a="b"}[1m]))', 'sum by (x) (rate({a="b"} [1m]))'),
        ('sort_desc(rate({a="b"}[1m]))', 'sort_desc (rate({a="b"} [1m]))'),
        (
            'label_replace(rate({a="b"}[1m]), "a", "$1", "b", "(.*)")',
            'label_replace(rate({a="b"} [1m]), "a", "$1", "b", "(.*)")',
        ),
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
        ('{a="b"} |~ ip("10.0.0.1")', "ip: invalid operation", 8),
        ('{a="b"} |= ip("10.0.0")', "ip: invalid pattern", 14),
        ('{a="b"} | addr = ip("10.0.0.9-10.0.0.1")', "ip: invalid pattern", 20),
        ('{a="b"} | addr = ip("10.0.0.9-::1")', "ip: invalid pattern", 20),
        ('approx_topk(3, rate({a="b"}[1m]))', "`approx_topk`", 0),
        ('rate({a="b"}[1m]) @ 5', "modifier `@`", 18),
        ('{a="b"} | json x="a["', "cannot parse expression", 17),
        ('{a="b"} | logfmt x="="', "cannot parse expression", 19),
        ('{a="b"} | pattern "x"', "at least one capture", 18),
        ('{a="b"} | pattern "<a><b>"', "consecutive capture", 18),
        ('{a="b"} | pattern "<a> <a>"', "duplicate capture", 18),
        ('{a="b"} |> "<a> x"', "named captures are not allowed", 11),
        ('{a="b"} | regexp "x"', "at least one named capture", 17),
        ('{a="b"} | regexp "(?P<x>.)(?P<x>.)"', "duplicate extracted label", 17),
        ('{a="b"} | regexp "("', "error parsing regexp", 17),
        ('{a="b"} | x =~ "("', "not a regular expression", 15),
        ('{a="b"} | unwrap x', "only a range aggregation", 0),
        ('{a="b"} | line_format "{{.x"', "unclosed action", 22),
        ('{a="b"} | line_format "{{ nope .x }}"', '"nope" not defined', 22),
        ('{a="b"} | line_format "{{ range .x }}{{ end }}"', "{{range}} in a template is not supported", 22),
        ('{a="b"} | line_format "{{ date .x }}"', '"date" is not supported', 22),
        ('{a="b"} | line_format "{{ $x := 1 }}{{ $x = 2 }}"', "= in a template is not supported", 22),
        ('{a="b"} | line_format "{{ define `x` }}a{{ end }}"', "{{define}} and {{block}}", 22),
        ('{a="b"} | line_format "{{ with .x }}{{ .y }}{{ end }}"', "use $.y for the label", 22),
        ('{a="b"} | line_format "{{ $y }}"', 'line:1: undefined variable "$y"', 22),
        ('{a="b"} | label_format x="1", x="2"', "twice", 10),
        ('{a="b"} | label_format __error__="1"', "cannot be formatted", 10),
        ('{a="b"} | drop', "unexpected end", 14),
        ('{a="b"} | x > 99999999999999999999B', "not a size", 14),
        ('{a="b"}' + " | unpack" * 5, "at most 4 parsers", 0),
        ('{a="b"}' + " | decolorize" * 21, "at most 20 stages", 0),
        ('{a="b"} | label_format ' + ", ".join(f"x{i}=y" for i in range(21)), "at most 20 stages", 0),
        ("1" + " + 1" * 201, "at most 200 operations", 802),
        ("1e999", "too large", 0),
        ('count_over_time({a="b"} | unwrap x [1m])', "invalid aggregation count_over_time with unwrap", 0),
        ('sum_over_time({a="b"}[1m])', "invalid aggregation sum_over_time without unwrap", 0),
        ('rate({a="b"}[1m]) by (x)', "grouping not allowed for rate", 0),
        ('quantile_over_time({a="b"} | unwrap x [1m])', "parameter required", 0),
        ('rate(2, {a="b"}[1m])', "parameter 2 not supported", 0),
        ('sum_over_time({a="b"} | unwrap x | json [1m])', "only label filters can follow", 14),
        ('sort(rate({a="b"}[1m])) by (x)', "takes no by", 0),
        ('label_replace({a="b"}, "a", "b", "c", "d")', "wants a vector", 0),
        ('label_replace(rate({a="b"}[1m]), "a", "b", "c", "(")', "not a regular expression", 48),
        ("1 and vector(1)", "wants vectors on both sides", 2),
        ('{a="b"} + 1', "log lines", 8),
        ('rate({a="b"}[0s])', "duration", 12),
        ('rate({a="b"}[5x])', "duration", 12),
        ('rate({a="b"})', "unexpected", 12),
        ('sum({a="b"})', "sum wants a vector", 0),
        ('topk(rate({a="b"}[1m]))', "parameter required", 0),
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


def test_what_grafana_asks_for_volume_reads_back() -> None:
    """Grafana's log volume ends in `| drop __error__`."""
    volume = 'sum by (level, detected_level) (count_over_time({a="b"} |= `x` | drop __error__, __error_details__[15s]))'
    printed = (
        'sum by (level, detected_level) (count_over_time({a="b"} |= "x" | drop __error__, __error_details__ [15s]))'
    )
    assert str(parse(volume)) == printed
    assert parse(printed) == parse(volume)
    with pytest.raises(BadQuery, match="only label matchers"):
        parse_matchers('{a="b"} | drop __error__')
