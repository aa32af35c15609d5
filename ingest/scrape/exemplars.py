"""Exemplars of a target's pages: which are news since the page before.

Most exemplars stay where they are from page to page, so they are told apart by their text, and only a new text is
read. That a page repeats an exemplar under another text costs nothing: the writer keeps none twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.exemplars import ExemplarRows, Exemplars
from ingest.scrape import exposition
from ingest.scrape.exposition import Exemplar
from ingest.scrape.form import NO_TIME

Found = tuple[int, bytes, Exemplar | None]
"""A sample's place on its page, the text of its exemplar, and what it says unless it is the text of the last page."""


@dataclass(frozen=True, slots=True)
class PageExemplar:
    """An exemplar that was not on the page before; `ts_ms` is its own time or its sample's, else NO_TIME."""

    ref: int
    ts_ms: int
    exemplar: Exemplar


class ExemplarTexts:
    """The texts of the exemplars on a target's last page, by ref."""

    def __init__(self) -> None:
        self._texts: dict[int, bytes] = {}

    def read(self, slot: int, ref: int, text: bytes) -> Found:
        """What stands behind the sample at `slot`. Raises ValueError when it is no exemplar."""
        return slot, text, None if self._texts.get(ref) == text else exposition.read_exemplar(text)

    def news(
        self, found: Iterable[Found], refs: npt.NDArray[np.int32], ts_ms: npt.NDArray[np.int64] | None
    ) -> list[PageExemplar]:
        """Those that are new, and taken: a negative ref is of a sample whose exemplar is not. Arrays go by slot."""
        new = []
        for slot, text, exemplar in found:
            ref = int(refs[slot])
            if ref < 0:
                continue
            self._texts[ref] = text
            if exemplar is not None:
                own = exemplar.ts_ms if exemplar.ts_ms is not None else NO_TIME if ts_ms is None else int(ts_ms[slot])
                new.append(PageExemplar(ref, own, exemplar))
        return new

    def clear(self) -> None:
        """Makes every exemplar of the next page news."""
        self._texts.clear()


def exemplar_rows(found: Sequence[PageExemplar], ts_ms: int, last_ms: int) -> ExemplarRows:
    """As a batch has them; `ts_ms` is the time of those that have none. None is from later than `last_ms`."""
    rows = Exemplars()
    for one in found:
        own_ms, exemplar = ts_ms if one.ts_ms == NO_TIME else one.ts_ms, one.exemplar
        if 0 <= own_ms <= last_ms:
            rows.add(one.ref, own_ms, exemplar.value, exemplar.labels, timed=exemplar.ts_ms is not None)
        else:
            rows.drop("out_of_bounds")
    return rows.rows()
