"""The tables: numbered migrations applied at start, and retention as TTL."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib import resources

from app.config import Retention
from app.store.client import Pool

_TTL = {
    # table: (the column its rows age by, which retention rules it)
    "metric_samples": ("ts", "metrics"),
    "metric_histograms": ("ts", "metrics"),
    "metric_exemplars": ("ts", "metrics"),
    "metric_series": ("last_seen", "metrics"),
    "logs": ("ts", "logs"),
    "log_streams": ("last_seen", "logs"),
}
_TWO_DAYS_S = 2 * 86_400
_BY_DAY = ("metric_samples", "metric_histograms", "metric_exemplars", "logs")
"""The tables partitioned by day, whose old days can be dropped whole."""
# Of the embedded engine only; a server keeps its own defaults.
_SMALL_PARTS = {
    # small parts in one file instead of a dozen: creating files is most of what a small insert costs
    "min_rows_for_full_part_storage": 100_000,
    "min_bytes_for_full_part_storage": 10_000_000,
    "old_parts_lifetime": 60,
}
_MANY_INSERTS = {
    **_SMALL_PARTS,
    # wide merges: by default a young partition is rewritten about 20 times under a load of small inserts
    "max_parts_to_merge_at_once": 500,
    "merge_selector_enable_heuristic_to_lower_max_parts_to_merge_at_once": 0,
    "min_parts_to_merge_at_once": 50,
}
_EMBEDDED_SETTINGS = {
    "metric_samples": _MANY_INSERTS,
    "metric_histograms": _MANY_INSERTS,
    "metric_exemplars": _MANY_INSERTS,
    "metric_series": _SMALL_PARTS,
    "logs": _MANY_INSERTS,
    "log_streams": _SMALL_PARTS,
    "state": _SMALL_PARTS,
    "slo_events": _SMALL_PARTS,
}


def migrations() -> list[tuple[int, str, list[str]]]:
    """(number, name, statements) of every migration, in order."""
    found = []
    for entry in resources.files("app.store.migrations").iterdir():
        match = re.match(r"^([0-9]{4})_(\w+)\.sql$", entry.name)
        if match:
            statements = [s.strip() for s in entry.read_text(encoding="utf-8").split(";\n")]
            found.append((int(match[1]), match[2], [s.rstrip(";") for s in statements if s.strip(";\n ")]))
    return sorted(found)


def migrate(pool: Pool) -> list[int]:
    """Brings the tables to the newest form; gives the numbers applied now.

    Safe to run twice and by two processes at once: each statement can be repeated, and a migration is noted
    only after its statements ran.
    """
    pool.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (number UInt32, name String, applied DateTime('UTC') DEFAULT now())"
        " ENGINE = MergeTree ORDER BY number"
    )
    done = set(pool.query("SELECT DISTINCT number FROM schema_migrations").column("number").to_pylist())
    applied = []
    for number, name, statements in migrations():
        if number in done:
            continue
        for statement in statements:
            pool.command(statement)
        pool.command(
            "INSERT INTO schema_migrations (number, name) SELECT {number:UInt32}, {name:String}",
            {"number": number, "name": name},
        )
        applied.append(number)
    if pool.embedded and applied:
        for table, settings in _EMBEDDED_SETTINGS.items():
            changes = ", ".join(f"{key} = {value}" for key, value in settings.items())
            pool.command(f"ALTER TABLE {table} MODIFY SETTING {changes}")
    return applied


def apply_retention(pool: Pool, retention: Retention) -> None:
    """Makes each table's TTL what the configuration says; a table that has it already is left alone."""
    engines = dict(
        zip(
            *(pool.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()").columns),
            strict=True,
        )
    )
    present = {str(name): str(engine) for name, engine in engines.items()}
    for table, (column, signal) in _TTL.items():
        seconds = int(getattr(retention, signal)) // 1000
        if table not in _BY_DAY:
            # samples and lines go a whole day at a time, and must not outlive what says whose they are
            seconds += _TWO_DAYS_S
        ttl = f"toDateTime({column}) + toIntervalSecond({seconds})"
        if f"TTL {ttl}" not in present.get(table, ""):
            pool.command(f"ALTER TABLE {table} MODIFY TTL {ttl} SETTINGS materialize_ttl_after_modify = 0")
            if table in _BY_DAY:
                pool.command(f"ALTER TABLE {table} MODIFY SETTING ttl_only_drop_parts = 1")


def enforce_size(pool: Pool, max_bytes: int) -> list[str]:
    """Drops the oldest days of samples and lines until the tables are within `max_bytes`; gives what was dropped.

    The newest day of each table stays, whatever its size. Days to come, of clocks that are wrong, go first.
    """
    rows = pool.query(
        "SELECT table, partition_id, toUInt64(sum(bytes_on_disk)) AS size FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)}"
        " GROUP BY table, partition_id ORDER BY partition_id",
        {"tables": list(_BY_DAY)},
    ).to_pylist()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y%m%d")
    rows.sort(key=lambda row: row["partition_id"] <= tomorrow)
    newest = {row["table"]: row["partition_id"] for row in rows}
    total, dropped = sum(row["size"] for row in rows), []
    for row in rows:
        if total <= max_bytes:
            break
        if row["partition_id"] == newest[row["table"]]:
            continue
        pool.command(f"ALTER TABLE {row['table']} DROP PARTITION ID '{row['partition_id']}'")
        total -= row["size"]
        dropped.append(f"{row['table']} {row['partition_id']}")
    if dropped:
        pool.written.tell_anything()
    return dropped
