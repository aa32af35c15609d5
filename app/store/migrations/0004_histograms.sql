CREATE TABLE IF NOT EXISTS metric_histograms
(
    metric LowCardinality(String),
    series_id UInt64,
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    schema Int8,
    hint Enum8('unknown' = 0, 'reset' = 1, 'not_reset' = 2, 'gauge' = 3),
    count Float64 CODEC(ZSTD(1)),
    sum Float64 CODEC(ZSTD(1)),
    zero_threshold Float64 CODEC(ZSTD(1)),
    zero_count Float64 CODEC(ZSTD(1)),
    positive_index Array(Int32) CODEC(ZSTD(1)),
    positive_count Array(Float64) CODEC(ZSTD(1)),
    negative_index Array(Int32) CODEC(ZSTD(1)),
    negative_count Array(Float64) CODEC(ZSTD(1)),
    custom_values Array(Float64) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (metric, series_id, ts);
