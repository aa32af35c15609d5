"""A target's pages → columns, made cheap by what the pages before looked like.

Two short cuts, each giving exactly what reading the page line by line would give:

* the page has the form of the last one. Most lines of a page never change, so a form knows the lines that do, and the
  stretches of bytes between their values. When every stretch is found again, only those values are read. A line that
  changes for the first time is added to them;
* otherwise each line's series is looked up by its raw bytes, and only a series not met before is parsed, relabelled
  and given a ref.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.errors import DecodeError
from app.labels import Labels
from app.store.metrics import Metadata
from ingest.scrape import exposition
from ingest.scrape.exemplars import ExemplarTexts, Found, PageExemplar
from ingest.scrape.form import NO_TIME, Form
from ingest.series import RefCache, SeriesIndex, SeriesRegistry

_DROPPED = -1
_HASH = 0x23

Resolve = Callable[[list[tuple[str, str]]], Labels | None]
"""From the labels on the page to the series' labels, None to drop it. Raises ValueError to refuse the page."""


class PageRefused(DecodeError):
    """A page is not kept, and why; `scraped` samples had been read, `kept` of them were not dropped."""

    def __init__(self, reason: str, scraped: int = 0, kept: int = 0) -> None:
        super().__init__(reason)
        self.scraped = scraped
        self.kept = kept


@dataclass(frozen=True, slots=True)
class Page:
    """The samples of a page. The arrays may be shared with later pages: copy before writing.

    `ts_ms` is None when no sample has a timestamp of its own, NO_TIME where one has none. `scraped` counts lines,
    `kept` what relabelling left, `added` series that were not on the last good page, `gone` are refs that no longer
    are. `exemplars` are those the page before had not.
    """

    index: SeriesIndex
    refs: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64]
    ts_ms: npt.NDArray[np.int64] | None
    scraped: int
    kept: int
    added: int
    gone: Sequence[int] = ()
    metadata: Sequence[Metadata] = ()
    exemplars: Sequence[PageExemplar] = ()


@dataclass(slots=True)
class _Columns:
    """The sample lines of a page as they are read; refs of dropped samples are _DROPPED."""

    prefixes: list[bytes | None] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    refs: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)
    exemplars: list[Found] = field(default_factory=list)


