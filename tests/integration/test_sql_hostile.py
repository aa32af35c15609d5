"""Nothing that a query says reaches the text of a statement: it travels as parameters."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import QueryError
from app.query.logql.engine import LogQLEngine
from app.query.promql.browse import SeriesBrowser, Span
from app.query.promql.engine import PromQLEngine
from app.query.promql.parse import parse_selector
from app.store.client import Pool
from tests.integration.promql_world import put, series

MARK = "zqx"
"""Is in every text a query is made with, and in no statement of ours."""
T0 = 1_790_000_000_000
_metrics = itertools.count()
texts = st.text("'\"\\`;(){}[]|%-/*\n\0é= ,x", max_size=12).map(lambda text: MARK + text)
PROMQL = (
    "{__name__=%s}",
    "m{%s=%s}",
    "m{%s!=%s}",
    "rate(m{a!~%s}[5m])",
    "sum by (%s) (m{a=%s})",
    "sum without (%s) (rate({__name__=%s}[5m]))",
    "count_values(%s, m)",
    "label_replace(m, %s, %s, %s, %s)",
    "label_join(m, %s, %s, %s)",
    "topk(2, {%s=%s} offset 1m)",
    "quantile_over_time(0.5, {a=%s}[5m])",
    "m * on (%s) group_left (%s) m",
    "info(m, {%s=%s})",
    "absent({a=%s})",
)
LOGQL = (
    '{a="b"} |= %s',
    '{a="b"} != %s or %s',
    "{a=%s}",
    '{a="b"} |~ %s',
    '{a="b"} |> %s',
    '{a="b"} | json zqx=%s',
    '{a="b"} | json | zqx=%s',
    '{a="b"} | logfmt zqx=%s | zqx!=%s',
    '{a="b"} | regexp "(?P<zqx>.)" | zqx=~%s',
    '{a="b"} | pattern "<zqx>/" | drop zqx, b=%s',
    '{a="b"} | label_format zqx=%s',
    'sum by (zqx) (count_over_time({a="b"} | json | zqx=%s [5m]))',
    'sum by (zqx) (rate({a="b"} | json | unwrap zqx [5m]))',
    'label_replace(rate({a="b"}[5m]), "zqx", %s, "a", %s)',
)


@pytest.fixture
def statements(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that is sent to the store."""
    put(embedded_pool, {series("m", a="1"): [(T0 + i * 15_000, float(i)) for i in range(20)]})
    sent: list[str] = []
    real = Pool.raw_query

    def noting(self: Pool, sql: str, *args: Any, **kwargs: Any) -> bytes:
        sent.append(sql)
        return real(self, sql, *args, **kwargs)

    monkeypatch.setattr(Pool, "raw_query", noting)
    return sent


def filled(form: str, given_texts: list[str]) -> str:
    """The query of a form, with quoted texts."""
    # a quoted name is a name in PromQL; JSON's escapes are Go's for these characters
    return form % tuple(json.dumps(text, ensure_ascii=False).replace("\\u0000", "\\x00") for text in given_texts)


def refusal_of(ask: Callable[[], object]) -> str:
    """Why a query is not answered; empty when it is."""
    try:
        ask()
    except QueryError as error:
        return str(error)
    return ""


some_texts = st.lists(texts, min_size=4, max_size=4)
once_a_pool = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("way", ["compiled", "engine", "arrays"])
@once_a_pool
@given(form=st.sampled_from(PROMQL), given_texts=some_texts)
def test_promql(embedded_pool: Pool, statements: list[str], way: str, form: str, given_texts: list[str]) -> None:
    """On every way a query can be answered: selectors, groupings, label functions, names in quotes."""
    engine = PromQLEngine(embedded_pool, Limits(), push_down=way != "arrays", compiled=way == "compiled")
    query = filled(form, given_texts[: form.count("%s")])
    refusal = refusal_of(lambda: engine.range(query, T0, T0 + 300_000, 15_000))
    assert "store cannot answer" not in refusal
    assert statements or refusal
    assert not [sql for sql in statements if MARK in sql]


@once_a_pool
@given(form=st.sampled_from(LOGQL), given_texts=some_texts)
def test_logql(embedded_pool: Pool, statements: list[str], form: str, given_texts: list[str]) -> None:
    """Line filters, parsers, label filters, formats, and what aggregations are by."""
    engine = LogQLEngine(embedded_pool, Limits())
    query = filled(form, given_texts[: form.count("%s")])
    refusal = refusal_of(lambda: engine.range(query, T0 * 1_000_000, (T0 + 300_000) * 1_000_000, step_ms=60_000))
    assert "store cannot answer" not in refusal
    assert statements or refusal
    assert not [sql for sql in statements if MARK in sql]


@once_a_pool
@given(name=texts, value=texts)
def test_browsing(embedded_pool: Pool, statements: list[str], name: str, value: str) -> None:
    """Series, names and values of labels, by any selector."""
    browser = SeriesBrowser(embedded_pool, Limits())
    try:
        selector = parse_selector(filled("{%s=%s}", [name, value]))
    except QueryError:
        return
    browser.series([selector], Span(), 10)
    browser.label_names([selector], Span(), 10)
    browser.label_values(name, [selector], Span(), 10)
    assert statements
    assert not [sql for sql in statements if MARK in sql]


@once_a_pool
@given(value=texts)
def test_a_hostile_value_selects_its_series_alone(embedded_pool: Pool, value: str) -> None:
    """What was stored under a text is found by that text, and by no other."""
    # of its own: all examples are in one store, and one may have stored what another is about
    name = f"hostile_{next(_metrics)}"
    put(embedded_pool, {series(name, a=value): [(T0, 1.0)], series(name, a=value + "x"): [(T0, 2.0)]})
    engine = PromQLEngine(embedded_pool, Limits())
    for form in ("%s{a=%%s}", "sum by (a) (%s{a=%%s})"):
        result = engine.instant(filled(form % name, [value]), T0)
        assert [dict(labels)["a"] for labels in result.labels] == [value]
        assert result.values.tolist() == [[1.0]]
