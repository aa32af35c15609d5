"""SLOs as series in the store: dashboards made for Sloth show them, with exact values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.telemetry import DROPPED
from ingest.derived import DerivedSeries
from ingest.writer import Writer
from slo.series import SloSeries
from tests.integration.slo_world import HOUR, MINUTE, NOW, SPEC, World

OF_SLO = '{sloth_service="shop", sloth_slo="availability"}'
DETAIL = {
    "burning": "slo:current_burn_rate:ratio > 1",
    "objective": f"slo:objective:ratio{OF_SLO}",
    "sli": f"1 - (max(slo:sli_error:ratio_rate5m{OF_SLO}) OR on() vector(0))",
    "info": f"sloth_slo_info{OF_SLO}",
    "burn": f"slo:current_burn_rate:ratio{OF_SLO} or on() vector(0)",
    "left": f"slo:period_error_budget_remaining:ratio{OF_SLO} or on() vector(1)",
    "heat": f"slo:current_burn_rate:ratio{OF_SLO} > 0",
    "ticket": 'max(ALERTS{sloth_service="shop", sloth_slo="availability", sloth_severity="ticket"}) OR on() vector(0)',
    "page": 'max(ALERTS{sloth_service="shop", sloth_slo="availability", sloth_severity="page"}) or on() vector(0)',
    "month": (
        f"1 - (sum_over_time((slo:sli_error:ratio_rate1h{OF_SLO} * on() group_left() (month() == bool vector(10)))"
        f"[32d:1h]) / on(sloth_id) (slo:error_budget:ratio{OF_SLO} * on() group_left() (24 * days_in_month())))"
    ),
}
"""What the panels of Sloth's dashboard 14348 ask for; that of a month by hours is from its fifth revision."""
OVERVIEW = {
    "slos": "count(sloth_slo_info)",
    "services": "count(max(sloth_slo_info) by (sloth_service))",
    "average": "avg(slo:current_burn_rate:ratio)",
    "tickets": 'max(ALERTS{sloth_id!="", sloth_severity="ticket"}) OR on() vector(0)',
    "pages": 'max(ALERTS{sloth_id!="", sloth_severity="page"}) OR on() vector(0)',
    "timeline": "slo:current_burn_rate:ratio",
    "budgets": "slo:period_error_budget_remaining:ratio",
}
"""What those of 14643 ask for."""
AT = NOW // HOUR * HOUR
"""A whole hour, at which the month by hours has a value."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")


@pytest.fixture
async def writer(embedded_pool: Pool) -> AsyncIterator[Writer]:
    """A started writer."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    yield writer
    await writer.stop()


async def written(pool: Pool, writer: Writer) -> PromQLEngine:
    """What queries answer after two cycles of an SLO that burnt unevenly for two hours."""
    world = World(pool, now_ms=AT)
    world.counted.span(AT - 2 * HOUR, AT - HOUR, 0, 900)
    world.counted.span(AT - HOUR, AT, 20, 100)
    engine = world.engine()
    engine._series = SloSeries(DerivedSeries(writer, "slo"), "1.0")
    await engine.cycle()
    world.now_ms += MINUTE
    world.counted.span(AT, AT + MINUTE, 20, 100)
    await engine.cycle()
    await engine.stop()
    await kept(writer)
    return PromQLEngine(pool, Limits())


async def kept(writer: Writer) -> None:
    """Returns when everything handed over before is in the store."""
    index = writer.series.current
    one = np.array([index.ref((("__name__", "last"),))], np.int32)
    DerivedSeries(writer, "slo").put(index, one, np.array([AT]), np.ones(1))
    while writer.waiting_rows:
        await asyncio.sleep(0)
    await writer.stop()


async def test_every_panel_of_sloths_dashboards_has_data(embedded_pool: Pool, writer: Writer) -> None:
    """Each query answers with a value, at a time at which nothing else is written."""
    promql = await written(embedded_pool, writer)
    queries = {**DETAIL, **OVERVIEW, **{w: f"max(slo:sli_error:ratio_rate{w}{OF_SLO})" for w in WINDOWS}}
    found = {name: promql.instant(query, AT + MINUTE + 5_000).values.ravel() for name, query in queries.items()}
    assert {name for name, values in found.items() if len(values) != 1 or not np.isfinite(values[0])} == set()
    assert (found["page"][0], found["pages"][0], found["slos"][0], found["services"][0]) == (1, 1, 1, 1)
    assert found["objective"][0] == 0.999
    assert (found["5m"][0], found["1h"][0]) == (0.2, 0.2)
    assert found["sli"][0] == 0.8
    assert found["burn"][0] == pytest.approx(200)
    # weighted by traffic: the mean of the ratios would be 0.1
    assert found["30d"][0] == 1220 / 60_100
    assert found["left"][0] == pytest.approx(1 - 1220 / 60_100 / 0.001)


async def test_sloths_variables_find_the_slo(embedded_pool: Pool, writer: Writer) -> None:
    """The values of labels that the dashboards choose from, and a sample for each cycle."""
    promql = await written(embedded_pool, writer)
    found = promql.instant("slo:objective:ratio", AT + MINUTE)
    assert [dict(labels) for labels in found.labels] == [
        {
            "__name__": "slo:objective:ratio",
            "sloth_id": "shop-availability",
            "sloth_service": "shop",
            "sloth_slo": SPEC.name,
        }
    ]
    count = promql.instant(f"count_over_time(slo:sli_error:ratio_rate5m{OF_SLO}[1h])", AT + MINUTE)
    assert count.values.ravel().tolist() == [2]


async def test_what_the_queue_has_no_room_for_is_counted_and_nothing_waits(embedded_pool: Pool) -> None:
    """The cycle goes on; the next one is tried again."""
    writer = Writer(embedded_pool, Limits(ingest_queue_rows=1000))
    await writer.start()
    before = DROPPED.labels("slo", "queue_full")._value.get()
    derived, index = DerivedSeries(writer, "slo"), writer.series.current
    refs = np.array([index.ref((("__name__", f"m{n}"),)) for n in range(900)], np.int32)
    for _ in range(2):
        derived.put(index, refs, np.full(900, AT), np.ones(900))
    assert DROPPED.labels("slo", "queue_full")._value.get() == before + 900
    await writer.stop()
    assert embedded_pool.command("SELECT count() FROM metric_samples") == 900
