"""How fast remote write bodies are decoded. Run: python -m tests.bench.bench_remote_write.

Prints samples/s on one core: of series never met, of known series in a new order, and of a request repeated with
other values and times.
"""

from __future__ import annotations

import random
import time

from app.config import Limits
from ingest import prompb
from ingest.remote_write import WriteCache, decode_write_request
from ingest.series import SeriesRegistry

SERIES = 2_000
ROUNDS = 200
LIMITS = Limits()


def body(order: list[int], samples: int, at_ms: int) -> bytes:
    """A request of `samples` samples a series, the series in this order."""
    request = prompb.WriteRequest()
    for i in order:
        entry = request.timeseries.add()
        for name, value in (("__name__", "http_requests_total"), ("instance", f"host-{i % 200}"), ("path", f"/p/{i}")):
            entry.labels.add(name=name.encode(), value=value.encode())
        for k in range(samples):
            entry.samples.add(timestamp=at_ms + 15_000 * k, value=float(i + k))
    return bytes(request.SerializeToString())


def per_second(bodies: list[bytes], cache: WriteCache) -> float:
    """Samples decoded in a second of CPU."""
    started, count = time.process_time(), 0
    for one in bodies:
        count += len(decode_write_request(one, cache, LIMITS).batch)
    return count / (time.process_time() - started)


def main() -> None:
    """Measures and prints."""
    order = list(range(SERIES))
    for samples in (1, 10):
        cache = WriteCache(SeriesRegistry())
        same = [body(order, samples, 1_700_000_000_000 + n) for n in range(ROUNDS)]
        shuffled = [body(random.sample(order, SERIES), samples, 1_700_000_000_000 + n) for n in range(ROUNDS)]
        first = per_second(same[:1], cache)
        known = per_second(shuffled, cache)
        again = per_second(same, cache)
        print(f"{samples:2} samples a series: first {first:,.0f}/s, known {known:,.0f}/s, repeated {again:,.0f}/s")


if __name__ == "__main__":
    main()
