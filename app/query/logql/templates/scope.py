"""What a template reads."""

from __future__ import annotations

from typing import Protocol


class Scope(Protocol):
    """SQL of labels, of constants of the query, of the line and of its time in nanoseconds."""

    def label(self, name: str) -> str:
        """A label's value, '' where there is none."""

    def constant(self, text: str) -> str:
        """A text that the query has."""

    def line_text(self) -> str:
        """The line."""

    def time_ns(self) -> str:
        """When the line was written."""
