"""SLOs as series under Sloth's names, so that dashboards made for Sloth work, with exact values.

Names and labels are those of Sloth 0.16 (pkg/common/conventions, the sli_rules and metadata_rules plugins), except that
the ratio over the period is no mean of ratios but the events' own, like all the others.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from app.alert import Alert
from app.durations import format_duration_ms
from app.labels import METRIC_NAME, Labels, Matcher, MatchOp, labels_from
from app.store.metrics import STALE_NAN_BITS
from slo.burn import budget_of, budget_used, burn_rate, overall_ratio, parts_of
from slo.measure import Bools, Floats, Ints, Measured
from slo.period import DAY_MS, spans
from slo.spec import EventsSli, Query, RatioSli, Sli, SloSpec

RATIO = "slo:sli_error:ratio_rate"
OBJECTIVE = "slo:objective:ratio"
BUDGET = "slo:error_budget:ratio"
DAYS = "slo:time_period:days"
BURN = "slo:current_burn_rate:ratio"
PERIOD_BURN = "slo:period_burn_rate:ratio"
LEFT = "slo:period_error_budget_remaining:ratio"
INFO = "sloth_slo_info"
ALERTS = "ALERTS"
NAMES = (OBJECTIVE, BUDGET, DAYS, BURN, PERIOD_BURN, LEFT, INFO)
"""Those of every SLO, beside a ratio for each window."""
_SPECS = {"sloth": "prometheus/v1", "openslo": "openslo/v1", "pyrra": "pyrra.dev/v1alpha1"}
_NAMED = re.compile(rf"\b(?:{RATIO}\w*|{'|'.join((*NAMES, ALERTS))})\b")
_MATCHED = re.compile(r"""__name__\s*(=~|!~|!=)\s*["'`]([^"'`]*)""")

Refs = npt.NDArray[np.int32]


class SeriesIndex(Protocol):
    """Gives a number for each label set, the same one each time. May be called from any thread."""

    def ref(self, labels: Labels) -> int:
        """The number of a label set in canonical form."""


Index = TypeVar("Index", bound=SeriesIndex)


class SeriesSink(Protocol[Index]):
    """Takes samples. Called on the event loop."""

    @property
    def index(self) -> Index:
        """What refs given now belong to; another one once it is full."""

    def put(self, index: Index, refs: Refs, ts_ms: Ints, values: Floats) -> None:
        """Takes n samples. Does not wait and does not raise: what cannot be kept is logged and counted."""


@dataclass(slots=True)
class _Known:
    """One SLO: the refs of its series, as `series_of` orders them, and which of them had a value at `at_ms`."""

    spec: SloSpec
    windows: tuple[int, ...]
    refs: Refs
    there: Bools
    silent: bool
    """Whether it reads such series itself, and so has none."""
    at_ms: int = 0


class SloSeries(Generic[Index]):
    """Makes the samples of each cycle. Not safe for two threads at once.

    A series that has no value any more ends with a stale marker, as a recording rule's does. An SLO whose queries read
    such series has none itself: it would be fed by what it says.
    """

    def __init__(self, sink: SeriesSink[Index], version: str) -> None:
        self._sink = sink
        self._version = version
        self._index = sink.index
        self._known: dict[str, _Known] = {}
        self._seen: set[str] = set()
        self._firing: dict[Labels, int] = {}
        self._parts: list[tuple[Refs, Ints, Floats]] = []

    def add(self, specs: Sequence[SloSpec], measured: Measured) -> None:
        """Takes what is known of SLOs of one shape, one a point. Those whose count has not gone on give no samples."""
        if not self._seen and self._sink.index is not self._index:
            self._index, self._known, self._firing = self._sink.index, {}, {}
        windows = tuple(sorted(measured.windows))
        known = [self._of(spec, windows) for spec in specs]
        self._seen.update(spec.id for spec in specs)
        before_ms = np.array([one.at_ms for one in known], np.int64)
        points = np.flatnonzero((measured.at_ms > before_ms) & ~np.array([one.silent for one in known], bool))
        if not len(points):
            return
        known, at_ms = [known[n] for n in points], measured.at_ms[points]
        values = _values(specs[0], measured.at(points), windows)
        there = ~np.isnan(values)
        said = there | np.column_stack([one.there for one in known])
        values.view(np.uint64)[~there] = STALE_NAN_BITS
        for n, (one, ms) in enumerate(zip(known, at_ms.tolist(), strict=True)):
            one.at_ms, one.there = ms, there[:, n]
        refs = np.column_stack([one.refs for one in known])
        self._parts.append((refs[said], np.broadcast_to(at_ms, said.shape)[said], values[said]))

    def flush(self, alerts: Sequence[Alert], at_ms: int) -> None:
        """Hands on the samples of a cycle and those of `ALERTS`, and ends the series of SLOs that are gone.

        Call it after all SLOs were added, on the event loop. It never waits and never raises.
        """
        if self._seen:
            for slo in [slo for slo in self._known if slo not in self._seen]:
                one = self._known.pop(slo)
                self._put(one.refs[one.there], max(at_ms, one.at_ms + 1), stale=True)
        self._alerts(alerts, at_ms)
        parts, self._parts, self._seen = self._parts, [], set()
        if parts:
            refs, ts_ms, values = zip(*parts, strict=True)
            self._sink.put(self._index, np.concatenate(refs), np.concatenate(ts_ms), np.concatenate(values))

    def _of(self, spec: SloSpec, windows: tuple[int, ...]) -> _Known:
        old = self._known.get(spec.id)
        if old is not None and old.windows == windows and (old.spec is spec or old.spec == spec):
            return old
        refs = np.array([self._index.ref(labels) for labels in series_of(spec, windows, self._version)], np.int32)
        new = _Known(spec, windows, refs, np.zeros(len(refs), bool), reads_own_series(spec))
        if old is not None:
            gone = old.there & ~np.isin(old.refs, refs)
            new.at_ms, new.there = old.at_ms, np.isin(refs, old.refs[old.there])
            self._put(old.refs[gone], old.at_ms + 1, stale=True)
        self._known[spec.id] = new
        return new

    def _alerts(self, alerts: Sequence[Alert], at_ms: int) -> None:
        firing = {
            labels_from({**dict(alert.labels), METRIC_NAME: ALERTS, "alertstate": "firing"})
            for alert in alerts
            if alert.ends_at is None
        }
        ended = [ref for labels, ref in self._firing.items() if labels not in firing]
        self._firing = {labels: self._index.ref(labels) for labels in sorted(firing)}
        self._put(np.array(list(self._firing.values()), np.int32), at_ms)
        self._put(np.array(ended, np.int32), at_ms, stale=True)

    def _put(self, refs: Refs, at_ms: int, *, stale: bool = False) -> None:
        """One sample of each series: 1, or that it ends."""
        if not len(refs):
            return
        values = np.ones(len(refs))
        if stale:
            values.view(np.uint64)[:] = STALE_NAN_BITS
        self._parts.append((refs, np.full(len(refs), at_ms, np.int64), values))


def series_of(spec: SloSpec, windows: Sequence[int], version: str) -> list[Labels]:
    """The label sets of an SLO's series: a ratio for each window and the period, then `NAMES`.

    Pairs are shared between them, so that thousands of SLOs have room.
    """
    own = {
        **dict(spec.labels),
        **dict(spec.group),
        "sloth_id": spec.id,
        "sloth_service": spec.service,
        "sloth_slo": spec.name,
    }
    pairs = tuple(own.items())
    info = {
        **own,
        "sloth_version": version,
        "sloth_mode": "watchhouse",
        "sloth_spec": _SPECS[spec.format],
        "sloth_objective": np.format_float_positional(spec.objective, trim="-"),
    }
    return [
        *(tuple(sorted((*pairs, *_of_window(window)))) for window in _lengths(spec, windows)),
        *(tuple(sorted((*pairs, (METRIC_NAME, name)))) for name in NAMES[:-1]),
        labels_from({**info, METRIC_NAME: INFO}),
    ]


def reads_own_series(spec: SloSpec) -> bool:
    """Whether a PromQL query of an SLO may read series that SLOs are written as."""
    queries = (query for component in spec.components for query in _queries(component.sli))
    return any(_reads_own(query.text) for query in queries if query.language == "promql")


def _reads_own(text: str) -> bool:
    matchers = [Matcher(METRIC_NAME, MatchOp(op), value) for op, value in _MATCHED.findall(text)]
    names = (*NAMES, f"{RATIO}5m", ALERTS)
    return _NAMED.search(text) is not None or any(one.matches(name) for one in matchers for name in names)


def _queries(sli: Sli) -> list[Query]:
    if isinstance(sli, EventsSli):
        return [query for query in (sli.bad, sli.good, sli.total) if query is not None]
    return [sli.ratio if isinstance(sli, RatioSli) else sli.value]


def _lengths(spec: SloSpec, windows: Sequence[int]) -> tuple[int, ...]:
    """The windows, and the period where no window has its length: they would be one series."""
    period_ms = spec.period.length_ms
    return tuple(windows) if period_ms in windows else (*windows, period_ms)


@functools.lru_cache(maxsize=4096)
def _of_window(window_ms: int) -> Labels:
    text = format_duration_ms(window_ms)
    return ((METRIC_NAME, f"{RATIO}{text}"), ("sloth_window", text))


def _values(spec: SloSpec, measured: Measured, windows: tuple[int, ...]) -> Floats:
    """A row a series and a column a point, NaN where there is none: no traffic, or history still to be read."""
    n, parts = len(measured.at_ms), parts_of(spec)
    begin_ms, _ = spans(spec.period, measured.at_ms)
    read = measured.known_ms >= measured.at_ms - begin_ms
    used = np.where(read, budget_used(spec, measured), np.nan)
    current = min(spec.windows_ms or windows, default=None)
    burn = np.full(n, np.nan) if current is None else burn_rate(parts, measured.windows[current])
    ratios = [
        np.where(measured.known_ms >= window, overall_ratio(spec, measured.windows[window]), np.nan)
        if window in measured.windows
        else np.where(read, overall_ratio(spec, measured.period), np.nan)
        for window in _lengths(spec, windows)
    ]
    rows = {
        OBJECTIVE: np.full(n, float(1 - budget_of(spec.objective))),
        BUDGET: np.full(n, float(budget_of(spec.objective))),
        DAYS: np.full(n, spec.period.length_ms / DAY_MS),
        BURN: burn,
        PERIOD_BURN: used,
        LEFT: 1 - used,
        INFO: np.ones(n),
    }
    return np.stack([*ratios, *(rows[name] for name in NAMES)])
