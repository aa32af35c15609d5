"""How fast remote write bodies are decoded. Run: python -m tests.bench.bench_remote_write.

Prints samples/s on one core for each version: of series never met, of known series in a new order, of a request in
which other values are zero than before (their samples are shorter), and of one repeated with other values and times.
With 2.0 a new order is a new table of symbols, and every series has metadata.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container

from app.config import Limits
from ingest import prompb, prompb_v2, remote_write, remote_write_v2
from ingest.series import SeriesRegistry
from ingest.write_request import WriteRequest

SERIES = 2_000
ZEROS = 100
ROUNDS = 200
LIMITS = Limits()
Decode = Callable[[bytes], WriteRequest]


def labels(i: int) -> tuple[tuple[str, str], ...]:
    """The labels of a series."""
    return (("__name__", "http_requests_total"), ("instance", f"host-{i % 200}"), ("path", f"/p/{i}"))


def value(i: int, k: int, zeros: Container[int]) -> float:
    """The k-th value of a series."""
    return 0.0 if i in zeros else float(i + k + 1)


def body(order: list[int], samples: int, at_ms: int, zeros: Container[int] = ()) -> bytes:
    """A 1.0 request of `samples` samples a series, the series in this order."""
    request = prompb.WriteRequest()
    for i in order:
        entry = request.timeseries.add()
        for name, text in labels(i):
            entry.labels.add(name=name.encode(), value=text.encode())
        for k in range(samples):
            entry.samples.add(timestamp=at_ms + 15_000 * k, value=value(i, k, zeros))
    return bytes(request.SerializeToString())


def body_v2(order: list[int], samples: int, at_ms: int, zeros: Container[int] = ()) -> bytes:
    """The same as a 2.0 request."""
    places = {"": 0}
    request = prompb_v2.Request()
    for i in order:
        entry = request.timeseries.add()
        entry.labels_refs.extend(places.setdefault(text, len(places)) for pair in labels(i) for text in pair)
        for k in range(samples):
            entry.samples.add(timestamp=at_ms + 15_000 * k, value=value(i, k, zeros))
        entry.metadata.type = 1
        entry.metadata.help_ref = places.setdefault("Requests by path.", len(places))
    request.symbols.extend(text.encode() for text in places)
    return bytes(request.SerializeToString())


def per_second(bodies: list[bytes], decode: Decode) -> float:
    """Samples decoded in a second of CPU."""
    started, count = time.process_time(), 0
    for one in bodies:
        count += len(decode(one).batch)
    return count / (time.process_time() - started)


def decoder() -> Decode:
    """A decoder of 1.0 that has met nothing yet."""
    cache = remote_write.WriteCache(SeriesRegistry())
    return lambda body: remote_write.decode_write_request(body, cache, LIMITS)


def decoder_v2() -> Decode:
    """A decoder of 2.0 that has met nothing yet."""
    cache = remote_write_v2.WriteCache(SeriesRegistry(), LIMITS)
    return lambda body: remote_write_v2.decode_request(body, cache, LIMITS)


def main() -> None:
    """Measures and prints."""
    order = list(range(SERIES))
    for version, made, new in (("1.0", body, decoder), ("2.0", body_v2, decoder_v2)):
        for samples in (1, 10):
            times = range(1_700_000_000_000, 1_700_000_000_000 + ROUNDS)
            bodies = {
                "first": [made(order, samples, times[0])],
                "known": [made(random.sample(order, SERIES), samples, at_ms) for at_ms in times],
                "other zeros": [made(order, samples, at_ms, set(random.sample(order, ZEROS))) for at_ms in times],
                "repeated": [made(order, samples, at_ms) for at_ms in times],
            }
            # now and then one meets the garbage collector
            rates = {"first": max(per_second(bodies["first"], new()) for _ in range(5))}
            for kind in ("known", "other zeros", "repeated"):
                decode = new()
                per_second(bodies["first"] * 2, decode)
                rates[kind] = per_second(bodies[kind], decode)
            shown = ", ".join(f"{kind} {rate:,.0f}/s" for kind, rate in rates.items())
            print(f"{version}, {samples:2} samples a series: {shown}")


if __name__ == "__main__":
    main()
