"""The one way to ClickHouse: a pool of clients, over the embedded engine or a server's HTTP interface.

A handle of the embedded engine serialises its own calls and releases the GIL while the engine works, so
callers run the blocking methods of `Pool` in threads; a call takes a client of its own for as long as it runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from app import running
from app.config import StoreConfig, read_secret
from app.errors import ConfigError, Problem, StoreError, StoreUnavailable
from app.store.written import Written

DATABASE = "watchhouse"
SESSION_SETTINGS: dict[str, Any] = {
    "enable_time_series_aggregate_functions": 1,
    # a backfill may bring every day of the retention at once
    "max_partitions_per_insert_block": 0,
}
_EMBEDDED_SETTINGS: dict[str, Any] = {
    # otherwise a query has one thread as long as not so much is free for each, and our ceiling is low on purpose:
    # rate() over 20,000 series took 375 ms instead of 200; each query has a memory limit of its own
    "max_threads_min_free_memory_per_thread": 0,
}
_ENGINE_OPTIONS: dict[str, Any] = {
    # caches inside the memory ceiling: the defaults add up to several times our own limit
    "mark_cache_size": 128 * 2**20,
    "primary_index_cache_size": 128 * 2**20,
    "index_mark_cache_size": 64 * 2**20,
    "text_index_tokens_cache_size": 32 * 2**20,
    "text_index_header_cache_size": 64 * 2**20,
    "text_index_postings_cache_size": 64 * 2**20,
    "vector_similarity_index_cache_size": 2**20,
    "query_condition_cache_size": 16 * 2**20,
    "background_pool_size": 1,
    "background_merges_mutations_concurrency_ratio": 1,
}
Opener = Callable[[str, Mapping[str, Any]], Client]
"""Opens one client, bound to a database, with these session settings."""

_CONNECTION_ERRORS = (OperationalError, ConnectionError)
_FULL_CODES = {241, 243, 252}  # memory limit, no space on disk, too many parts: an insert may succeed later
_UNAVAILABLE_CODES = {209, 210, 236, 242, 999}  # socket timeout, network error, aborted, table is read only, keeper


@dataclass(slots=True)
class Pool:
    """Clients of one database. Every method blocks; each is safe to call from any number of threads at once."""

    opener: Opener
    embedded: bool
    database: str = DATABASE
    settings: Mapping[str, Any] = field(default_factory=lambda: SESSION_SETTINGS)
    histogram_metrics: set[str] = field(default_factory=set)
    """Names of metrics that native histograms were inserted of through this pool (see `store.histograms`)."""
    written: Written = field(default_factory=Written)
    """Tells of the samples that are inserted through this pool."""
    _idle: list[_Handle] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """The rows of a SELECT as an Arrow table. User values travel in `parameters`, as `{name:Type}` in the SQL.

        Raises StoreError (code 159 when `timeout_s` ran out) or StoreUnavailable.
        """
        body = self.raw_query(sql, parameters, fmt="ArrowStream", timeout_s=timeout_s, settings=settings)
        return pa.ipc.open_stream(body).read_all() if body else pa.table({})

    def raw_query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        fmt: str | None,
        timeout_s: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The answer to a statement in ClickHouse's format `fmt`, as bytes. Raises as `query` does."""
        wanted = dict(settings or {})
        if timeout_s is not None:
            wanted["max_execution_time"] = timeout_s
        if wanted:
            # in the statement: a client of the embedded engine would set and reset them one by one
            sql += "\nSETTINGS " + ", ".join(f"{name} = {_literal(value)}" for name, value in wanted.items())
        query = running.current()
        if query is not None:
            query.check()
            sql = query.tag + sql
        with self._handle() as handle:
            return bytes(handle.client.raw_query(sql, parameters=dict(parameters or {}), fmt=fmt))

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Runs a statement that is no SELECT over rows: DDL, KILL, or one that gives a single value."""
        with self._handle() as handle:
            return handle.client.command(sql, parameters=dict(parameters or {}))

    def end_statements(self, tag: str) -> None:
        """Ends the statements of this user that begin with `tag`; each ends a moment later with code 394."""
        self.raw_query(
            "KILL QUERY WHERE user = currentUser() AND startsWith(query, {tag:String}) ASYNC", {"tag": tag}, fmt="Null"
        )

    def passed_on(
        self, sql: str, parameters: Mapping[str, object], fmt: str | None, settings: Mapping[str, str]
    ) -> bytes:
        """The answer to somebody else's statement, of any kind, as bytes. Raises as `query` does."""
        with self._handle() as handle:
            return bytes(handle.client.raw_query(sql, parameters=dict(parameters), fmt=fmt, settings=dict(settings)))

    def insert(self, table: str, rows: pa.Table) -> None:
        """Inserts rows; when it returns they are kept, also if the process is killed at once."""
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        self.insert_bytes(table, rows.column_names, sink.getbuffer(), "ArrowStream")

    def insert_bytes(self, table: str, columns: list[str], payload: bytes | memoryview, fmt: str) -> None:
        """Inserts rows that are already encoded in ClickHouse's format `fmt`."""
        try:
            with self._handle() as handle:
                if not self.embedded:
                    handle.client.raw_insert(table, column_names=columns, insert_block=bytes(payload), fmt=fmt)
                    return
                path = handle.payload.write(payload)
                names = "(" + ", ".join(f"`{name}`" for name in columns) + ")" if columns else ""
                handle.client.command(f"INSERT INTO {table} {names} FROM INFILE '{path}' FORMAT {fmt}")
        except StoreError as error:
            if error.code in _FULL_CODES:
                raise StoreUnavailable(str(error), error.code) from error
            raise

    def sibling(self, database: str, read_only: bool, bounds: Mapping[str, Any] | None = None) -> Pool:
        """A pool of its own on another database of the same ClickHouse.

        A `read_only` one changes nothing, and every statement of it is held to the settings in `bounds`.
        """
        bounds = bounds or {}
        settings = {**SESSION_SETTINGS, **bounds, "readonly": 1} if read_only else SESSION_SETTINGS
        return Pool(self.opener, self.embedded, database, settings)

    def ping(self) -> bool:
        """Whether ClickHouse answers."""
        try:
            return bool(self.command("SELECT 1") == 1)
        except StoreError:
            return False

    def close(self) -> None:
        """Closes the idle clients and refuses new work; a running call ends first. Safe to call twice."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for handle in idle:
            handle.close()

    @contextlib.contextmanager
    def _handle(self) -> Iterator[_Handle]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            handle = self._idle.pop() if self._idle else None
        sound = False
        try:
            if handle is None:
                handle = self._open()
            yield handle
            sound = True
        except _CONNECTION_ERRORS as error:
            raise StoreUnavailable(_first_line(error)) from error
        except ClickHouseError as error:
            code = int(getattr(error, "code", None) or 0)
            kind = StoreUnavailable if code in _UNAVAILABLE_CODES else StoreError
            raise kind(_first_line(error), code) from error
        except OSError as error:
            raise StoreUnavailable(f"the insert's bytes could not be written: {error}") from error
        finally:
            if handle is not None and self.embedded and not sound:
                handle = self._replaced(handle)
            if handle is not None:
                with self._lock:
                    if not self._closed:
                        self._idle.append(handle)
                        handle = None
                if handle is not None:
                    handle.close()

    def _open(self) -> _Handle:
        return _Handle(self.opener(self.database, self.settings))

    def _replaced(self, failed: _Handle) -> _Handle | None:
        """A new client for one whose statement failed.

        The embedded engine keeps what a failed statement had written already, and gives it as the beginning of the
        next statement's answer (seen with chdb-core 26.9.0, after codes 159, 241 and 395).
        """
        # opened first: the engine stays open only while a client of it is
        with contextlib.suppress(StoreError, ClickHouseError, *_CONNECTION_ERRORS):
            fresh = self._open()
            failed.close()
            return fresh
        failed.close()
        return None


class _Payload:
    """Where the bytes of inserts lie for the embedded engine to read: this process's memory, or a private file.

    Written over and over: a new file for each insert costs more than the insert, and so do fresh pages of memory.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def write(self, payload: bytes | memoryview) -> str:
        """Holds the bytes until the next write; gives the path they can be read at."""
        if self._file is None:
            self._file = (
                os.fdopen(os.memfd_create("watchhouse-insert"), "wb", buffering=0)
                if hasattr(os, "memfd_create")
                else tempfile.NamedTemporaryFile(prefix="watchhouse-", buffering=0)  # noqa: SIM115
            )
        self._file.seek(0)
        view = memoryview(payload).cast("B")
        while view:
            view = view[self._file.write(view) :]
        self._file.truncate()
        return f"/proc/self/fd/{self._file.fileno()}" if hasattr(os, "memfd_create") else str(self._file.name)

    def close(self) -> None:
        """Lets go of the memory."""
        if self._file is not None:
            self._file.close()


