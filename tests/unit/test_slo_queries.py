"""SLI queries: the window filled in, speeds made counts, and what cannot be counted refused."""

from __future__ import annotations

import pytest

from slo.queries import SliQueryError, check_query, fill_logql, fill_window, filled
from slo.spec import Query


@pytest.mark.parametrize(
    ("query", "counted"),
    [
        (
            'sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))',
            'sum(increase_exact(http_requests_total{code=~"5.."}[1m]))',
        ),
        ("sum(increase(x[{{ .window }}])) by (a)", "sum by (a) (increase_exact(x[1m]))"),
        (
            '(sum(rate(d_count[{{.window}}])) - sum(rate(d_bucket{le="0.4"}[{{.window}}])))',
            '(sum(increase_exact(d_count[1m])) - sum(increase_exact(d_bucket{le="0.4"}[1m])))',
        ),
        ("sum(rate(x[{{.window}}])) or vector(0)", "sum(increase_exact(x[1m])) or vector(0)"),
        ("sum(rate(x[{{.window}}] offset 5m)) * 2", "sum(increase_exact(x[1m] offset 5m)) * 2"),
        (r"sum(rate(x{a=~`5\d`}[{{.window}}]))", r'sum(increase_exact(x{a=~"5\\d"}[1m]))'),
        ("sum(count_over_time(up[{{.window}}]))", "sum(count_over_time(up[1m]))"),
        ("sum(sum_over_time((up == bool 0)[{{.window}}:15s]))", "sum(sum_over_time((up == bool 0)[1m:15s]))"),
    ],
)
def test_speeds_become_counts(query: str, counted: str | None) -> None:
    """rate and increase over the window become the exact increase, wherever they stand; nothing else changes."""
    check_query(Query(query), events=True)
    if counted is not None:
        assert fill_window(query, 60_000, events=True) == counted


def test_a_ratio_keeps_its_unit() -> None:
    """In a ready-made ratio a speed stays one by the second, exact; of lines it is exact as it is."""
    lines = Query('sum(rate({app="x"} |= "a" [{{.window}}])) / sum(rate({app="x"} [{{.window}}]))', "logql")
    assert filled(lines, 30_000, events=False).replace("`", '"') == (
        '(sum (rate({app="x"} |= "a" [30s])) / sum (rate({app="x"} [30s])))'
    )
    ratio = Query("sum(rate(bad[{{.window}}])) / sum(increase(all[{{.window}}]))")
    assert filled(ratio, 30_000, events=False) == "sum((increase_exact(bad[30s]) / 30)) / sum(increase_exact(all[30s]))"


def test_a_value_needs_no_window() -> None:
    """What is measured at the end of an interval may be any expression, with fixed ranges in it."""
    check_query(Query("max(rate(x[5m])) + y"), events=False)
    check_query(Query('max_over_time({app="a"} | unwrap x [5m])', "logql"), events=False)


@pytest.mark.parametrize(
    ("query", "counted"),
    [
        ('sum(rate({app="x"} |= "error" [{{.window}}]))', 'sum (count_over_time({app="x"} |= "error" [1m]))'),
        ('sum by (a) (bytes_rate({app="x"}[{{.window}}]))', 'sum by (a) (bytes_over_time({app="x"} [1m]))'),
        (
            'sum(rate({app="x"} | json | unwrap n [{{ .window }}]))',
            'sum (sum_over_time({app="x"} | json | unwrap n [1m]))',
        ),
        (
            'sum(count_over_time({app="x"}[{{.window}}])) - sum(rate({app="x"} |= "ok" [{{.window}}]))',
            '(sum (count_over_time({app="x"} [1m])) - sum (count_over_time({app="x"} |= "ok" [1m])))',
        ),
        (
            'sum(count_over_time({app="x"} | line_format "{{.msg}}" |= "a" [{{.window}}]))',
            'sum (count_over_time({app="x"} | line_format "{{.msg}}" |= "a" [1m]))',
        ),
    ],
)
def test_lines_of_logs_are_counted(query: str, counted: str) -> None:
    """Speeds of lines, bytes and unwrapped values become what they are speeds of."""
    assert fill_logql(query, 60_000, events=True).replace("`", '"') == counted


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('sum(rate({app="x"}[5m])) + sum(rate({app="x"}[{{.window}}]))', "over a fixed range"),
        ('sum(count_over_time({app="x"}[5m])) + sum(rate({app="x"}[{{.window}}]))', "over a fixed range"),
        ('sum(rate({app="x"} | unwrap n [5m])) + sum(rate({app="x"}[{{.window}}]))', "over a fixed range"),
        ('sum(rates({app="x"}[{{.window}}]))', "rates"),
        ('{app="x"} |= "{{.window}}"', "gives lines and no numbers"),
        ('sum(rate({app="x"}[{{.window}}])', "1"),
        ('sum(rate_counter({app="x"} | unwrap n [{{.window}}]))', "rate_counter cannot be counted"),
    ],
)
def test_logs_that_cannot_be_counted_are_refused(query: str, message: str) -> None:
    """The reason names what is wrong."""
    with pytest.raises(SliQueryError) as caught:
        check_query(Query(query, "logql"), events=True)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sum(rate(x[5m]))", "must use {{.window}}"),
        ("sum(rate(x[{{.window}}])", "parenthesis"),
        ("sum(rate(x[{{.window}}])) + {{.other}}", "only {{.window}} is filled in"),
        ("sum(irate(x[{{.window}}]))", "irate"),
        ("sum(rate(x[{{.window}}])) + sum(rate(x[5m]))", "fixed range"),
        ("sum(rate(sum(x)[{{.window}}:1m]))", "subquery"),
        ("x[{{.window}}]", "gives no numbers"),
        ("rate(x[{{.window}}]) </ 5", "cannot be written anew"),
        ("info(rate(x[{{.window}}]), {})", "cannot be written anew"),
        (r"rate(x{a=~`[[]`}[{{.window}}])", "illegal regex"),
        ("sum(rates(x[{{.window}}]))", "rates"),
        ("sum(rate(x[{{.window}}])) and on(a) holt_winters(x[5m], 1, 1)", "holt_winters"),
    ],
)
def test_what_cannot_be_counted_is_refused(query: str, message: str) -> None:
    """The reason names what is wrong."""
    with pytest.raises(SliQueryError) as caught:
        check_query(Query(query), events=True)
    assert message in str(caught.value)
