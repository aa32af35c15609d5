"""ClickHouse's HTTP interface over a pool: what a client of a ClickHouse server needs, and no more."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.compression import COMPRESSIONS, decompress
from app.config import Limits
from app.errors import DecodeError, StoreError
from app.store.client import SESSION_SETTINGS, Pool

_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(
    rb"^\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?P<table>[`\w.\"]+)\s*(?:\((?P<columns>[^)]*)\))?\s*"
    rb"(?:SETTINGS\s.*?)?\s*FORMAT\s+(?P<format>\w+)[ \t]*\r?\n?",
    re.IGNORECASE | re.DOTALL,
)
# what the HTTP transport itself takes; every other parameter is a setting
_TRANSPORT = frozenset(
    {
        *("query", "database", "default_format", "user", "password", "role", "quota_key", "query_id"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress", "enable_http_compression"),
        *("wait_end_of_query", "client_protocol_version", "buffer_size"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
    }
)


@dataclass(frozen=True, slots=True)
class _AsSent:
    """A parameter in ClickHouse's own escaped form already: the client library takes any object's text as it is."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave, and ClickHouse's name for the form it is in."""

    body: bytes
    format: str


# what reads files or leaves the machine in spite of readonly = 1, in a query as formatQuery writes it
_READS = re.compile(r"^(SELECT|WITH|SHOW|EXISTS|EXPLAIN|DESCRIBE TABLE [\w.]+$|\()", re.IGNORECASE)
_REACHES_OUT = re.compile(
    r"\bINTO\s+OUTFILE\b|\b(file|catboostEvaluate|hasColumnInTable|url|s3|remote)\s*\(", re.IGNORECASE
)
_TEXTS = re.compile(r"'(?:[^'\\]|\\.|'')*'")


@dataclass(slots=True)
class HttpInterface:
    """Runs the statements of ClickHouse clients. `run` blocks; call it in a thread."""

    pool: Pool
    writable: bool
    limits: Limits
    _siblings: dict[str, Pool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, url_params: Mapping[str, str], body: bytes, encoding: str = "") -> Answer:
        """Runs what a request asks for. Raises StoreError as the engine does, DecodeError on an unreadable body."""
        database = url_params.get("database") or self.pool.database
        pool = self._on(database)
        data = _decoded(body, encoding, self.limits.max_decoded_bytes)
        query = url_params.get("query", "").encode()
        statement = query + b"\n" + data if query and data else query or data
        insert = _INSERT.match(statement)
        if insert and self.writable:
            columns = [c.strip().strip('`"') for c in (insert["columns"] or b"").decode().split(",") if c.strip()]
            try:
                pool.insert_bytes(
                    insert["table"].decode(), columns, statement[insert.end() :], insert["format"].decode()
                )
            finally:
                self.pool.written.tell_anything()
            return Answer(b"", "")
        sql = statement.decode("utf-8", "surrogateescape").rstrip().rstrip(";")
        named = _FORMAT.search(statement)
        fmt = named[1].decode() if named else url_params.get("default_format", "TabSeparated")
        parameters = {k[6:]: _AsSent(v) for k, v in url_params.items() if k.startswith("param_")}
        settings = {
            k: v
            for k, v in url_params.items()
            if k not in _TRANSPORT and not k.startswith("param_") and str(SESSION_SETTINGS.get(k)) != v
        }
        if not self.writable:
            self._refuse_all_but_reading(sql)
            settings = {}
        try:
            answer = Answer(pool.passed_on(sql, parameters, None if named else fmt, settings), fmt)
        finally:
            if self.writable and not _READS.match(sql):
                self.pool.written.tell_anything()
        with self._lock:
            # kept only now: a name that is no database must not stay
            self._siblings.setdefault(database, pool)
        return answer

    def _refuse_all_but_reading(self, sql: str) -> None:
        """Raises StoreError for a statement that is more than a question to the tables.

        `readonly` of the engine lets statements write files, read them and end others' queries.
        """
        rows = self.pool.query("SELECT formatQuery({sql:String}) AS plain", {"sql": sql})
        plain = _TEXTS.sub("''", " ".join(rows.column("plain")[0].as_py().split())).replace("`", "")
        if not _READS.match(plain) or _REACHES_OUT.search(plain):
            raise StoreError("only statements that read tables are taken here (READONLY)", 164)

    def close(self) -> None:
        """Closes the pools of the databases asked for."""
        for pool in self._siblings.values():
            pool.close()

    def _on(self, database: str) -> Pool:
        with self._lock:
            found = self._siblings.get(database)
        bounds = {
            "max_execution_time": self.limits.query_timeout / 1000,
            "max_memory_usage": self.limits.query_max_memory,
            "max_result_bytes": self.limits.query_max_memory // 4,
        }
        return found or self.pool.sibling(database, not self.writable, bounds)


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    if not encoding or encoding == "identity":
        return body
    if encoding not in COMPRESSIONS:
        raise DecodeError(f"Content-Encoding {encoding!r} is not supported")
    return decompress(body, encoding, limit)