@dataclass(slots=True, eq=False)
class _Handle:
    """A client, and what belongs to it alone."""

    client: Client
    payload: _Payload = field(default_factory=_Payload)

    def close(self) -> None:
        """Closes the client and frees its memory."""
        self.client.close()
        self.payload.close()


def open_pool(config: StoreConfig, data_dir: Path, database: str | None = None) -> Pool:
    """The pool the configuration asks for, bound to its database, which is there when this returns.

    Raises StoreUnavailable when the server cannot be reached or another process holds the embedded store's
    folder, ConfigError when the URL or the password file is wrong.
    """
    embedded = config.url == "embedded"
    opener = _embedded(config, data_dir) if embedded else _server(config)
    name = database or (DATABASE if embedded else _server_database(config.url))
    unbound = Pool(opener, embedded, "default")
    unbound.command(f"CREATE DATABASE IF NOT EXISTS `{name}`")
    pool = Pool(opener, embedded, name)
    # the engine stays open only while a client of it is: the first bound one before the unbound one goes
    pool.ping()
    unbound.close()
    if embedded:
        _give_way_to_others("MergeMutate")
    return pool


def _give_way_to_others(thread_name: str) -> None:
    """Lowers the priority of the engine's threads of a name, where the system has priorities of threads.

    Merges then take the time that is left: under load they run seldom, and each takes more parts at once.
    """
    for task in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().strip() == thread_name:
                os.setpriority(os.PRIO_PROCESS, int(task.name), 5)


