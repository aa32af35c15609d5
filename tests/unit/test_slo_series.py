"""SLOs as series: Sloth's names and labels, exact values, ends, and no series fed by itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest

from app.alert import Alert
from app.labels import Labels, labels_from
from app.store.metrics import STALE_NAN_BITS
from ingest.series import SeriesIndex
from slo.measure import Measured
from slo.period import Rolling
from slo.series import SloSeries, reads_own_series, series_of
from slo.spec import Component, EventsSli, Query, RatioSli, SloSpec
from tests.slo_judging import WORKBOOK, D, H, M, alert, measured, slo, sums

SPEC = replace(slo(alert(*WORKBOOK)), labels=(("owner", "checkout"),))
WINDOWS = (5 * M, 30 * M, H, 2 * H, 6 * H, D, 3 * D)
STALE = "stale"
Sample = float | str


@dataclass
class Sink:
    """Keeps what it is given, by cycle, as {labels: (ms, value)}."""

    own: SeriesIndex = field(default_factory=SeriesIndex)
    cycles: list[dict[Labels, tuple[int, Sample]]] = field(default_factory=list)

    @property
    def index(self) -> SeriesIndex:
        """As SeriesSink."""
        return self.own

    def put(
        self,
        index: SeriesIndex,
        refs: npt.NDArray[np.int32],
        ts_ms: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """As SeriesSink."""
        assert index is self.own
        stale = values.view(np.uint64) == STALE_NAN_BITS
        rows = zip(refs.tolist(), ts_ms.tolist(), values.tolist(), stale.tolist(), strict=True)
        found = {self.own.labels[ref]: (ms, STALE if ended else value) for ref, ms, value, ended in rows}
        assert len(found) == len(refs)
        self.cycles.append(found)

    def by_name(self, cycle: int = -1) -> dict[str, Sample]:
        """The values of a cycle by metric name, where there is one SLO."""
        return {dict(labels)["__name__"]: value for labels, (_, value) in self.cycles[cycle].items()}


def known(at_ms: int, bad: float = 20, known_ms: int = 40 * D) -> Measured:
    """Windows with a thousand events each, and a period of a million of which 250 were bad."""
    one = {window: sums([bad], [1000]) for window in WINDOWS}
    return measured(one, sums([250], [1_000_000]), known_ms, at_ms)


def cycle(series: SloSeries[SeriesIndex], at_ms: int, *alerts: Alert, spec: SloSpec = SPEC, **more: float) -> None:
    """One SLO through one cycle."""
    series.add([spec], known(at_ms, **more))  # type: ignore[arg-type]
    series.flush(alerts, at_ms)


def test_an_slo_has_sloths_series_with_exact_values() -> None:
    """Fifteen series: a ratio a window and the period's, which is the events' own, and the seven about the SLO."""
    sink = Sink()
    cycle(SloSeries(sink, "1.2"), H)
    found = sink.by_name()
    ratios = {name: value for name, value in found.items() if name.startswith("slo:sli_error:ratio_rate")}
    assert list(ratios) == [f"slo:sli_error:ratio_rate{w}" for w in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")]
    assert ratios.pop("slo:sli_error:ratio_rate30d") == 0.00025
    assert set(ratios.values()) == {0.02}
    assert {name: value for name, value in found.items() if name not in ratios and "ratio_rate" not in name} == {
        "slo:objective:ratio": 0.999,
        "slo:error_budget:ratio": 0.001,
        "slo:time_period:days": 30.0,
        "slo:current_burn_rate:ratio": pytest.approx(20),
        "slo:period_burn_rate:ratio": pytest.approx(0.25),
        "slo:period_error_budget_remaining:ratio": pytest.approx(0.75),
        "sloth_slo_info": 1.0,
    }
    assert {ms for ms, _ in sink.cycles[0].values()} == {H}


def test_labels_are_those_of_sloths_rules() -> None:
    """The ids, the spec's labels, the window, and what the info series tells; group labels too."""
    every = [dict(labels) for labels in series_of(SPEC, WINDOWS, "1.2")]
    ids = {
        "owner": "checkout",
        "sloth_id": "shop-availability",
        "sloth_service": "shop",
        "sloth_slo": "availability",
    }
    assert every[0] == {"__name__": "slo:sli_error:ratio_rate5m", "sloth_window": "5m", **ids}
    assert every[7] == {"__name__": "slo:sli_error:ratio_rate30d", "sloth_window": "30d", **ids}
    assert every[-1] == {
        "__name__": "sloth_slo_info",
        "sloth_version": "1.2",
        "sloth_mode": "watchhouse",
        "sloth_spec": "prometheus/v1",
        "sloth_objective": "99.9",
        **ids,
    }
    grouped = dict(series_of(SPEC.of_group((("handler", "/a"),)), (), "1")[0])
    assert (grouped["handler"], grouped["sloth_id"]) == ("/a", 'shop-availability{handler="/a"}')
    assert all(labels == labels_from(labels) for labels in series_of(SPEC, WINDOWS, "1"))


def test_a_label_of_the_spec_cannot_take_the_place_of_an_id() -> None:
    """Two SLOs never have one series."""
    spec = replace(SPEC, labels=(("sloth_id", "mine"),))
    assert dict(series_of(spec, (), "1")[0])["sloth_id"] == "shop-availability"


def test_a_window_as_long_as_the_period_is_one_series() -> None:
    """Two samples of one series at one time would say which came last."""
    names = [dict(labels)["__name__"] for labels in series_of(replace(SPEC, period=Rolling(D)), WINDOWS, "1")]
    assert len(set(names)) == len(names) == 14


