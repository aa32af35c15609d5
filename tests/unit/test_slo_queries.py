"""SLI queries: the window filled in, speeds made counts, and what cannot be counted refused."""

from __future__ import annotations

import pytest

from slo.queries import SliQueryError, check_query, fill_logql, fill_window


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
    check_query(query, events=True)
    if counted is not None:
        assert fill_window(query, 60_000, events=True) == counted


def test_a_ratio_keeps_its_unit() -> None:
    """In a ready-made ratio a speed stays one by the second, exact."""
    ratio = "sum(rate(bad[{{.window}}])) / sum(increase(all[{{.window}}]))"
    filled = fill_window(ratio, 30_000, events=False)
    assert filled == "sum((increase_exact(bad[30s]) / 30)) / sum(increase_exact(all[30s]))"


def test_a_value_needs_no_window() -> None:
    """What is measured at the end of an interval may be any expression, fixed ranges among it."""
    check_query("max(rate(x[5m])) + y", events=False, window_required=False)
    check_query('max_over_time({app="a"} | unwrap x [5m])', events=False, language="logql", window_required=False)
    with pytest.raises(SliQueryError, match="must use"):
        check_query("y", events=False)


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
        check_query(query, events=True)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("query", "counted"),
    [
        ('sum(rate({app="a"} |= "x" [{{.window}}]))', 'sum (count_over_time({app="a"} |= "x" [1m]))'),
        ('sum by (h) (bytes_rate({app="a"}[{{.window}}]))', 'sum by (h) (bytes_over_time({app="a"} [1m]))'),
        (
            'sum(rate({app="a"} | logfmt | unwrap n [{{ .window }}]))',
            'sum (sum_over_time({app="a"} | logfmt | unwrap n [1m]))',
        ),
        (
            'sum(rate({app="a"}[ {{.window}} ] offset 5m)) - 2 * sum(count_over_time({app="b"}[{{.window}}]))',
            '(sum (count_over_time({app="a"} [1m] offset 5m)) - (2 * sum (count_over_time({app="b"} [1m]))))',
        ),
        (
            'sum(rate({app="a"} | line_format "{{.msg}}" [{{.window}}])) or vector(0)',
            '(sum (count_over_time({app="a"} | line_format "{{.msg}}" [1m])) or vector(0))',
        ),
    ],
)
def test_speeds_of_lines_become_counts(query: str, counted: str) -> None:
    """rate is the number of lines, bytes_rate that of bytes, rate of values their sum; templates stay."""
    check_query(query, events=True, language="logql")
    assert str(fill_logql(query, 60_000, events=True)) == counted


def test_a_ratio_of_lines_stays() -> None:
    """Speeds of lines are exact as they are, so a ready-made ratio keeps them."""
    query = 'sum(rate({app="a"} |= "x" [{{.window}}])) / sum(rate({app="a"} [{{.window}}]))'
    filled = '(sum (rate({app="a"} |= "x" [30s])) / sum (rate({app="a"} [30s])))'
    assert str(fill_logql(query, 30_000, events=False)) == filled


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('sum(rate({app="a"}[5m]))', "must use {{.window}}"),
        ('sum(rate({app="a"} |= "{{.window}}" [5m]))', "must use {{.window}}"),
        ('sum(rate({app="a"}[{{.window}}])) + sum(count_over_time({app="a"}[5m]))', "fixed range"),
        ('sum(rate_counter({app="a"} | unwrap n [{{.window}}]))', "extrapolated"),
        ('{app="a"}[{{.window}}]', "syntax error"),
        ('sum(rate({app="a"[{{.window}}]))', "syntax error"),
        ('sum(rates({app="a"}[{{.window}}]))', "rates"),
    ],
)
def test_logs_that_cannot_be_counted_are_refused(query: str, message: str) -> None:
    """The reason names what is wrong, as with PromQL."""
    with pytest.raises(SliQueryError) as caught:
        check_query(query, events=True, language="logql")
    assert message in str(caught.value)


def test_lines_are_no_numbers() -> None:
    """A query for lines counts nothing, and the reason says what does."""
    with pytest.raises(SliQueryError, match="gives lines and no numbers"):
        check_query('{app="a"}', events=False, language="logql", window_required=False)
