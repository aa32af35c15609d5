CREATE TABLE IF NOT EXISTS logs
(
    ts DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    service LowCardinality(String),
    stream_id UInt64,
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    source LowCardinality(String),
    severity LowCardinality(String),
    body String CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    INDEX body_words body TYPE text(tokenizer = splitByNonAlpha)
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (service, stream_id, ts, seq);

CREATE TABLE IF NOT EXISTS log_streams
(
    service LowCardinality(String),
    stream_id UInt64,
    labels SimpleAggregateFunction(any, Map(String, String)),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (service, stream_id);
