"""Who wants to know what is written: of which metrics, and how far back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class WriteListener(Protocol):
    """Is told of every insert into the tables of samples, from the thread that made it. Must neither wait nor raise."""

    def written(self, names: Sequence[str], codes: npt.NDArray[np.integer], ts_ms: npt.NDArray[np.int64]) -> None:
        """Samples at `ts_ms` of the metrics `names[codes]` were written, or may have been.

        Called before they are acknowledged.
        """

    def anything_written(self) -> None:
        """Samples came or went, and nothing is known of them."""


class Written:
    """Passes on to its listeners what is written through one pool. Safe to use from many threads."""

    def __init__(self) -> None:
        self._listeners: tuple[WriteListener, ...] = ()

    def subscribe(self, listener: WriteListener) -> None:
        """Tells `listener` too, from now on."""
        self._listeners = (*self._listeners, listener)

    def tell(self, names: Sequence[str], codes: npt.NDArray[np.integer], ts_ms: npt.NDArray[np.int64]) -> None:
        """An insert has ended, well or not."""
        for listener in self._listeners:
            listener.written(names, codes, ts_ms)

    def tell_anything(self) -> None:
        """Something was changed past the functions that know what they write."""
        for listener in self._listeners:
            listener.anything_written()
