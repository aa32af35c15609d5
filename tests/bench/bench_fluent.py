"""How fast forward frames of kubernetes records are decoded. Run: python -m tests.bench.bench_fluent.

Uses the recorded Fluent Bit frames, repeated; prints records/s and MB/s on one core, the best of some rounds.
"""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import msgpack

from app.config import Limits
from ingest.fluentbit.frames import decode_frame
from ingest.fluentbit.records import StreamCache
from ingest.series import SeriesRegistry

RECORDED = Path(__file__).parent.parent / "data" / "fluent-bit"
REPEATED = 50
ROUNDS = 7


def frames() -> dict[str, tuple[int, bytes]]:
    """Records and bytes of a frame of each container in the modes Fluent Bit sends."""
    found = {}
    for path in sorted(RECORDED.glob("forward-gzip.*.bin")):
        tag, packed, option = msgpack.unpackb(path.read_bytes())
        entries = gzip.decompress(packed) * REPEATED
        records = option["size"] * REPEATED
        who = f"{tag.split('_')[2].rsplit('-', 1)[0]} ({len(entries) // records} bytes a record)"
        found[f"PackedForward, {who}"] = records, msgpack.packb([tag, entries, {"chunk": "c"}])
        found[f"CompressedPackedForward, {who}"] = (
            records,
            msgpack.packb([tag, gzip.compress(entries), {"chunk": "c", "compressed": "gzip"}]),
        )
        unpacked = _entries(entries)
        found[f"Forward, {who}"] = records, msgpack.packb([tag, unpacked, {"chunk": "c"}])
    return found


def _entries(packed: bytes) -> list[object]:
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(packed)
    return list(unpacker)


def main() -> None:
    """Measures and prints."""
    cache = StreamCache(SeriesRegistry(), Limits())
    for name, (records, frame) in frames().items():
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = decode_frame(frame, cache, Limits())
            best = min(best, time.perf_counter() - began)
            assert len(found.decoded.batch) == records
        print(f"{name}: {records / best:,.0f} records/s, {len(frame) / best / 1e6:,.0f} MB/s of frames")


if __name__ == "__main__":
    main()
