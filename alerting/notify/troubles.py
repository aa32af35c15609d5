"""What somebody has to mend at receivers, for health: one place for every kind of notifier."""

from __future__ import annotations

from collections.abc import Collection


class Troubles:
    """By notifier (`receiver/kind/place`), or by a part of it (`receiver/kind/place charts`), why it does not work.

    Written by the event loop, and read from any thread.
    """

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def note(self, key: str, why: str) -> None:
        """The last attempt failed, and nothing is left to try."""
        self._found[key] = why

    def over(self, key: str) -> None:
        """It works."""
        self._found.pop(key, None)

    def keep(self, notifiers: Collection[str]) -> None:
        """Forgets those of notifiers that are no more, with their parts."""
        self._found = {key: why for key, why in self._found.items() if key.removesuffix(" charts") in notifiers}

    def found(self) -> dict[str, str]:
        """All of them, in order."""
        # a copy is made in one step: the loop may write meanwhile
        return dict(sorted(self._found.copy().items()))
