"""Matchers as Alertmanager writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.matchers import parse_matcher, parse_matchers
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
    ],
)
def test_forms(text: str, told: list[str]) -> None:
    """Braces, quotes and spaces are optional, and a comma in quotes separates nothing."""
    assert [str(m) for m in parse_matchers(text)] == told


@pytest.mark.parametrize("text", ["a", "=b", "1a=b", 'a="b', 'a=b"c', 'a="b"c"', 'a=~"("', "a=b,,c=d"])
def test_what_is_none(text: str) -> None:
    """A text that is no matcher is refused."""
    with pytest.raises(ValueError, match=r"matcher|regular expression"):
        parse_matchers(text)


@given(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]*", fullmatch=True), st.sampled_from(["=", "!="]), st.text())
def test_round_trip(name: str, op: str, value: str) -> None:
    """A matcher that is written and read again is the same."""
    matcher = Matcher(name, MatchOp(op), value)
    assert parse_matcher(str(matcher)) == matcher
