"""Many SLIs counted at once: each has the counts it has alone, to the last bit."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import QueryLimit, WatchhouseError
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from slo.counting import Counter, Counts, Want
from slo.spec import EventsSli, Query, RatioSli, Sli, ThresholdSli
from tests.integration.promql_world import put, series

MINUTE = 60_000
T0 = 1_760_000_040_000 // MINUTE * MINUTE

numbers = st.one_of(st.integers(0, 50).map(float), st.floats(0, 1e6), st.just(0.1))
points = st.lists(st.tuples(st.integers(-400, 330), numbers), min_size=1, max_size=12).map(
    lambda found: sorted({at: (T0 + at * 1000, value) for at, value in found}.values())
)
stored = st.dictionaries(
    st.tuples(st.sampled_from(["m", "m", "n"]), st.sampled_from("abcdefgh"), st.sampled_from(["200", "500", "503"])),
    points,
    max_size=20,
)
summed = st.builds(
    'sum by (code) (rate({}{{job="{}",code=~"{}"}}[{{{{.window}}}}]))'.format,
    st.sampled_from(["m", "m", "n"]),
    st.sampled_from("abcdefghi"),
    st.sampled_from(["5..", "200|500", ".*"]),
)
queries = st.one_of(
    summed,
    summed.map(lambda query: query.replace("sum by (code)", "sum")),
    st.builds("({} or vector(0))".format, summed),
    st.builds("({} - {})".format, summed, summed),
).map(Query)
slis = st.one_of(
    st.builds(lambda total, part: EventsSli(part, total), queries, queries),
    st.builds(lambda total, part: EventsSli(None, total, part), queries, queries),
    st.builds(RatioSli, queries, st.sampled_from(["bad", "good"])),
    st.builds(ThresholdSli, queries, st.sampled_from(["lt", "gte"]), st.floats(0, 1)),
)
wanted = st.tuples(slis, st.sampled_from([(), ("code",)]), st.sampled_from([(0, 5), (0, 5), (-2, 3)]))


def shown(found: Counts | WatchhouseError) -> object:
    """Everything of an answer, numbers by their bits."""
    if isinstance(found, WatchhouseError):
        # how many groups or series there are too many of depends on the part of the time it was noticed in
        text = re.sub(r"gives \d+ series", "gives several series", str(found))
        return type(found), "" if isinstance(found, QueryLimit) else text
    return {
        group: (rows.starts_ms.tolist(), *(column.view(np.uint64).tolist() for column in (rows.good, rows.total)))
        for group, rows in found.items()
    }


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored, st.lists(wanted, min_size=1, max_size=30), st.sampled_from([2, 10_000]))
def test_all_together_is_each_alone(
    embedded_pool: Pool,
    data: dict[tuple[str, str, str], Sequence[tuple[int, float]]],
    asked: list[tuple[Sli, tuple[str, ...], tuple[int, int]]],
    max_points: int,
) -> None:
    """Whatever the series and specs; a wrong one, with several series or too many groups, costs no other."""
    for table in ("metric_samples", "metric_series"):
        embedded_pool.command(f"TRUNCATE TABLE {table}")
    if data:
        put(embedded_pool, {series(name, job=job, code=code): found for (name, job, code), found in data.items()})
    # enough of one kind that they are read together, whatever else is drawn
    usual = [EventsSli(None, Query(f'sum(rate(m{{job="{job}"}}[{{{{.window}}}}]))'), Query("up")) for job in "abcdefgh"]
    wants = [
        Want(sli, grouping, T0 + first * MINUTE, T0 + last * MINUTE)
        for sli, grouping, (first, last) in [*asked, *((sli, (), (0, 5)) for sli in usual)]
    ]
    promql, logql = PromQLEngine(embedded_pool, Limits()), LogQLEngine(embedded_pool, Limits())
    counter = Counter(promql, logql, MINUTE, max_points, max_groups=2)
    together = counter.count(wants)
    for want, found in zip(wants, together, strict=True):
        (alone,) = Counter(promql, logql, MINUTE, max_groups=2).count([want])
        assert shown(found) == shown(alone), want
