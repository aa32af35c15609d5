"""Every error Watchhouse raises on purpose.

WatchhouseError
├── ConfigError            a configuration, rule, SLO or Alertmanager file is wrong; holds every problem
├── DecodeError            a sender's payload cannot be read; nothing of it was kept
├── Overloaded             a bounded queue is full; ask again after `retry_after_s`
├── StoreError             ClickHouse refused a statement; keeps its error code
│   └── StoreUnavailable   ClickHouse cannot be reached
└── QueryError             a query cannot be answered; knows its Prometheus error type
    ├── BadQuery           the query text or a parameter is wrong (bad_data, 400)
    ├── NotFound           what is asked for by its name is not there (not_found, 404)
    ├── QueryFailed        the query is well formed but cannot be evaluated (execution, 422)
    │   └── QueryLimit     a limit was met; the message names it and its value
    ├── QueryTimeout       the query ran out of time (timeout, 503)
    └── QueryCanceled      the asker went away or the service stops (canceled, 499)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class WatchhouseError(Exception):
    """Base of all errors raised on purpose; its text may be shown to a user."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file. `line` counts from 1; `key` is a dotted path, as a user would write it."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(WatchhouseError):
    """One or more files are wrong; `problems` lists every mistake found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class DecodeError(WatchhouseError):
    """A payload cannot be decoded at all. The sender gets 400 (or its protocol's like) and must not retry."""


class Overloaded(WatchhouseError):
    """A bounded buffer is full. The sender gets 429 and may retry after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreError(WatchhouseError):
    """ClickHouse refused a statement. `code` is its error code, 0 when there was none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StoreUnavailable(StoreError):
    """ClickHouse cannot be reached, or is shutting down; the same statement may succeed later."""


class QueryError(WatchhouseError):
    """A query cannot be answered. `position` is the character offset in the query text, where known."""

    error_type: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class BadQuery(QueryError):
    """The query or a parameter is not valid: `bad_data`, 400."""

    error_type = "bad_data"
    status = 400


class NotFound(QueryError):
    """There is nothing of the name asked for: `not_found`, 404."""

    error_type = "not_found"
    status = 404


class QueryFailed(QueryError):
    """The query is valid but cannot be evaluated on this data: `execution`, 422."""

    error_type = "execution"
    status = 422


class QueryLimit(QueryFailed):
    """The query met a limit; the message names the limit, its value and the setting to change."""


class QueryTimeout(QueryError):
    """The query took longer than it may: `timeout`, 503."""

    error_type = "timeout"
    status = 503


class QueryCanceled(QueryError):
    """The query was cancelled before it ended: `canceled`, 499."""

    error_type = "canceled"
    status = 499
