"""Relabelling has the semantics Prometheus documents."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ingest.scrape.relabel import RelabelRule, relabel

LABELS = {"__name__": "m", "a": "foo", "b": "bar", "c": "baz", "addr": "10.0.0.1:9100"}

CASES: dict[str, tuple[dict[str, Any], dict[str, str] | None]] = {
    "replace": (
        {"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "replacement": "ch${1}-ch${1}"},
        {"d": "choo-choo"},
    ),
    "replace joins": ({"source_labels": ["a", "b"], "target_label": "d"}, {"d": "foo;bar"}),
    "separator": ({"source_labels": ["a", "b"], "separator": "", "target_label": "d"}, {"d": "foobar"}),
    "anchored": ({"source_labels": ["a"], "regex": "o", "target_label": "d", "replacement": "x"}, {}),
    "no match leaves all": ({"source_labels": ["a"], "regex": "x.*", "target_label": "b"}, {}),
    "empty replacement deletes": ({"source_labels": ["a"], "target_label": "b", "replacement": ""}, {"b": ""}),
    "constant": ({"target_label": "d", "replacement": "x"}, {"d": "x"}),
    "named group": (
        {"source_labels": ["addr"], "regex": "(?P<host>[^:]+):.*", "target_label": "d", "replacement": "$host"},
        {"d": "10.0.0.1"},
    ),
    "longest name": (
        {"source_labels": ["a"], "regex": "(f)(.*)", "target_label": "d", "replacement": "$1x-${1}x"},
        {"d": "-fx"},
    ),
    "dollar": ({"source_labels": ["a"], "target_label": "d", "replacement": "$$1"}, {"d": "$1"}),
    "unknown group": ({"source_labels": ["a"], "target_label": "d", "replacement": "x$7"}, {"d": "x"}),
    "target template": (
        {"source_labels": ["a", "b"], "regex": "(.*);(.*)", "target_label": "${1}", "replacement": "$2"},
        {"foo": "bar"},
    ),
    "target template that is no name": (
        {"source_labels": ["addr"], "regex": "(.*)", "target_label": "$1", "replacement": "x"},
        {},
    ),
    "keep": ({"source_labels": ["a"], "regex": "fo+", "action": "keep"}, {}),
    "keep drops": ({"source_labels": ["a"], "regex": "f", "action": "keep"}, None),
    "drop": ({"source_labels": ["a"], "regex": "foo|x", "action": "drop"}, None),
    "drop keeps": ({"source_labels": ["a"], "regex": "x", "action": "DROP"}, {}),
    "absent label is empty": ({"source_labels": ["zz"], "regex": "", "action": "drop"}, None),
    "keepequal": ({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}, None),
    "dropequal": ({"source_labels": ["a"], "target_label": "a", "action": "dropequal"}, None),
    "dropequal keeps": ({"source_labels": ["a"], "target_label": "b", "action": "dropequal"}, {}),
    # MD5's last eight bytes, as Prometheus's own test has it
    "hashmod": ({"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}, {"d": "976"}),
    "labelmap": ({"regex": "(b|c)", "replacement": "x_$1", "action": "labelmap"}, {"x_b": "bar", "x_c": "baz"}),
    "labeldrop": ({"regex": "b|c", "action": "labeldrop"}, {"b": "", "c": ""}),
    "labelkeep": ({"regex": "__name__|a", "action": "labelkeep"}, {"b": "", "c": "", "addr": ""}),
    "uppercase": ({"source_labels": ["a"], "target_label": "a", "action": "uppercase"}, {"a": "FOO"}),
    "lowercase": ({"source_labels": ["a", "b"], "target_label": "a", "action": "lowercase"}, {"a": "foo;bar"}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_action(case: tuple[dict[str, Any], dict[str, str] | None]) -> None:
    """Each action changes what it should: the expectation lists changed labels, "" for one that goes, None for drop."""
    rule, changes = case
    labels = dict(LABELS)
    kept = relabel(labels, [RelabelRule.model_validate(rule)])
    assert kept == (changes is not None)
    if changes is not None:
        assert labels == {k: v for k, v in {**LABELS, **changes}.items() if v}


def test_rules_apply_in_order_until_one_drops() -> None:
    """A later rule sees what an earlier one did, and nothing runs after a drop."""
    rules = [
        RelabelRule.model_validate({"source_labels": ["a"], "target_label": "d"}),
        RelabelRule.model_validate({"source_labels": ["d"], "regex": "foo", "action": "drop"}),
        RelabelRule.model_validate({"target_label": "e", "replacement": "never"}),
    ]
    labels = dict(LABELS)
    assert not relabel(labels, rules)
    assert "e" not in labels


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no modulus": ({"action": "hashmod", "target_label": "a"}, "modulus"),
    "no target": ({"action": "replace", "source_labels": ["a"]}, "target_label"),
    "bad target": ({"target_label": "a-b"}, "cannot be a target_label"),
    "template where none may be": ({"action": "lowercase", "target_label": "${3}"}, "cannot be a target_label"),
    "labelmap replacement": ({"action": "labelmap", "regex": "f(.*)", "replacement": "-$1"}, "replacement of action"),
    "labeldrop with more": ({"action": "labeldrop", "regex": "a", "target_label": "b"}, "takes no target_label"),
    "keepequal with regex": ({"action": "keepequal", "target_label": "b", "regex": "x"}, "takes no regex"),
    "action": ({"action": "rename"}, "Input should be"),
    "regex": ({"target_label": "a", "regex": "("}, "not an RE2 pattern"),
    "look-ahead": ({"target_label": "a", "regex": "(?=x)"}, "not an RE2 pattern"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_rule_that_cannot_be_is_refused(case: tuple[dict[str, Any], str]) -> None:
    """A rule Prometheus refuses is refused, with the reason."""
    rule, reason = case
    with pytest.raises(ValidationError, match=reason):
        RelabelRule.model_validate(rule)
