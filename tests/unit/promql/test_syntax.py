"""What is wrong with a query, and where: as Prometheus says it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import BadQuery
from app.labels import Matcher, MatchOp
from app.query.promql.ast import Aggregate, Node, Number, Selector, Text
from app.query.promql.describe import describe
from app.query.promql.names import FUNCTIONS
from app.query.promql.parse import parse, parse_selector
from app.query.promql.pretty import written
from app.query.promql.syntax import read
from app.query.promql.syntax.functions import SIGNATURES
from tests.unit.promql.syntax_cases import GRAMMAR, TOKENS, TYPES

_PLACE = re.compile(r'invalid parameter "query": (\d+):(\d+): parse error: ')


@pytest.mark.parametrize(("query", "says"), [*TOKENS, *GRAMMAR, *TYPES])
def test_what_is_wrong_is_told_as_prometheus_tells_it(query: str, says: str) -> None:
    """Word for word, with line and column."""
    with pytest.raises(BadQuery) as refused:
        parse(query)
    assert str(refused.value) == f'invalid parameter "query": {says}'
    with pytest.raises(BadQuery) as shown:
        describe(query)
    assert str(shown.value) == str(refused.value)


def test_the_place_is_known_in_characters_too() -> None:
    """For programs: what the message says in bytes within a line."""
    with pytest.raises(BadQuery) as refused:
        parse('{a="é"} +\n {b="é"} $')
    assert refused.value.position == 19
    assert "2:11: parse error" in str(refused.value)


def test_every_function_has_a_signature() -> None:
    """And only what Prometheus has besides has one and is not answered."""
    assert set(SIGNATURES) - FUNCTIONS == {"start_timestamp"}
    assert set(SIGNATURES) >= FUNCTIONS


def selector(node: Node) -> Matcher:
    """The one matcher of a selector."""
    assert isinstance(node, Selector)
    return node.alternatives[0][0]


def test_what_the_library_does_not_take_is_put_for_it_in_other_words() -> None:
    """Raw strings with backslashes, all forms of numbers, signs before durations, and keywords that are names."""
    assert selector(parse(r"{a=~`\d+\\`}")) == Matcher("a", MatchOp.REGEX, r"\d+\\")
    assert parse(r"`\`") == Text("\\")
    assert parse(r"""'"\'\x41\303\251\u00e9\n'""") == Text("\"'Aéé\n")
    for text, value in (
        ("1_000", 1000),
        ("4.0_5e1_0", 4.05e10),
        ("0x_fF", 255),
        ("0_17", 15),
        ("017", 15),
        ("07e1", 70),
    ):
        assert parse(text) == Number(float(value)), text
    assert [parse(text) for text in ("0d", "1m", "089")] == [Number(0), Number(60), Number(89)]
    for text, plain in (
        ("m[+5m]", "m[5m]"),
        ("m[- -5m:.5]", "m[5m:500ms]"),
        ("m offset+(5)", "m offset 5"),
        ("m offset -(5m)and n", "m offset -5m and n"),
        ("m offset - -5", "m offset 5"),
        ("m offset 0s", "m"),
    ):
        assert parse(text) == parse(plain), text
    assert selector(parse("anchored")) == selector(parse('{"anchored"}'))
    assert parse('Smoothed {a="1"}') == parse('{"Smoothed", a="1"}')
    found = parse("sum by (anchored, a:b) (smoothed)")
    assert isinstance(found, Aggregate)
    assert found.grouping.labels == ("anchored", "a:b")


@pytest.mark.parametrize("pattern", [r"[[]x", r"[\w-a]", r"\Qa.b\E", r"\101", "(a{1000}){1}(b{1000})(c{1000})"])
def test_regular_expressions_that_the_library_refuses_are_taken(pattern: str) -> None:
    """RE2 says what is one, as for Prometheus; what is shown is what was written."""
    query = f"m{{a=~`{pattern}`}}"
    node = parse(query)
    assert isinstance(node, Selector)
    assert node.alternatives[0][1] == Matcher("a", MatchOp.REGEX, pattern)
    assert describe(query)["matchers"][0]["value"] == pattern
    looks_hidden = "\uf8ffab"
    assert selector(parse(f'{{a=~"{looks_hidden}"}}')).value == looks_hidden


def test_what_is_put_in_other_words_is_shown_as_it_was_meant() -> None:
    """`format_query` shows no trace of it."""
    assert written(describe(r"m{a=~`\d+`}[+5m] offset -(1m)")) == r'm{a=~"\\d+"}[5m] offset -1m'
    assert written(describe('info(m, {a=~".*"})')) == 'info(m, {a=~".*"})'
    assert written(describe("info(m, {})")) == "info(m, )"


def test_a_call_within_info_is_no_selector_of_info() -> None:
    """Only the second argument itself may match everything."""
    assert isinstance(parse('sum(info(rate(m[5m]), {a=~".*"}))'), Aggregate)
    with pytest.raises(BadQuery, match="1:19: parse error: vector selector must contain"):
        parse("info(m, {}) + abs({})")


def test_a_text_is_read_once() -> None:
    """The same query again is not read again; one that is wrong is."""
    assert read("m + n") is read("m + n")
    assert read("m" * 5000) is not read("m" * 5000)


_WORDS = re.findall(
    r"\S+",
    """
( ) [ ] { } , + - * / % ^ == != <= < >= > </ >/ = =~ !~ ! @ : # . _ ' " ` a a:b 1 5m 0x1e 1e 1_ .5 nan inf é sum topk by
without on ignoring group_left fill fill_left bool offset and unless atan2 anchored smoothed start end step range max_of
rate label_join info histogram_quantile increase_exact a{b=~'c'} m[5m] 'text' or (1) start() {} {a='b'or 9e300 -9e999
99999999999y 0s
""",
)
FRAGMENTS = st.sampled_from([*_WORDS, " ", "\n", "\u00a0", "\ufffd", "\udc80", "\x00", "\\", "\\x", "`\\d`", "\\xff"])
TEXTS = st.lists(st.one_of(FRAGMENTS, FRAGMENTS, FRAGMENTS, st.text(max_size=3))).map("".join)
WITH_SPACES = st.lists(FRAGMENTS, max_size=30).map(" ".join)


@settings(max_examples=1500, deadline=None)
@given(st.one_of(TEXTS, WITH_SPACES))
@example("m offset nan")
@example("1" * 5000 + "m")
@example("a" + "[1m:]" * 12_000)
@example("a" + " offset 1m" * 6_000)
@example("(" * 60_000)
@example("-" * 60_000)
@example("sum by (" + "a," * 30_000)
@example("{a=~'\\\\Qa'}")
@example("{a=~'" + "(a{1000})" * 500 + "'}")
@example("# \udc80\nm")
def test_any_text_is_a_query_or_a_bad_query(text: str) -> None:
    """Nothing else is ever raised, and the place is in the text."""
    reason = _refusal(parse, text)
    if reason is None:
        describe(text)
    if reason is not None and text:
        place = _PLACE.match(str(reason))
        assert place is not None, reason
        lines = text.split("\n")
        assert 1 <= int(place[1]) <= len(lines)
        assert 1 <= int(place[2]) <= len(lines[int(place[1]) - 1].encode(errors="surrogatepass")) + 1
        assert reason.position is not None
        assert 0 <= reason.position <= len(text)
    _refusal(parse_selector, text)


def _refusal(read_it: Callable[[str], object], text: str) -> BadQuery | None:
    try:
        read_it(text)
    except BadQuery as refused:
        return refused
    return None
