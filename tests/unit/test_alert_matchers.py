"""Matchers as Alertmanager writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.matchers import advice, parse_matcher, parse_matchers
from app.labels import Matcher, MatchOp


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a=b", ['a="b"']),
        ('{a = "b", c!="d", }', ['a="b"', 'c!="d"']),
        ('a=~"x|y",b!~z', ['a=~"x|y"', 'b!~"z"']),
        ('quote="She said: \\"Hi, ladies!\\""', ['quote="She said: \\"Hi, ladies!\\""']),
        ('"foo.bar"=x', ['foo.bar="x"']),
        (r"a=\d", [r'a="\\d"']),
        ("a=", ['a=""']),
        ("", []),
        ("{}", []),
        ("1a=b", ['1a="b"']),
        ('"with space"="x",b=c', ['"with space"="x"', 'b="c"']),
        ("ünï=~x", ['ünï=~"x"']),
        (r'"a\u00e4"="\x41\101\t"', ['aä="AA\t"']),
        (r'foo="\xf0\x9f\x99\x82"', ['foo="\\\\xf0\\\\x9f\\\\x99\\\\x82"']),
        ("{a=b", ['a="b"']),
        ("a=b}", ['a="b"']),
        ("a=b c", ['a="b c"']),
        ("a={b}", ['a="{b"']),
    ],
)
def test_forms(text: str, told: list[str]) -> None:
    """Braces, quotes and spaces are optional, and a comma in quotes separates nothing."""
    assert [str(m) for m in parse_matchers(text)] == told


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "=b",
        "1a=b c",
        "{{a=b}",
        "1a=b{",
        '"a"="b"c',
        r'"\xff"=a',
        r'"\u12"=a',
        'a="b',
        'a=b"c',
        'a="b"c"',
        'a=~"("',
        "a=b,,c=d",
    ],
)
def test_what_is_none(text: str) -> None:
    """A text that is no matcher is refused."""
    with pytest.raises(ValueError, match=r"matcher|regular expression|expected|invalid"):
        parse_matchers(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a=b", ""),
        ('"new name"=b', ""),
        (r"a=~\d+", r'a=~"\\d+"'),
        ("a=b c", 'a="b c"'),
        (r'a="\t"', r'a="\\t"'),
    ],
)
def test_what_should_be_written_otherwise(text: str, told: str) -> None:
    """What only the classic syntax takes, or both take for different things, is the classic one's and has advice."""
    assert advice(text) == told


@given(st.text(min_size=1), st.sampled_from(["=", "!="]), st.from_regex(r"[a-z ]*", fullmatch=True))
def test_any_name_round_trips(name: str, op: str, value: str) -> None:
    """A matcher with any name is written so that it can be read."""
    matcher = Matcher(name, MatchOp(op), value)
    assert parse_matcher(str(matcher)) == matcher


@given(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]*", fullmatch=True), st.sampled_from(["=", "!="]), st.text())
def test_round_trip(name: str, op: str, value: str) -> None:
    """A matcher that is written and read again is the same."""
    matcher = Matcher(name, MatchOp(op), value)
    assert parse_matcher(str(matcher)) == matcher
