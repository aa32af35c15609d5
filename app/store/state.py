"""Small durable state: alerts, what was notified, SLOs. The newest version of a key wins."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from app.store.client import Pool


class StateStore:
    """Documents by (kind, key). Methods block; a write that returned survives a kill at any moment."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._version = 0

    def put(self, kind: str, documents: Mapping[str, Any]) -> None:
        """Writes JSON-able documents, all in one insert."""
        self._write(kind, [(key, orjson.dumps(value).decode(), 0) for key, value in documents.items()])

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """Forgets documents; keys that are not there are ignored."""
        self._write(kind, [(key, "null", 1) for key in keys])

    def change(self, kind: str, documents: Mapping[str, Any], gone: Sequence[str]) -> None:
        """Writes documents and forgets others, all in one insert."""
        rows = [(key, orjson.dumps(value).decode(), 0) for key, value in documents.items()]
        self._write(kind, [*rows, *((key, "null", 1) for key in gone)])

    def get_all(self, kind: str) -> dict[str, Any]:
        """Every document of a kind, by key."""
        rows = self._pool.query(
            "SELECT key, argMax(value, version) AS value FROM state WHERE kind = {kind:String}"
            " GROUP BY key HAVING argMax(deleted, version) = 0 ORDER BY key",
            {"kind": kind},
        )
        if not rows.num_rows:
            return {}
        return {
            key: orjson.loads(value)
            for key, value in zip(rows.column("key").to_pylist(), rows.column("value").to_pylist(), strict=True)
        }

    def _write(self, kind: str, rows: list[tuple[str, str, int]]) -> None:
        if not rows:
            return
        # nanoseconds, and never the same twice: two writes of one process keep their order
        self._version = max(self._version + 1, time.time_ns())
        self._pool.insert(
            "state",
            pa.table(
                {
                    "kind": [kind] * len(rows),
                    "key": [key for key, _, _ in rows],
                    "value": [value for _, value, _ in rows],
                    "deleted": pa.array([deleted for _, _, deleted in rows], pa.uint8()),
                    "version": pa.array([self._version] * len(rows), pa.uint64()),
                }
            ),
        )
