CREATE TABLE IF NOT EXISTS state
(
    kind LowCardinality(String),
    key String,
    value String CODEC(ZSTD(1)),
    deleted UInt8,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (kind, key);

CREATE TABLE IF NOT EXISTS slo_events
(
    slo LowCardinality(String),
    starts_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    interval_ms UInt32,
    good Float64,
    total Float64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(starts_at)
ORDER BY (slo, interval_ms, starts_at);