class PageReader:
    """Reads the pages of one target, in their order, one at a time; may be called from any thread."""

    def __init__(
        self,
        registry: SeriesRegistry,
        resolve: Resolve,
        honor_timestamps: bool = True,
        track_timestamps: bool = False,
        sample_limit: int = 0,
    ) -> None:
        self._sample_limit = sample_limit
        self._cache: RefCache[bytes] = RefCache(registry)
        self._resolve = resolve
        self._honor = honor_timestamps
        self._track_timestamps = track_timestamps
        self._form: Form | None = None
        self._index = self._cache.index
        self._tracked: frozenset[int] = frozenset()
        self._last: frozenset[int] = frozenset()
        self._comments: set[bytes] = set()
        self._families: dict[str, Metadata] = {}
        self._exemplars = ExemplarTexts()

    @property
    def warm(self) -> bool:
        """Whether a page has been read, so that the next one like it will be quick."""
        return self._form is not None

    def read(self, body: bytes, openmetrics: bool = False) -> Page:
        """The samples of the next page. Raises PageRefused; `leave` then says what to mark stale."""
        refs = self._refresh()
        form = self._form
        if form is not None and form.openmetrics == openmetrics:
            exemplars = self._update(form, body)
            if exemplars is not None:
                return self._page(form, exemplars=self._exemplars.news(exemplars, form.exemplar_refs, form.ts_ms))
        self._form = None
        columns, metadata = self._columns(body, openmetrics, refs)
        form = self._new_form(body, openmetrics, columns)
        if self._sample_limit and form.kept > self._sample_limit:
            refusal = f"{form.kept} samples (sample_limit {self._sample_limit})"
            raise PageRefused(refusal, len(columns.refs), form.kept)
        self._form = form
        return self._settle(form, columns, metadata)

    def leave(self) -> tuple[SeriesIndex, list[int]]:
        """The target has failed or is gone: the refs that now need a stale marker, and what they refer to."""
        self._refresh()
        self.repeat_exemplars()
        gone, self._tracked = self._tracked, frozenset()
        return self._index, sorted(gone)

    def repeat_exemplars(self) -> None:
        """The last page was not kept: all exemplars of the next one are news."""
        self._form = None
        self._exemplars.clear()

    def adopt(self, labels: Iterable[Labels]) -> None:
        """Takes over the series of a predecessor: those that the next page has not got are marked stale."""
        self._refresh()
        self._form = None
        self._tracked |= {self._index.ref(one) for one in labels}
        self._last |= self._tracked

    def _refresh(self) -> dict[bytes, int]:
        refs = self._cache.current()
        old, new = self._index, self._cache.index
        if new is not old:
            self.repeat_exemplars()
            self._tracked = frozenset(new.ref(old.labels[ref]) for ref in self._tracked)
            self._last = frozenset(new.ref(old.labels[ref]) for ref in self._last)
            self._index = new
        return refs

    # --- a page of the form of the last one

    def _update(self, form: Form, body: bytes) -> list[Found] | None:
        """Writes the values of a page of this form into it, and gives its exemplars; None: it is of another form."""
        if not body.endswith(b"\n"):
            return None
        found = form.moving_values(body)
        if found is None:
            return None
        exemplars: list[Found] = []
        try:
            if form.openmetrics and b"#" in b"".join(found):
                found, exemplars = self._split(form, found)
            if form.ts_ms is not None:
                return exemplars if self._update_timed(form, found) else None
            if b"_" in b"".join(found):
                return None
            values = list(map(float, found))
        except ValueError:
            return None
        form.values = form.values.copy()
        form.values[form.moving_slots] = values
        return exemplars

    def _split(self, form: Form, tails: list[bytes]) -> tuple[list[bytes], list[Found]]:
        """Values that move, and the exemplars behind them. Raises ValueError."""
        values, exemplars = [], []
        for slot, tail in zip(form.moving_slots.tolist(), tails, strict=True):
            value, text = exposition.split_tail(tail)
            values.append(value)
            if text:
                exemplars.append(self._exemplars.read(slot, int(form.exemplar_refs[slot]), text))
        return values, exemplars

    @staticmethod
    def _update_timed(form: Form, found: list[bytes]) -> bool:
        if not found:
            return True
        own = form.ts_ms
        assert own is not None
        values, times = zip(*(exposition.read_tail(tail, form.openmetrics) for tail in found), strict=True)
        # a sample that gains or loses its timestamp is tracked otherwise
        if [time is None for time in times] != (own[form.moving_slots] == NO_TIME).tolist():
            return False
        form.values, form.ts_ms = form.values.copy(), own.copy()
        form.values[form.moving_slots] = values
        form.ts_ms[form.moving_slots] = [NO_TIME if time is None else time for time in times]
        return True

    # --- any page

    def _columns(self, body: bytes, openmetrics: bool, refs: dict[bytes, int]) -> tuple[_Columns, list[Metadata]]:
        columns = _Columns()
        add_ref, add_value, add_prefix, add_slot = (
            columns.refs.append,
            columns.values.append,
            columns.prefixes.append,
            columns.slots.append,
        )
        comments: list[bytes] = []
        lines = body.split(b"\n")
        try:
            for line in lines:
                series, _, tail = line.rpartition(b" ")
                ref = refs.get(series)
                if ref is not None:
                    try:
                        value = exposition.read_value(tail)
                    except ValueError:
                        ref = None
                if ref is None:
                    stripped = line.lstrip(b" \t\r")
                    if not stripped or stripped[0] == _HASH:
                        add_prefix(None)
                        add_slot(-1)
                        if stripped:
                            comments.append(stripped)
                            if openmetrics and stripped.rstrip(b"\r") == exposition.OM_EOF:
                                break
                        continue
                    prefix, ref, value, ts_ms, exemplar = self._sample(line, openmetrics, refs)
                    if exemplar:
                        columns.exemplars.append(self._exemplars.read(len(columns.refs), ref, exemplar))
                    if ts_ms is not None and self._honor:
                        columns.times[len(columns.refs)] = ts_ms
                    add_prefix(prefix)
                else:
                    add_prefix(series + b" ")
                add_slot(len(columns.refs))
                add_ref(ref)
                add_value(value)
            self._check_end(lines, len(columns.slots), openmetrics, comments)
        except ValueError as error:
            kept = sum(ref != _DROPPED for ref in columns.refs)
            raise PageRefused(f"line {len(columns.prefixes) + 1}: {error}", len(columns.refs), kept) from None
        return columns, self._metadata(comments, lines)

    @staticmethod
    def _check_end(lines: list[bytes], read: int, openmetrics: bool, comments: list[bytes]) -> None:
        if not openmetrics:
            return
        if not comments or comments[-1].rstrip(b"\r") != exposition.OM_EOF:
            raise ValueError("an OpenMetrics page must end with # EOF")
        if any(line.strip() for line in lines[read:]):
            raise ValueError("nothing is wanted after # EOF")

    def _sample(
        self, line: bytes, openmetrics: bool, refs: dict[bytes, int]
    ) -> tuple[bytes, int, float, int | None, bytes]:
        start = exposition.series_end(line)
        series = line[:start].strip(b" \t")
        tail, exemplar = exposition.split_tail(line[start:]) if openmetrics else (line[start:], b"")
        value, ts_ms = exposition.read_tail(tail, openmetrics)
        ref = refs.get(series)
        if ref is None:
            labels = self._resolve(exposition.read_series(series))
            ref = refs[series] = _DROPPED if labels is None else self._index.ref(labels)
        return line[:start], ref, value, ts_ms, exemplar

    def _metadata(self, comments: list[bytes], lines: list[bytes]) -> list[Metadata]:
        known = self._comments
        changed: dict[str, Metadata] = {}
        for comment in comments:
            if comment in known:
                continue
            try:
                family = exposition.comment_family(comment)
                before = None if family is None else changed.get(family) or self._families.get(family)
                found = exposition.read_comment(comment, before)
            except ValueError as error:
                number = next((i for i, line in enumerate(lines, 1) if line.lstrip(b" \t\r") == comment), 0)
                raise PageRefused(f"line {number}: {error}") from None
            if found is not None and found != before:
                changed[found.family] = found
        self._comments = set(comments)
        self._families.update(changed)
        return list(changed.values())

    def _new_form(self, body: bytes, openmetrics: bool, columns: _Columns) -> Form:
        refs = np.array(columns.refs, np.int32)
        ts_ms = None
        if columns.times:
            ts_ms = np.full(len(refs), NO_TIME, np.int64)
            ts_ms[list(columns.times)] = list(columns.times.values())
        keep = _first_of_each(refs, ts_ms)
        return Form(
            openmetrics,
            body,
            columns.prefixes,
            columns.slots,
            np.array(columns.values, np.float64),
            ts_ms,
            refs if keep is None else refs[keep],
            keep,
            int(np.count_nonzero(refs != _DROPPED)),
            _exemplar_refs(refs) if openmetrics else refs,
        )

    def _settle(self, form: Form, columns: _Columns, metadata: list[Metadata]) -> Page:
        """Compares the page's series with the last page's."""
        now = frozenset(form.refs.tolist())
        tracked = now
        if columns.times and not self._track_timestamps:
            tracked = frozenset(ref for slot, ref in enumerate(columns.refs) if slot not in columns.times) - {_DROPPED}
        added, gone = len(now - self._last), sorted(self._tracked - tracked)
        self._last, self._tracked = now, tracked
        if len(self._cache.refs) > 2 * len(columns.refs) + 1000:
            self._forget(form)
        self._exemplars.clear()
        exemplars = self._exemplars.news(columns.exemplars, form.exemplar_refs, form.ts_ms)
        page = self._page(form, added, gone, metadata, exemplars)
        if form.ts_ms is not None and len(now) != form.kept:
            # one series on two lines: whether their times are apart must be seen anew on each page
            self._form = None
        return page

    def _forget(self, form: Form) -> None:
        """Drops the keys of series that have left the page."""
        here = (prefix.strip(b" \t") for prefix in form.prefixes if prefix is not None)
        old = self._cache.refs
        self._cache.refs = {key: old[key] for key in here if key in old}

    def _page(
        self,
        form: Form,
        added: int = 0,
        gone: Sequence[int] = (),
        metadata: Sequence[Metadata] = (),
        exemplars: Sequence[PageExemplar] = (),
    ) -> Page:
        keep, values, ts_ms = form.keep, form.values, form.ts_ms
        if keep is not None:
            values, ts_ms = values[keep], None if ts_ms is None else ts_ms[keep]
        return Page(
            self._index, form.refs, values, ts_ms, len(form.values), form.kept, added, gone, metadata, exemplars
        )


def _exemplar_refs(refs: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Refs with _DROPPED for all but the first of each: of two lines of one series, one exemplar is taken."""
    first = _first_of_each(refs, None)
    if first is None:
        return refs
    taken = np.full(len(refs), _DROPPED, np.int32)
    taken[first] = refs[first]
    return taken


def _first_of_each(refs: npt.NDArray[np.int32], ts_ms: npt.NDArray[np.int64] | None) -> npt.NDArray[np.intp] | None:
    """Places of the samples to store: not dropped, and the first of a series and time; None when that is all."""
    if ts_ms is None:
        _, first = np.unique(refs, return_index=True)
    else:
        _, first = np.unique(np.stack([refs.astype(np.int64), ts_ms]), axis=1, return_index=True)
    keep = np.sort(first)
    keep = keep[refs[keep] != _DROPPED]
    return None if len(keep) == len(refs) else keep
