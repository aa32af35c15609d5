"""How many series there are, by metric and by label: what `status/tsdb` answers."""

from __future__ import annotations

from dataclasses import dataclass

from app.store.client import Pool

HEAD_MS = 7_200_000
"""Series seen in the last two hours are counted, about as many as Prometheus has in its head."""

_PAIRS = """(
SELECT name, value, count() AS series
FROM (
SELECT toString(any(metric)) AS metric_name, any(labels) AS pairs FROM metric_series
WHERE last_seen >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY series_id
)
ARRAY JOIN arrayPushFront(mapKeys(pairs), '__name__') AS name, arrayPushFront(mapValues(pairs), metric_name) AS value
GROUP BY name, value
)"""

Counts = list[tuple[str, int]]
"""Names with their numbers, the largest first."""


@dataclass(frozen=True, slots=True)
class Cardinality:
    """Counts of series; `min_ms` and `max_ms` are the times of the oldest and newest sample, 0 without any."""

    series: int
    label_pairs: int
    parts: int
    min_ms: int
    max_ms: int
    by_metric: Counts
    values_by_label: Counts
    bytes_by_label: Counts
    by_pair: Counts


def cardinality(pool: Pool, now_ms: int, limit: int, timeout_s: float) -> Cardinality:
    """What is counted now, each list cut at `limit`. Blocks. Raises StoreError."""
    given = {"since": now_ms - HEAD_MS, "most": limit}

    def rows(sql: str) -> list[dict[str, int | str]]:
        found: list[dict[str, int | str]] = pool.query(sql, given, timeout_s=timeout_s).to_pylist()
        return found

    labels = rows(
        "-- status: labels\nSELECT name, toInt64(count()) AS different, toInt64(sum(length(value) * series)) AS bytes,"
        f" toInt64(sum(series)) AS series_with FROM {_PAIRS} GROUP BY name"
    )
    top = "name, value, toInt64(series) AS n FROM {pairs} {where} ORDER BY n DESC, name, value LIMIT {{most:UInt32}}"
    pairs = rows("-- status: label pairs\nSELECT " + top.format(pairs=_PAIRS, where=""))
    metrics = rows("-- status: metrics\nSELECT " + top.format(pairs=_PAIRS, where="WHERE name = '__name__'"))
    # of the partition's key, so the engine knows them without reading rows
    times = rows(
        "-- status: times\nSELECT toInt64(count()) AS n, toUnixTimestamp64Milli(min(ts)) AS first,"
        " toUnixTimestamp64Milli(max(ts)) AS last FROM metric_samples"
    )[0]
    parts = rows(
        "-- status: parts\nSELECT toInt64(count()) AS n FROM system.parts WHERE active"
        " AND database = currentDatabase() AND table = 'metric_samples'"
    )[0]
    return Cardinality(
        series=sum(int(row["series_with"]) for row in labels if row["name"] == "__name__"),
        label_pairs=sum(int(row["different"]) for row in labels),
        parts=int(parts["n"]),
        min_ms=int(times["first"]) if times["n"] else 0,
        max_ms=int(times["last"]) if times["n"] else 0,
        by_metric=[(str(row["value"]), int(row["n"])) for row in metrics],
        values_by_label=_largest([(str(row["name"]), int(row["different"])) for row in labels], limit),
        bytes_by_label=_largest([(str(row["name"]), int(row["bytes"])) for row in labels], limit),
        by_pair=[(f"{row['name']}={row['value']}", int(row["n"])) for row in pairs],
    )


def _largest(counts: Counts, limit: int) -> Counts:
    return sorted(counts, key=lambda c: (-c[1], c[0]))[:limit]
