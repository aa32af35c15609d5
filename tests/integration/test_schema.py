"""Migrations and retention: safe to run twice, at once, and from any earlier version on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.config import Retention
from app.store.client import Pool
from app.store.schema import apply_retention, enforce_size, migrate, migrations


def tables(pool: Pool) -> dict[str, str]:
    """The definition of every table, by name."""
    rows = pool.query("SELECT name, create_table_query AS q FROM system.tables WHERE database = currentDatabase()")
    text = pool.database
    return {r["name"]: r["q"].replace(text, "DB") for r in rows.to_pylist()}


def test_migrations_can_be_applied_again(store_pool: Pool) -> None:
    """A second run applies nothing and changes nothing."""
    before = tables(store_pool)
    assert migrate(store_pool) == []
    assert tables(store_pool) == before


@pytest.mark.parametrize("number", [number for number, _, _ in migrations()])
def test_migrations_apply_from_every_earlier_version(store_pool: Pool, number: int) -> None:
    """A store that stopped before any migration, even in its middle, reaches the same tables."""
    before = tables(store_pool)
    store_pool.command(f"ALTER TABLE schema_migrations DELETE WHERE number >= {number} SETTINGS mutations_sync = 2")
    assert migrate(store_pool) == [n for n, _, _ in migrations() if n >= number]
    assert tables(store_pool) == before


def test_two_processes_may_migrate_at_once(store_pool: Pool) -> None:
    """Migrating side by side from nothing ends with every table, and no error."""
    for name in tables(store_pool):
        store_pool.command(f"DROP TABLE `{name}` SYNC")
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda _: migrate(store_pool), range(4)))
    assert {"metric_samples", "logs", "state", "slo_events"} <= set(tables(store_pool))


def test_retention_is_a_ttl_that_follows_the_configuration(store_pool: Pool) -> None:
    """Each data table ages by its own column; a changed retention replaces the old one."""
    for days in (15, 3):
        apply_retention(store_pool, Retention.model_validate({"metrics": f"{days}d", "logs": "7d"}))
        found = tables(store_pool)
        assert f"TTL toDateTime(ts) + toIntervalSecond({days * 86400})" in found["metric_samples"]
        assert f"TTL toDateTime(last_seen) + toIntervalSecond({(days + 2) * 86400})" in found["metric_series"]
        assert "TTL toDateTime(ts) + toIntervalSecond(604800)" in found["logs"]


def test_rows_past_the_retention_go(store_pool: Pool) -> None:
    """A merge drops days that are older than the retention, and keeps the others."""
    apply_retention(store_pool, Retention.model_validate({"metrics": "2d", "logs": "2d"}))
    store_pool.command(
        "INSERT INTO metric_samples (metric, series_id, ts, value)"
        " SELECT 'm', 1, now64(3) - toIntervalDay(number), 0 FROM numbers(10)"
    )
    store_pool.command("OPTIMIZE TABLE metric_samples FINAL")
    oldest = store_pool.command("SELECT dateDiff('day', min(ts), now64(3)) FROM metric_samples")
    assert oldest <= 3
    assert store_pool.command("SELECT count() FROM metric_samples") >= 2


def test_the_oldest_days_go_when_there_is_too_much(store_pool: Pool) -> None:
    """Past the size bound, whole days go, oldest first; the newest stays whatever its size."""
    store_pool.command(
        "INSERT INTO metric_samples (metric, series_id, ts, value)"
        " SELECT 'm', rand64(), now64(3) - toIntervalDay(number % 5), rand64() FROM numbers(50000)"
    )
    assert enforce_size(store_pool, 10**12) == []
    days = "SELECT uniqExact(toDate(ts)) FROM metric_samples"
    size = int(
        store_pool.command("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()")
    )
    assert len(enforce_size(store_pool, size * 3 // 5)) in (2, 3)
    assert store_pool.command(days) in (2, 3)
    enforce_size(store_pool, 1)
    assert store_pool.command(days) == 1
    assert store_pool.command("SELECT max(toDate(ts)) = toDate(now('UTC')) FROM metric_samples") == 1


def test_a_day_to_come_goes_before_those_that_were(embedded_pool: Pool) -> None:
    """A sample of a clock that is years ahead does not make today the oldest day."""
    embedded_pool.command(
        "INSERT INTO metric_samples (metric, series_id, ts, value) SELECT 'm', rand64(),"
        " now64(3) + toIntervalDay(if(number % 3 = 0, 7000, -(number % 3))), rand64() FROM numbers(30000)"
    )
    dropped = enforce_size(embedded_pool, 1)
    ahead = "SELECT count() FROM metric_samples WHERE ts > now64(3) + toIntervalDay(1)"
    assert embedded_pool.command(ahead) == 0
    assert embedded_pool.command("SELECT uniqExact(toDate(ts)) FROM metric_samples") == 1
    assert len(dropped) == 2