def test_without_traffic_there_is_no_sample_and_the_series_ends() -> None:
    """A ratio of nothing by nothing is not written; where there was one before, it ends at once."""
    sink = Sink()
    series = SloSeries(sink, "1")
    one = {window: sums([0], [0]) for window in WINDOWS}
    series.add([SPEC], measured(one, sums([0], [0]), at_ms=H))
    series.flush((), H)
    assert set(sink.by_name()) == {
        "slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days", "sloth_slo_info",
    }  # fmt: skip
    cycle(series, H + M)
    series.add([SPEC], measured(one, sums([250], [1_000_000]), at_ms=H + 2 * M))
    series.flush((), H + 2 * M)
    assert sink.by_name()["slo:sli_error:ratio_rate5m"] == STALE
    assert sink.by_name()["slo:period_burn_rate:ratio"] == pytest.approx(0.25)
    series.add([SPEC], measured(one, sums([250], [1_000_000]), at_ms=H + 3 * M))
    series.flush((), H + 3 * M)
    assert "slo:sli_error:ratio_rate5m" not in sink.by_name()


def test_a_window_whose_history_is_still_being_read_has_no_sample() -> None:
    """Half a window's ratio is not that window's."""
    sink = Sink()
    cycle(SloSeries(sink, "1"), H, known_ms=2 * H)
    assert "slo:sli_error:ratio_rate2h" in sink.by_name()
    assert "slo:sli_error:ratio_rate6h" not in sink.by_name()
    assert "slo:period_burn_rate:ratio" not in sink.by_name()


def test_a_count_that_has_not_gone_on_gives_no_samples() -> None:
    """Two cycles within an interval, or an SLO that cannot be counted, write nothing a second time."""
    sink = Sink()
    series = SloSeries(sink, "1")
    cycle(series, H)
    cycle(series, H)
    assert len(sink.cycles) == 1


def test_an_slo_that_is_gone_ends_all_its_series() -> None:
    """After a reload a dashboard shows it no more."""
    sink = Sink()
    series, other = SloSeries(sink, "1"), replace(SPEC, name="latency")
    both = measured({window: sums([1, 2], [10, 10]) for window in WINDOWS}, sums([1, 1], [10, 10]), at_ms=H)
    series.add([SPEC, other], both)
    series.flush((), H)
    assert len(sink.cycles[0]) == 30
    cycle(series, H + M)
    ended = [labels for labels, (_, value) in sink.cycles[1].items() if value == STALE]
    assert {dict(labels)["sloth_slo"] for labels in ended} == {"latency"}
    assert len(ended) == 15


def test_an_slo_whose_labels_change_ends_the_old_series_and_no_other() -> None:
    """What stays the same goes on."""
    sink = Sink()
    series = SloSeries(sink, "1")
    cycle(series, H)
    cycle(series, H + M, spec=replace(SPEC, objective=99.0, components=(Component(SPEC.components[0].sli, 99.0),)))
    ended = {dict(labels).get("sloth_objective") for labels, (_, v) in sink.cycles[1].items() if v == STALE}
    assert ended == {"99.9"}
    assert sink.by_name()["slo:objective:ratio"] == 0.99


def test_alerts_are_there_while_they_fire() -> None:
    """`ALERTS` as Prometheus has it, which Sloth's dashboards read; it ends with the alert."""
    sink = Sink()
    series = SloSeries(sink, "1")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    fires = Alert(labels_from({"alertname": "ShopDown", "sloth_severity": "page"}), now)
    cycle(series, H, fires)
    labels = labels_from({**dict(fires.labels), "__name__": "ALERTS", "alertstate": "firing"})
    assert sink.cycles[0][labels] == (H, 1.0)
    cycle(series, H + M, replace(fires, ends_at=now))
    assert sink.cycles[1][labels] == (H + M, STALE)
    cycle(series, H + 2 * M)
    assert labels not in sink.cycles[2]


def test_a_new_index_gives_every_series_anew() -> None:
    """Refs of a full index are never used with the one that follows it."""
    sink = Sink()
    series = SloSeries(sink, "1")
    cycle(series, H)
    sink.own = SeriesIndex()
    cycle(series, H + M)
    assert len(sink.cycles[1]) == 15


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("slo:sli_error:ratio_rate5m", True),
        ('1 - slo:objective:ratio{sloth_slo="x"}', True),
        ("max(ALERTS)", True),
        ('sum(rate({__name__=~"slo.+"}[{{.window}}]))', True),
        ('sum(rate({__name__!="up"}[{{.window}}]))', True),
        ('sum(rate({__name__=~"http_.+"}[{{.window}}]))', False),
        ("slo:requests:rate5m", False),
        ("sum(rate(http_requests_total[{{.window}}]))", False),
    ],
)
def test_an_slo_that_reads_such_series_has_none(query: str, reads: bool) -> None:
    """What an SLO says never becomes what it is computed from."""
    spec = replace(SPEC, components=(Component(RatioSli(Query(query)), 99.9),))
    assert reads_own_series(spec) is reads
    total = EventsSli(Query("x"), Query(query))
    assert reads_own_series(replace(SPEC, components=(Component(total, 99.9),))) is reads
    sink = Sink()
    cycle(SloSeries(sink, "1"), H, spec=spec)
    assert bool(sink.cycles) is not reads


def test_a_line_of_a_log_may_name_them() -> None:
    """LogQL reads no series."""
    spec = replace(SPEC, components=(Component(RatioSli(Query('{app="x"} |= "ALERTS"', "logql")), 99.9),))
    assert not reads_own_series(spec)
