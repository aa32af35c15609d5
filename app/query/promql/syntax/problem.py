"""What is wrong with a query, and where."""

from __future__ import annotations


class Problem(Exception):
    """`message` is worded as Prometheus words it; `start` is where, in characters from the start of the query."""

    def __init__(self, message: str, start: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
