"""The notation of series in unit tests of rules; what promtool of Debian does not know yet is tested here."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerting.rules.group import STALE
from alerting.rules.testing.notation import read_metric, read_points, write_histogram
from alerting.rules.testing.report import exponent, go_duration
from alerting.rules.testing.run import run_file
from app.errors import BadQuery
from app.histogram import Histogram
from app.labels import METRIC_NAME


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1 2.5 -3", [1.0, 2.5, -3.0]),
        ("1x2", [1.0, 1.0, 1.0]),
        ("1+2x3", [1.0, 3.0, 5.0, 7.0]),
        ("-2-1x1 _x2 _", [-2.0, -3.0, None, None, None]),
        ("1e3 .5 5. 0x5", [1000.0, 0.5, 5.0, *[0.0] * 6]),
        ("", []),
    ],
)
def test_points(text: str, points: list[float | None]) -> None:
    """Numbers, sequences, gaps; x is no hexadecimal number."""
    assert read_points(text) == points


def test_words() -> None:
    """Stale markers, and numbers that are none."""
    stale, nan, infinite = read_points("stale NaN -Inf")
    assert isinstance(stale, float)
    assert str(stale) == str(STALE) == str(nan) == "nan"
    assert infinite == -float("inf")


@pytest.mark.parametrize(
    "text", ["1y", "stalex2", "NaNx2", "1+2", "1++2x3", "x3", "{{schema:x}}", "{{scheme:1}}", "0x"]
)
def test_what_is_no_point_is_named(text: str) -> None:
    """The item, as it stands there."""
    with pytest.raises(BadQuery):
        read_points(f"1 {text} 2")


@pytest.mark.parametrize("text", ['m{a=~"b"}', "m[5m]", "m offset 5m", "sum(m)", "m{"])
def test_what_is_no_series(text: str) -> None:
    """A selector that says more than one label set, and what is no selector."""
    with pytest.raises(BadQuery):
        read_metric(text)


def test_series() -> None:
    """A name, labels, both, neither."""
    assert read_metric("m") == ((METRIC_NAME, "m"),)
    assert read_metric('m{b="1", a="2"}') == ((METRIC_NAME, "m"), ("a", "2"), ("b", "1"))
    assert read_metric('{a="2"}') == (("a", "2"),)
    assert read_metric("{}") == ()


@pytest.mark.parametrize(
    "text",
    [
        "{{count:3 sum:5 buckets:[1 2]}}",
        "{{schema:2 count:4 sum:-5.5 z_bucket:1 z_bucket_w:0.001 offset:-3 buckets:[1 0 2] n_offset:2 n_buckets:[3]}}",
        "{{schema:-53 count:3 sum:5 custom_values:[5 10] buckets:[1 2]}}",
        "{{count:3 sum:5 counter_reset_hint:gauge buckets:[1 2]}}",
        "{{}}",
    ],
)
def test_histograms_are_read_and_written(text: str) -> None:
    """Each in its own form again."""
    (found,) = read_points(text)
    assert isinstance(found, Histogram)
    assert write_histogram(found) == text


def test_histograms_in_sequences() -> None:
    """Repeated, added up, taken away."""
    found = read_points("{{count:1 sum:1 buckets:[1]}}+{{count:2 sum:3 buckets:[2]}}x2 {{count:1}}x1")
    assert [(h.count, h.sum) for h in found if isinstance(h, Histogram)] == [(1, 1), (3, 4), (5, 7), (1, 0), (1, 0)]


HISTOGRAMS = """
rule_files: [rules.yml]
evaluation_interval: 1m
fuzzy_compare: true
tests:
  - name: native histograms
    interval: 1m
    start_timestamp: '2026-01-01T00:00:00Z'
    input_series:
      - {series: 'h{job="a"}', values: '{{count:2 sum:4 buckets:[1 1]}}+{{count:2 sum:4 buckets:[1 1]}}x9'}
      - {series: c, values: 0+0.1x9}
    alert_rule_test:
      - eval_time: 2m
        alertname: Many
        exp_alerts:
          - exp_labels: {job: a}
            exp_annotations: {of: '{count:6, sum:12, (0.5,1]:3, (1,2]:3}', at: '1767225720'}
    promql_expr_test:
      - expr: sum(r:h)
        eval_time: 3m
        exp_samples: [{labels: '{}', histogram: '{{count:8 sum:16 counter_reset_hint:not_reset buckets:[4 4]}}'}]
      - {expr: 'histogram_quantile(0.5, h)', eval_time: 3m, exp_samples: [{labels: '{job="a"}', value: 1}]}
      - {expr: time(), eval_time: 1m, exp_samples: [{labels: '{}', value: 1767225660}]}
      - {expr: c, eval_time: 3m, exp_samples: [{labels: c, value: 0.3}]}
"""
RULES = """
groups:
  - name: g
    rules:
      - {record: 'r:h', expr: h}
      - alert: Many
        expr: h and histogram_count(h) > 5
        annotations:
          of: '{{ $value }}'
          at: '{{ with query "time()" }}{{ . | first | value | printf "%.0f" }}{{ end }}'
"""


def test_what_newer_versions_of_promtool_know(tmp_path: Path) -> None:
    """Histograms in series, samples, annotations and recorded series; `start_timestamp`; `fuzzy_compare`."""
    (tmp_path / "rules.yml").write_text(RULES)
    path = tmp_path / "test.yml"
    path.write_text(HISTOGRAMS)
    assert run_file(path).errors == []
    path.write_text(HISTOGRAMS.replace("fuzzy_compare: true", "fuzzy_compare: false").replace("[4 4]", "[4 5]"))
    told = "\n".join(run_file(path).errors)
    assert "got: {} {{count:8 sum:16 counter_reset_hint:not_reset buckets:[4 4]}}" in told
    assert 'exp: {__name__="c"} 3E-01' in told


def test_numbers_and_durations_as_go_writes_them() -> None:
    """FormatFloat(v, 'E', -1, 64) and Duration.String()."""
    numbers = (0.0, -1.5, 1e21, 2.5e-7, float("inf"), 123456.0)
    assert [exponent(v) for v in numbers] == ["0E+00", "-1.5E+00", "1E+21", "2.5E-07", "+Inf", "1.23456E+05"]
    spans = (0, 500, 90_000, 3_600_000, 1_500)
    assert [go_duration(ms) for ms in spans] == ["0s", "500ms", "1m30s", "1h0m0s", "1.5s"]
