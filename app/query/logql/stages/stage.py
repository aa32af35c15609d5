"""What every stage of a log pipeline is: a value that prints back to LogQL and adds itself to the SQL of the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from app.query.logql.rows import Rows


class Stage(ABC):
    """One stage. Immutable; two are equal that do the same."""

    __slots__ = ()

    leaves_out: ClassVar[bool] = False
    """Whether it may leave lines out."""
    rewrites: ClassVar[bool] = False
    """Whether it changes the text of a line."""
    parses: ClassVar[bool] = False
    """Whether it finds labels in the text of a line."""

    def reads(self) -> frozenset[str]:
        """The labels it looks at."""
        return frozenset()

    @abstractmethod
    def apply(self, rows: Rows) -> None:
        """Adds what it does to the rows."""

    @abstractmethod
    def __str__(self) -> str:
        """LogQL that parses to an equal stage."""
