"""SLI queries: the window filled in, speeds made counts, and what cannot be counted refused."""

from __future__ import annotations

import pytest

from slo.queries import SliQueryError, check_query, fill_window, sli_queries
from slo.spec import EventsSli, RatioSli


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
    sli = RatioSli("sum(rate(bad[{{.window}}])) / sum(increase(all[{{.window}}]))")
    assert sli_queries(sli, 30_000) == ("sum((increase_exact(bad[30s]) / 30)) / sum(increase_exact(all[30s]))",)


def test_events_are_two_queries() -> None:
    """Errors come first, then the total."""
    sli = EventsSli("sum(rate(bad[{{.window}}]))", "sum(rate(all[{{.window}}]))")
    assert sli_queries(sli, 300_000) == ("sum(increase_exact(bad[5m]))", "sum(increase_exact(all[5m]))")


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
