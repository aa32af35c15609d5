"""What became of attempts to tell a piece of news, until it is told whole: kept over reloads of the configuration."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from alerting.slack.thread import Told

_MOST = 10_000


@dataclass(slots=True)
class Attempt:
    """The attempts to tell one piece of news."""

    unseen: bool = False
    """A post went out and its answer never came."""
    lookups: int = 0
    """How often it could not be looked up whether it arrived."""
    told: Told | None = None
    """The message stands; what is left are replies."""
    said: set[str] = field(default_factory=set)


class Attempts:
    """By receiver's entry and group; of too many the oldest are forgotten."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Attempt] = OrderedDict()

    def of(self, key: str, group_key: str) -> Attempt:
        """What is under way for a group at an entry, or begins now."""
        found = self._open.setdefault((key, group_key), Attempt())
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        return found

    def end(self, key: str, group_key: str) -> None:
        """It is told, or will not be."""
        self._open.pop((key, group_key), None)
