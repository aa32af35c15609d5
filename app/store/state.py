"""Small durable state: alerts, silences, what was notified, SLOs. The newest version of a key wins."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from app.store.client import Pool


class Change(NamedTuple):
    """A document as somebody wrote it. `value` is None when it was forgotten."""

    kind: str
    key: str
    value: Any
    version: int


class StateStore:
    """Documents by (kind, key). Methods block; a write that returned survives a kill at any moment."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._version = 0

    def put(self, kind: str, documents: Mapping[str, Any]) -> None:
        """Writes JSON-able documents, all in one insert."""
        self.write({(kind, key): value for key, value in documents.items()})

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """Forgets documents; keys that are not there are ignored."""
        self.write({(kind, key): None for key in keys})

    def write(self, changes: Mapping[tuple[str, str], Any]) -> int:
        """Writes documents by (kind, key), and forgets those that are None: all of it or nothing, in one insert.

        Gives the version they got: nanoseconds since 1970 by this machine's clock.
        """
        if not changes:
            return self._version
        # never the same twice: two writes of one process keep their order
        self._version = max(self._version + 1, time.time_ns())
        self._pool.insert(
            "state",
            pa.table(
                {
                    "kind": [kind for kind, _ in changes],
                    "key": [key for _, key in changes],
                    "value": [orjson.dumps(value).decode() for value in changes.values()],
                    "deleted": pa.array([int(value is None) for value in changes.values()], pa.uint8()),
                    "version": pa.array([self._version] * len(changes), pa.uint64()),
                }
            ),
        )
        return self._version

    def get_all(self, kind: str) -> dict[str, Any]:
        """Every document of a kind, by key."""
        return self._read("kind = {kind:String}", {"kind": kind})

    def get(self, kind: str, keys: Sequence[str]) -> dict[str, Any]:
        """The documents of a kind that are there, by key."""
        return self._read("kind = {kind:String} AND key IN {keys:Array(String)}", {"kind": kind, "keys": list(keys)})

    def changed(self, kinds: Sequence[str], since: int) -> list[Change]:
        """What was written to some kinds after a version, in order; of each document the newest."""
        rows = self._pool.query(
            "SELECT kind, key, argMax(value, version) AS newest, max(version) AS at FROM state"
            " WHERE kind IN {kinds:Array(String)} AND version > {since:UInt64}"
            " GROUP BY kind, key ORDER BY at, kind, key",
            {"kinds": list(kinds), "since": since},
        )
        # a document that was forgotten is written as null
        return [Change(row["kind"], row["key"], orjson.loads(row["newest"]), row["at"]) for row in rows.to_pylist()]

    def _read(self, condition: str, parameters: dict[str, Any]) -> dict[str, Any]:
        rows = self._pool.query(
            f"SELECT key, argMax(value, version) AS value FROM state WHERE {condition}"
            " GROUP BY key HAVING argMax(deleted, version) = 0 ORDER BY key",
            parameters,
        )
        if not rows.num_rows:
            return {}
        return {
            key: orjson.loads(value)
            for key, value in zip(rows.column("key").to_pylist(), rows.column("value").to_pylist(), strict=True)
        }
