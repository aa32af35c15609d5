"""Native histograms: their algebra, resets between them, and what they say about their observations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram
from app.query.promql.histograms.arithmetic import IncompatibleBuckets, Sum, divided, is_reset, multiplied, same
from app.query.promql.histograms.bounds import spread, upper_bounds
from app.query.promql.histograms.hints import hinted
from app.query.promql.histograms.layout import compact
from app.query.promql.histograms.shape import fraction, quantile, variance
from app.query.promql.histograms.text import text_of
from app.query.promql.histograms.totals import mean, total
from app.query.promql.histograms.trim import trimmed
from app.query.vector import no_histograms


def buckets(counts: dict[int, float]) -> Buckets:
    """Buckets by number."""
    return Buckets(np.array(sorted(counts), np.int32), np.array([counts[i] for i in sorted(counts)], np.float64))


def exponential(counts: dict[int, float], schema: int = 0, zero: float = 0, threshold: float = 0.0) -> Histogram:
    """A histogram of positive buckets; its sum is its count."""
    count = sum(counts.values()) + zero
    return Histogram(schema, count, count, threshold, zero, buckets(counts))


def custom(bounds: tuple[float, ...], counts: dict[int, float]) -> Histogram:
    """A histogram with bounds of its own."""
    count = sum(counts.values())
    return Histogram(CUSTOM_BUCKETS_SCHEMA, count, count, positive=buckets(counts), custom_values=bounds)


def added(a: Histogram, b: Histogram, sign: float = 1.0) -> Histogram:
    """a + b, or a - b."""
    result = Sum(a)
    result.add(b, sign)
    return result.histogram()


def test_bounds() -> None:
    """Buckets grow by 2^(2^-schema); the last ends at the largest number, and infinities are behind it."""
    assert upper_bounds(0, np.array([-1, 0, 1, 1024, 1025], np.int32)).tolist() == [
        0.5,
        1.0,
        2.0,
        float(np.finfo(np.float64).max),
        math.inf,
    ]
    assert upper_bounds(-2, np.array([1, 2], np.int32)).tolist() == [16.0, 256.0]
    # the value in every implementation, one unit in the last place below the square root of 2
    assert upper_bounds(1, np.array([1], np.int32)).tolist() == [1.414213562373095]
    assert upper_bounds(CUSTOM_BUCKETS_SCHEMA, np.array([0, 1, 2], np.int32), (1.0, 5.0)).tolist() == [1, 5, math.inf]


def test_text_names_every_bucket_that_is_not_empty() -> None:
    """Buckets come from the lowest, with the ends that belong to them."""
    h = Histogram(0, 9, 1.5e7, 0.001, 2, buckets({0: 3, 1: 0, 2: 1}), buckets({1: 3}))
    assert text_of(h) == "{count:9, sum:1.5e+07, [-2,-1):3, [-0.001,0.001]:2, (0.5,1]:3, (2,4]:1}"
    overlapping = exponential({-1: 2}, zero=1, threshold=0.3)
    assert text_of(overlapping) == "{count:3, sum:3, [-0.3,0.3]:1, (0.25,0.5]:2}"
    assert spread(overlapping).lower.tolist() == [-0.3, 0.3]
    assert text_of(custom((5.0,), {0: 1, 1: 2})) == "{count:3, sum:3, [-Inf,5]:1, (5,+Inf]:2}"


@given(
    st.integers(-2, 4),
    st.integers(-2, 4),
    *[st.dictionaries(st.integers(-20, 20), st.integers(1, 1000).map(float), max_size=8)] * 2,
)
def test_a_sum_has_the_observations_of_both_at_the_lower_resolution(
    schema_a: int, schema_b: int, counts_a: dict[int, float], counts_b: dict[int, float]
) -> None:
    """No observation is lost, whichever side is finer; a difference gives the first back."""
    a, b = exponential(counts_a, schema_a), exponential(counts_b, schema_b)
    result = added(a, b)
    assert result.schema == min(schema_a, schema_b)
    assert result.count == a.count + b.count == result.positive.count.sum()
    assert same(result, added(b, a))
    expected: dict[int, float] = {}
    for counts, schema in ((counts_a, schema_a), (counts_b, schema_b)):
        for index, count in counts.items():
            wide = math.ceil(index / 2 ** (schema - result.schema))
            expected[wide] = expected.get(wide, 0.0) + count
    assert same(result, Histogram(result.schema, result.count, result.sum, positive=buckets(expected)))
    if schema_a <= schema_b:
        assert same(added(result, b, -1.0), a)


def test_zero_buckets_are_widened_to_a_bucket_boundary() -> None:
    """A threshold inside a populated bucket takes the whole bucket; buckets within the zero bucket go into it."""
    narrow = exponential({-3: 1, 0: 2, 1: 4}, zero=1, threshold=0.01)
    wide = exponential({1: 1}, zero=5, threshold=0.75)
    result = added(narrow, wide)
    assert (result.zero_threshold, result.zero_count) == (1.0, 9.0)
    assert compact(result).positive.index.tolist() == [1]
    assert result.positive.count.sum() + result.zero_count == narrow.count + wide.count
    assert same(result, added(wide, narrow))


def test_custom_bounds_are_reduced_to_those_both_have() -> None:
    """Buckets between shared bounds are merged; without any, all is in one bucket."""
    a, b = custom((1.0, 2.0, 5.0), {0: 1, 1: 2, 2: 3, 3: 4}), custom((2.0, 3.0, 5.0), {0: 10, 1: 20, 3: 40})
    total_ = Sum(a)
    total_.add(b)
    result = total_.histogram()
    assert total_.reconciled
    assert (result.custom_values, result.positive.count.tolist()) == ((2.0, 5.0), [13.0, 23.0, 44.0])
    assert added(a, custom((9.0,), {0: 1})).custom_values == ()
    with pytest.raises(IncompatibleBuckets):
        added(a, exponential({0: 1}))


def test_sums_keep_what_additions_lose() -> None:
    """1e100 and its opposite leave the ones between them."""
    items = [exponential({0: v}) for v in (1.0, 1e100, 1.0, -1e100)]
    result = total(items).histogram()
    assert (result.count, result.sum, result.positive.count.tolist()) == (2.0, 2.0, [2.0])


def test_a_mean_does_not_overflow() -> None:
    """Where the sum would be infinite the mean is worked out step by step."""
    items = [exponential({0: 1.5e308}), exponential({0: 1e308}), exponential({0: 0.5e308})]
    with np.errstate(over="ignore"):
        found = mean(items).histogram()
    assert found.count == pytest.approx(1e308)
    assert found.positive.count.tolist() == pytest.approx([1e308])
    assert mean([exponential({0: 1}), exponential({0: 2})]).histogram().count == 1.5


@pytest.mark.parametrize(
    ("before", "now", "reset"),
    [
        (exponential({0: 1, 1: 2}), exponential({0: 1, 1: 3}), False),
        (exponential({0: 1, 1: 2}), exponential({0: 1, 2: 9}), True),
        (exponential({0: 5}), exponential({0: 4, 1: 9}), True),
        (exponential({0: 5}), exponential({0: 4}), True),
        (exponential({0: 1, 1: 2}, schema=1), exponential({0: 1, 1: 3}), False),
        (exponential({0: 1}), exponential({0: 1}, schema=1), True),
        (exponential({}, zero=1, threshold=0.1), exponential({}, zero=1, threshold=0.01), True),
        (exponential({0: 2}, zero=1, threshold=0.1), exponential({}, zero=3, threshold=1.0), False),
        (exponential({0: 2}, zero=1, threshold=0.1), exponential({}, zero=3, threshold=0.7), True),
        (custom((1.0, 2.0), {0: 1, 1: 1}), custom((1.0, 3.0), {0: 1, 1: 5}), False),
        (custom((1.0, 2.0), {0: 3, 1: 1}), custom((1.0, 3.0), {0: 1, 1: 5}), True),
        (exponential({0: 1}), custom((1.0,), {0: 5}), True),
    ],
)
def test_resets(before: Histogram, now: Histogram, reset: bool) -> None:
    """A count that fell, or a layout that only a new start can have, is a reset."""
    assert is_reset(now, before) == reset


def test_multiples() -> None:
    """A negative factor makes a gauge; a division by zero leaves no buckets."""
    h = exponential({0: 2}, zero=1)
    assert (multiplied(h, 2.0).positive.count.tolist(), multiplied(h, 2.0).hint) == ([4.0], "unknown")
    assert multiplied(h, -1.0).hint == "gauge"
    with np.errstate(all="ignore"):
        nothing = divided(h, 0.0)
    assert (nothing.count, nothing.zero_count, len(nothing.positive.index)) == (math.inf, math.inf, 0)


def test_hints_come_from_the_sample_before() -> None:
    """A counter that goes on is `not_reset`; after a reset, a stale marker or another series nothing is known."""
    items = [exponential({0: v}) for v in (1, 2, 1, 3, 4, 1)]
    cells = no_histograms((len(items),))
    cells[:] = items
    stale = np.array([False, False, False, True, False, False])
    offsets, every = np.array([0, 5, 6], np.int64), np.arange(6)
    told = hinted(cells, offsets, stale, every, detect=False)
    assert [h.hint for h in told] == ["unknown", "not_reset", "unknown", "unknown", "unknown", "unknown"]
    assert hinted(cells, offsets, stale, every, detect=True)[2].hint == "reset"


@given(
    st.integers(-1, 3),
    st.dictionaries(st.integers(-5, 5), st.integers(1, 50).map(float), min_size=1, max_size=6),
    st.floats(0.05, 0.95),
)
def test_a_fraction_is_what_a_quantile_is_not(schema: int, counts: dict[int, float], q: float) -> None:
    """histogram_fraction(-Inf, histogram_quantile(q)) is q."""
    h = exponential(counts, schema)
    value, note = quantile(q, h)
    assert not note
    assert fraction(-math.inf, value, h)[0] == pytest.approx(q)
    assert spread(h).lower[0] <= value <= spread(h).upper[-1]


def test_nan_observations_are_told_of() -> None:
    """They are in the count and in no bucket, and the sum is NaN."""
    h = Histogram(0, 10, math.nan, positive=buckets({0: 8}))
    value, note = quantile(0.9, h)
    assert math.isnan(value)
    assert note == "input to histogram_quantile has NaN observations, result is NaN"
    assert quantile(0.5, h)[1].endswith("result is skewed higher")
    assert fraction(0.5, 1.0, h)[0] == pytest.approx(0.8)
    assert fraction(0.5, 1.0, h)[1].endswith("excluded from all fractions")


def test_variance_takes_observations_to_be_in_the_middle() -> None:
    """Geometric in exponential buckets, arithmetic in custom ones."""
    assert variance(exponential({1: 1, 3: 1})) == pytest.approx(((2**0.5 - 1) ** 2 + (2**2.5 - 1) ** 2) / 2)
    assert variance(custom((0.0, 2.0, 4.0), {1: 1, 2: 1})) == pytest.approx(((1 - 1) ** 2 + (3 - 1) ** 2) / 2)


def test_trims() -> None:
    """The bucket the value is in is divided; the count and the sum are worked out anew, if anything was cut off."""
    h = custom((1.0, 3.0), {0: 2, 1: 4})
    below, above = trimmed(h, 2.0, below=True), trimmed(h, 2.0, below=False)
    assert (below.count, below.positive.count.tolist()) == (4.0, [2.0, 2.0])
    assert (above.count, above.positive.count.tolist(), above.sum) == (2.0, [2.0], 5.0)
    assert trimmed(h, 9.0, below=True) is h
    e = exponential({1: 4, 2: 4})
    assert trimmed(e, 2**0.5, below=True).count == pytest.approx(2.0)