def _embedded(config: StoreConfig, data_dir: Path) -> Opener:
    folder = (data_dir / "clickhouse").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([Problem("", None, "data_dir", f"{folder} cannot be made: {error.strerror}")]) from None
    options = {**_ENGINE_OPTIONS, "max_server_memory_usage": config.memory_limit}

    def connect(database: str, settings: Mapping[str, Any]) -> Client:
        try:
            return clickhouse_connect.get_client(
                dsn=f"chdb://{folder}",
                database=database,
                # first: a connection that is read-only takes no settings after that one
                settings={**_EMBEDDED_SETTINGS, **settings},
                chdb_options=options,
            )
        except ClickHouseError as error:
            # the library repeats the whole connection string, with every option
            reason = _first_line(error).rpartition("': ")[2]
            if "EmbeddedServer" in reason:
                reason = "another process has it open"
            raise StoreUnavailable(f"the embedded store in {folder} cannot be opened: {reason}") from error

    return connect


def _server(config: StoreConfig) -> Opener:
    url = urlsplit(config.url)
    password = read_secret(config.password_file).get_secret_value() if config.password_file else ""
    if url.password is not None:
        message = "holds a password; put it in a file and name that in store.password_file"
        raise ConfigError([Problem("", None, "store.url", message)])
    proxy_path = parse_qs(url.query).get("proxy_path", [""])[0]

    def connect(database: str, settings: Mapping[str, Any]) -> Client:
        return clickhouse_connect.get_client(
            host=url.hostname or "localhost",
            port=url.port or (8443 if url.scheme == "clickhouses" else 8123),
            username=unquote(url.username or "default"),
            password=password,
            database=database,
            secure=url.scheme == "clickhouses",
            proxy_path=proxy_path,
            settings=dict(settings),
            connect_timeout=5,
            # no statement of ours may take longer than a query is allowed to, and stopping waits for it
            send_receive_timeout=150,
            # sessions would serialise on the server, and nothing here needs one
            autogenerate_session_id=False,
        )

    return connect


def _server_database(url: str) -> str:
    name = urlsplit(url).path.strip("/") or DATABASE
    if not name.replace("_", "").isalnum():
        raise ConfigError([Problem("", None, "store.url", f"not a database name: {name!r}")])
    return name


def _literal(value: Any) -> str:
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:2000]
