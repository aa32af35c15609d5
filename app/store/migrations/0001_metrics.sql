CREATE TABLE IF NOT EXISTS metric_samples
(
    metric LowCardinality(String),
    series_id UInt64,
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (metric, series_id, ts);

CREATE TABLE IF NOT EXISTS metric_series
(
    metric LowCardinality(String),
    series_id UInt64,
    labels SimpleAggregateFunction(any, Map(String, String)),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (metric, series_id);

CREATE TABLE IF NOT EXISTS metric_metadata
(
    family String,
    type LowCardinality(String),
    unit String,
    help String,
    updated DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(updated)
ORDER BY family;
