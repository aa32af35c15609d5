"""Native histograms as Prometheus writes them in JSON (util/jsonutil, MarshalHistogram)."""

from __future__ import annotations

from app.histogram import Histogram
from app.query.promql.format import format_json
from app.query.promql.histograms.bounds import spread


def encode_histogram(h: Histogram) -> bytes:
    """`{"count":"4","sum":"5","buckets":[[0,"0.5","1","4"]]}`: each bucket that is not empty, from the lowest.

    Its first number says which ends belong to it: 0 the upper, 1 the lower, 2 none, 3 both.
    """
    buckets = spread(h)
    columns = [column.tolist() for column in (buckets.rule, buckets.lower, buckets.upper, buckets.count)]
    rows = [
        f'[{rule},"{format_json(lower)}","{format_json(upper)}","{format_json(count)}"]'
        for rule, lower, upper, count in zip(*columns, strict=True)
        if count != 0
    ]
    listed = f',"buckets":[{",".join(rows)}]' if rows else ""
    return f'{{"count":"{format_json(h.count)}","sum":"{format_json(h.sum)}"{listed}}}'.encode()
