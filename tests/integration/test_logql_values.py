"""Labels read as numbers, durations and sizes: compared, and made samples, as a plain model of Go reads them."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import operator
import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.query.logql.engine import LogQLEngine
from app.query.logql.stages.label_filter import Both, Either, Predicate, TextPredicate, Unit, ValuePredicate
from app.query.result import QueryResult
from app.store.client import Pool
from tests.integration import logql_models as models
from tests.integration.logql_world import T, clear, lines, put
from tests.unit.logql_trees import PREDICATES

MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
READ: dict[Unit, Callable[[str], float | None]] = {
    "number": models.number,
    "duration": models.duration_ns,
    "bytes": models.size,
}
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
DIGITS = st.one_of(
    st.integers(0, 10**20).map(str),
    st.floats(0, 1e300).map(repr),
    st.from_regex(r"[0-9]{0,3}\.?[0-9]{0,3}", fullmatch=True),
)
VALUES = st.one_of(
    st.builds(
        lambda sign, n, unit: sign + n + unit,
        st.sampled_from(["", "", "-", "+"]),
        DIGITS,
        st.sampled_from(
            ["", "", "s", "ms", "h", "µs", "d", "KB", "kib", " MB", "B", "EB", "XB", "e3", "E-2", "m5s", "h1.5m", ","]
        ),
    ),
    st.sampled_from(
        ["", "Inf", "-inf", "+Infinity", "NaN", "nan", "1e400", "1,024", "1,0KB", "0", "-0", "1h30m0.5s", "--1s"]
    ),
    st.text(st.sampled_from("0123456789.eE+-smh"), max_size=6),
)


def _logfmt(value: str) -> str:
    return f'v="{value}"'


@pytest.mark.parametrize("unit", READ)
def test_comparisons(embedded_pool: Pool, unit: Unit) -> None:
    """A line is kept where its label compares so, left out where it has none, and marked where it cannot be read."""

    @MANY
    @given(st.lists(VALUES, min_size=1, max_size=40), st.sampled_from(list(COMPARE)), st.data())
    def holds(values: list[str], op: str, data: st.DataObject) -> None:
        read = [x for v in values if (x := READ[unit](v)) is not None and math.isfinite(x) and x == abs(x) < 2**62]
        wanted = data.draw(st.sampled_from([*read, 0.0, 1000.0]))
        wanted = wanted if unit == "number" else float(int(wanted))
        predicate = ValuePredicate("v", op, wanted, unit)
        clear(embedded_pool)
        put(embedded_pool, ["other=1", *map(_logfmt, values)])
        found = lines(LogQLEngine(embedded_pool, Limits()), f'{{app="x"}} | logfmt | {predicate}')
        kept = []
        for value in values:
            number = READ[unit](value)
            if value and (number is None or COMPARE[op](number, predicate.value)):
                kept.append((_logfmt(value), number is None))
        assert [(line.text, line.parsed.get("__error__") == "LabelFilterErr") for line in found] == kept

    holds()


@pytest.mark.parametrize(("function", "unit"), [("{}", "number"), ("duration({})", "duration"), ("bytes({})", "bytes")])
def test_samples(embedded_pool: Pool, function: str, unit: Unit) -> None:
    """`unwrap` makes a sample of each label that can be read; the others are errors that a filter may leave out."""

    @MANY
    @given(st.lists(VALUES, min_size=1, max_size=40))
    def holds(values: list[str]) -> None:
        clear(embedded_pool)
        put(embedded_pool, list(map(_logfmt, values)), step_ns=10**9)
        unwrap = f'unwrap {function.format("v")} | __error__=""'
        query = f'last_over_time({{app="x"}} | logfmt | {unwrap} [1s])'
        end = T + (len(values) - 1) * 10**9
        result = LogQLEngine(embedded_pool, Limits()).range(query, T, end, step_ms=1000)
        assert isinstance(result, QueryResult)
        found = dict(zip(*(a.tolist() for a in result.series(0)), strict=True)) if result.labels else {}
        wanted = {
            T // 10**6 + i * 1000: number for i, v in enumerate(values) if v and (number := READ[unit](v)) is not None
        }
        assert set(found) == set(wanted)
        for at, number in wanted.items():
            value = number / 1e9 if unit == "duration" else number
            assert found[at] == value or math.isclose(found[at], value, rel_tol=1e-15) or math.isnan(value)

    holds()


def _kept(predicate: Predicate, labels: dict[str, str], errors: list[str]) -> bool:
    match predicate:
        case TextPredicate():
            return predicate.matcher.matches(labels.get(predicate.matcher.name, ""))
        case ValuePredicate():
            if predicate.name not in labels:
                return False
            number = READ[predicate.unit](labels[predicate.name])
            if number is None:
                errors.append(predicate.name)
                return True
            return COMPARE[predicate.op](number, predicate.value)
        case Both():
            left = _kept(predicate.left, labels, errors)
            return _kept(predicate.right, labels, errors) and left
        case Either():
            return _kept(predicate.left, labels, errors) or _kept(predicate.right, labels, errors)
    raise AssertionError(predicate)


def _renamed(predicate: Predicate, names: list[str]) -> Predicate:
    """The same with labels that lines have."""
    match predicate:
        case TextPredicate():
            matcher = predicate.matcher
            return TextPredicate(type(matcher)(names[len(matcher.name) % 3], matcher.op, matcher.value))
        case ValuePredicate():
            return ValuePredicate(names[len(predicate.name) % 3], predicate.op, predicate.value, predicate.unit)
        case Both() | Either():
            return type(predicate)(_renamed(predicate.left, names), _renamed(predicate.right, names))
    raise AssertionError(predicate)


def test_and_and_or(embedded_pool: Pool) -> None:
    """`and` looks at both sides, `or` at the right one only where the left one does not hold; so are errors made."""
    values = st.sampled_from(["", "1", "5s", "20MB", "a", "b", "x7", "-3"])
    rows = st.lists(st.fixed_dictionaries({"a": values, "b": values, "c": values}), min_size=1, max_size=30)

    @MANY
    @given(rows, PREDICATES)
    def holds(rows: list[dict[str, str]], random: Predicate) -> None:
        predicate = _renamed(random, ["a", "b", "c"])
        texts = [" ".join(f"{k}={v}" for k, v in row.items() if v) or "none" for row in rows]
        clear(embedded_pool)
        put(embedded_pool, texts)
        found = lines(LogQLEngine(embedded_pool, Limits()), f'{{app="x"}} | logfmt | {predicate}')
        wanted = []
        for text, row in zip(texts, rows, strict=True):
            errors: list[str] = []
            if _kept(predicate, {k: v for k, v in row.items() if v}, errors):
                wanted.append((text, bool(errors)))
        assert [(line.text, "__error__" in line.parsed) for line in found] == wanted

    holds()


def _in_text(text: str, expression: str, first: str, last: str) -> bool:
    for candidate in re.findall(expression, text):
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(candidate)
            if int(ipaddress.ip_address(first)) <= int(address) <= int(ipaddress.ip_address(last)):
                return True
    return False


def test_addresses(embedded_pool: Pool) -> None:
    """A line or a label has an address of a network, a range or one alone, wherever in its text."""
    networks = {
        "10.0.0.0/30": ("10.0.0.0", "10.0.0.3"),
        "10.0.0.2-10.0.1.1": ("10.0.0.2", "10.0.1.1"),
        "10.0.0.9": ("10.0.0.9", "10.0.0.9"),
        "2001:db8::/126": ("2001:db8::", "2001:db8::3"),
        "::1": ("::1", "::1"),
    }
    four = st.builds("10.0.{}.{}".format, st.integers(0, 1), st.integers(0, 11))
    six = st.one_of(st.integers(0, 5).map("2001:db8::{:x}".format), st.sampled_from(["::1", "::2", "12:30:45"]))
    around = st.sampled_from(["", " ", "from ", ",", "=", "x", "(", ")", "/24", ":80", "é", "1.2.3", "."])
    texts = st.builds("".join, st.lists(st.one_of(four, six, around, around), max_size=5))

    @MANY
    @given(st.lists(texts, min_size=1, max_size=40), st.sampled_from(list(networks)))
    def holds(texts: list[str], pattern: str) -> None:
        first, last = networks[pattern]
        expression = r"[0-9][0-9.]{6,}" if "." in first else r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*"
        clear(embedded_pool)
        put(embedded_pool, texts)
        engine = LogQLEngine(embedded_pool, Limits())
        inside = [_in_text(text, expression, first, last) for text in texts]
        for query, wanted in (
            (f'{{app="x"}} |= ip("{pattern}")', inside),
            (f'{{app="x"}} != ip("{pattern}")', [not i for i in inside]),
            (f'{{app="x"}} | regexp `(?P<all>(?s).*)` | all = ip("{pattern}")', inside),
            (f'{{app="x"}} | regexp `(?P<all>(?s).*)` | all != ip("{pattern}") | none != ip("::1")', []),
        ):
            kept = [text for text, keep in zip(texts, wanted, strict=True) if keep] if wanted else []
            assert [line.text for line in lines(engine, query)] == kept, query

    holds()
