"""Weeks of bad nights that a probe never saw: paged within the first bad minutes, once, and told when it is over.

Each night a service answers some requests with 500 between 05:00 and 06:29. A probe that tries again after a minute
always gets its answer in the end, and never alerts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from alerting.config import load_alertmanager
from alerting.manager.manager import AlertManager
from alerting.notify.build import build_notifiers
from alerting.standin import SlackStandin
from app.config import Limits
from app.labels import Labels, labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.metrics import SeriesRow, insert_samples, insert_series
from app.store.state import StateStore
from app.yamlfile import read_documents
from ingest.series import label_set_id
from slo.backtest import backtest
from slo.counting import Counter
from slo.engine import SloEngine
from slo.files import read_slos
from slo.past import first_needed_ms
from slo.spec import SloSpec
from slo.watermark import LateSamples
from slo.windows import load_windows

MINUTE, DAY = 60_000, 86_400_000
NIGHT = int(datetime(2025, 10, 9, tzinfo=UTC).timestamp() * 1000)
"""Midnight before the night that is lived through."""
WEEKS = 21
FIVE, LAST = 5 * 60, 6 * 60 + 29
COUNTED = {
    "05:29": 10_743,
    "05:28": 10_472,
    "05:43": 10_092,
    "06:29": 10_070,
    "05:51": 8_481,
    "05:49": 8_263,
    "05:48": 8_252,
    "05:26": 6_081,
    "05:08": 6_065,
}
"""The errors that are known of single minutes."""
REQUESTS_A_MINUTE = 12_000
SPEC = """
version: prometheus/v1
service: api
slos:
  - name: answers
    objective: 99.9
    description: Requests are answered.
    sli:
      events:
        error_query: sum(rate(http_requests_total{code="500"}[{{.window}}]))
        total_query: sum(rate(http_requests_total[{{.window}}]))
    alerting:
      name: ApiBurnsBudget
      ticket_alert: {disable: true}
"""
ALERTMANAGER = """
global: {slack_api_url_file: slack-url}
route: {receiver: team, group_by: [sloth_id], group_wait: 0s, group_interval: 1s, repeat_interval: 12h}
receivers: [{name: team, slack_configs: [{send_resolved: true}]}]
"""


def errors_of_night() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Errors by minute of the day. Of the minutes nobody counted there were 1,800 to 3,299, less than of any known."""
    found = np.zeros(24 * 60)
    for minute in range(FIVE, LAST + 1):
        found[minute] = 1_800 + minute * 97 % 1_500
    for time, errors in COUNTED.items():
        hours, minutes = map(int, time.split(":"))
        found[60 * hours + minutes] = errors
    return found


def written(pool: Pool, labels: Labels, ts_ms: np.ndarray[tuple[int], np.dtype[np.int64]], values: object) -> None:
    """Stores samples of one series."""
    row = SeriesRow(label_set_id(labels), labels, int(ts_ms[0]), int(ts_ms[-1]))
    insert_series(pool, [row])
    ids = np.full(len(ts_ms), row.series_id, np.uint64)
    name = dict(labels)["__name__"]
    insert_samples(pool, [name], np.zeros(len(ts_ms), np.int32), ids, ts_ms, np.asarray(values, np.float64))


class Story:
    """Counters of the whole time, written as time passes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        days = WEEKS + 1
        self._bad = np.concatenate([[0.0], np.cumsum(np.tile(errors_of_night(), days))])
        self._good = np.arange(len(self._bad)) * REQUESTS_A_MINUTE - self._bad
        self._ts = NIGHT - WEEKS * DAY + np.arange(len(self._bad), dtype=np.int64) * MINUTE
        self._written = 0

    def until(self, now_ms: int) -> None:
        """Writes what was scraped up to a time."""
        end = int(np.searchsorted(self._ts, now_ms, side="right"))
        part = slice(self._written, end)
        for code, values in (("200", self._good), ("500", self._bad)):
            labels = labels_from({"__name__": "http_requests_total", "code": code, "job": "api"})
            written(self._pool, labels, self._ts[part], values[part])
        # the request fails with the service, the one after a minute does not: what is kept is the last of both
        probe = labels_from({"__name__": "probe_success", "job": "blackbox"})
        written(self._pool, probe, self._ts[part], np.ones(end - self._written))
        self._written = end


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandin]:
    """A stand-in for Slack that listens."""
    standin = SlackStandin()
    yield standin
    await standin.stop()


def spec() -> SloSpec:
    """The SLO, from its file."""
    (found,) = read_slos(read_documents("api.yml", SPEC), load_windows()).specs
    return found


def minute_of(at_ms: int) -> str:
    """The time on the clock."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M")


