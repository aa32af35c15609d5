"""What others look at again after every change of it: silences, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable


class Watched:
    """Counts its changes in `version`, and tells its listeners."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []
        self.version = 0

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has a listener called after every change."""
        self._listeners.append(listener)

    def _changed(self) -> None:
        self.version += 1
        for listener in self._listeners:
            listener()