def test_the_story_is_the_one_that_is_told() -> None:
    """The minutes that were counted are the worst ones, in their order, and nothing is bad before 05:00 or after."""
    errors = errors_of_night()
    worst = np.argsort(-errors)[: len(COUNTED)]
    assert [minute_of(NIGHT + int(m) * MINUTE) for m in worst] == list(COUNTED)
    assert errors[:FIVE].sum() == errors[LAST + 1 :].sum() == 0
    assert errors[FIVE : LAST + 1].min() > 0


async def test_every_night_would_have_been_paged_once(embedded_pool: Pool) -> None:
    """A backtest of three weeks: one page a night, five minutes after the first error, over half an hour after it."""
    story, slo = Story(embedded_pool), spec()
    story.until(NIGHT + DAY)
    counter = Counter(PromQLEngine(embedded_pool, Limits()), None, MINUTE)
    late = LateSamples()
    engine = SloEngine((), counter, embedded_pool, StateStore(embedded_pool), None, MINUTE, late=late)  # type: ignore[arg-type]
    begin = NIGHT - WEEKS * DAY + 6 * 60 * MINUTE
    needed = first_needed_ms(slo, begin, MINUTE)
    rows = engine.count(slo, needed, NIGHT + DAY, MINUTE)[()]
    assert rows[0].total.sum() == (WEEKS + 1) * 24 * 60 * REQUESTS_A_MINUTE
    assert (rows[0].total - rows[0].good).sum() == (WEEKS + 1) * errors_of_night().sum()
    found = backtest(slo, rows, (), NIGHT - (WEEKS - 1) * DAY, NIGHT + DAY, MINUTE, engine.policy, needed)
    assert [minute_of(alert.starts_ms) for alert in found.alerts] == ["05:05"] * WEEKS
    assert [minute_of(alert.ends_ms or 0) for alert in found.alerts] == ["07:00"] * WEEKS
    assert {alert.alert.name for alert in found.alerts} == {"ApiBurnsBudget"}
    await engine.stop()


async def test_a_rule_on_the_probe_never_fires(embedded_pool: Pool) -> None:
    """What was there before: a probe that is well at every scrape, whatever the users got."""
    Story(embedded_pool).until(NIGHT + DAY)
    promql = PromQLEngine(embedded_pool, Limits())
    assert promql.range("probe_success == 0", NIGHT, NIGHT + DAY - MINUTE, MINUTE).labels == []
    failed = promql.range('increase(http_requests_total{code="500"}[1m30s]) > 0', NIGHT, NIGHT + DAY - MINUTE, MINUTE)
    assert failed.present.sum() >= LAST - FIVE


async def test_the_night_is_paged_once_and_its_end_is_told(
    embedded_pool: Pool, slack: SlackStandin, tmp_path: Path
) -> None:
    """Minute by minute, with a restart in the middle: one message that it burns, one that it ended."""
    (tmp_path / "slack-url").write_text(await slack.start() + "\n")
    (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER)
    config = load_alertmanager(tmp_path / "alertmanager.yml")
    state, story = StateStore(embedded_pool), Story(embedded_pool)
    now_ms = NIGHT + 4 * 60 * MINUTE + 55 * MINUTE

    async def process() -> tuple[AlertManager, SloEngine]:
        manager = AlertManager(
            config, state, build_notifiers(config, external_url="http://wh"), external_url="http://wh"
        )
        await manager.start()
        late = LateSamples()
        embedded_pool.written.subscribe(late)
        counter = Counter(PromQLEngine(embedded_pool, Limits()), None, MINUTE)
        return manager, SloEngine(
            (spec(),), counter, embedded_pool, state, manager, MINUTE, clock=lambda: now_ms / 1000, late=late
        )

    manager, engine = await process()
    while now_ms <= NIGHT + (7 * 60 + 5) * MINUTE:
        story.until(now_ms)
        await engine.cycle()
        if minute_of(now_ms) == "05:04":
            assert not slack.messages
        if minute_of(now_ms) in ("05:05", "07:00"):
            await slack.wait_for(1 if minute_of(now_ms) == "05:05" else 2)
        if minute_of(now_ms) == "05:31":
            await engine.stop()
            await manager.stop()
            manager, engine = await process()
        now_ms += MINUTE
    # a turn of the group later nothing else has come
    await asyncio.sleep(1.2)
    await engine.stop()
    await manager.stop()
    assert len(slack.messages) == 2
    fired, ended = (str(message.payload) for message in slack.messages)
    assert "api-answers" in fired or "answers (api)" in fired
    assert "2025-10-09 05:05" in fired
    assert "2025-10-09 07:00" in ended
