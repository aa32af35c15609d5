"""The short cuts of reading pages give what reading line by line gives."""

from __future__ import annotations

import math
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from app.labels import Labels, labels_from
from ingest.scrape.form import NO_TIME
from ingest.scrape.page import Page, PageReader, PageRefused
from ingest.series import SeriesIndex, SeriesRegistry

DATA = Path(__file__).parent.parent / "data" / "scrapes"
Content = dict[tuple[Labels, int], float]


def recorded() -> list[bytes]:
    """Pages of a real node-exporter, a second apart."""
    with tarfile.open(DATA / "node_exporter.tar.xz") as tar:
        files = (tar.extractfile(m) for m in sorted(tar.getmembers(), key=lambda m: m.name) if m.isfile())
        return [file.read() for file in files if file]


def new_reader(registry: SeriesRegistry | None = None, **options: bool) -> PageReader:
    """A reader without relabelling."""
    return PageReader(registry or SeriesRegistry(), labels_from, **options)


def content(page: Page) -> Content:
    """What a page holds, in no order."""
    times = [NO_TIME] * len(page.refs) if page.ts_ms is None else page.ts_ms.tolist()
    labels = [page.index.labels[ref] for ref in page.refs.tolist()]
    return dict(zip(zip(labels, times, strict=True), page.values.tolist(), strict=True))


def same(a: Content, b: Content) -> bool:
    """Equal, with NaN equal to NaN."""
    return a.keys() == b.keys() and all(a[k] == b[k] or (math.isnan(a[k]) and math.isnan(b[k])) for k in a)


def test_recorded_pages_agree_with_prometheus_client() -> None:
    """Every page of a run, read by the short cuts, holds what prometheus-client's parser finds in it."""
    reader = new_reader()
    for number, body in enumerate(recorded()):
        page = reader.read(body)
        if number % 20 == 0:
            expected = {
                (labels_from({**s.labels, "__name__": s.name}), NO_TIME): float(s.value)
                for family in text_string_to_metric_families(body.decode())
                for s in family.samples
            }
            assert same(content(page), expected)
            assert page.scraped == 507


def cadvisor_page(ts_ms: int, cpus: int = 8) -> str:
    """A page in cAdvisor's manner: a timestamp on every sample but one, empty labels."""
    lines = ["# TYPE cadvisor_version_info gauge", 'cadvisor_version_info{cadvisorVersion="v0.49",dockerVersion=""} 1']
    lines += ["# HELP container_cpu_usage_seconds_total Time.", "# TYPE container_cpu_usage_seconds_total counter"]
    for i in range(cpus):
        labels = f'container_label_x="",cpu="cpu{i:02d}",id="/",image="",name=""'
        lines.append(f"container_cpu_usage_seconds_total{{{labels}}} {i}.5 {ts_ms}")
    return "\n".join(lines) + "\n"


def test_timestamps_on_the_page_are_those_of_the_samples() -> None:
    """On the first page and on later ones, as prometheus-client's parser reads them."""
    reader = new_reader()
    for shift in range(3):
        text = cadvisor_page(1395066363000 + shift)
        expected = {
            (
                labels_from({**s.labels, "__name__": s.name}),
                NO_TIME if s.timestamp is None else round(float(s.timestamp) * 1000),
            ): float(s.value)
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }
        assert same(content(reader.read(text.encode())), expected)


def test_timestamps_can_be_left_unheard() -> None:
    """With honor_timestamps off, samples are of the scrape's time, and are tracked."""
    reader = new_reader(honor_timestamps=False)
    for shift in range(3):
        assert reader.read(cadvisor_page(1395066363000 + shift).encode()).ts_ms is None
    assert len(reader.leave()[1]) == 9


NAMES = st.sampled_from(["up", "a", "a:b", "_x"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
LABELS = st.dictionaries(st.sampled_from(["l", "le", "x_1"]), TEXTS, max_size=2)
VALUES = st.floats() | st.integers(-3, 3).map(float)


def escaped(value: str) -> str:
    """A label value as it stands on a page."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def line_of(name: str, labels: dict[str, str], value: float, ts_ms: int | None) -> str:
    """A sample as a line."""
    inner = ",".join(f'{k}="{escaped(v)}"' for k, v in labels.items())
    time = "" if ts_ms is None else f" {ts_ms}"
    return f"{name}{{{inner}}} {value!r}{time}" if inner else f"{name} {value!r}{time}"


LINE = st.builds(line_of, NAMES, LABELS, VALUES, st.none() | st.none() | st.integers(0, 3)) | st.sampled_from(
    ["", "# HELP a x", "# HELP a y", "# TYPE a counter", "# TYPE a gauge", "# other", "   ", "a 1 ", " a 2", "a\t3"]
)


@given(st.lists(st.tuples(NAMES, LABELS, VALUES, st.none() | st.integers(-(2**40), 2**41)), max_size=8))
def test_what_is_rendered_is_read(rows: list[tuple[str, dict[str, str], float, int | None]]) -> None:
    """Any label value, number and timestamp written by the rules comes back; the first of duplicates wins."""
    expected: Content = {}
    for name, labels, value, ts_ms in rows:
        key = (labels_from({**labels, "__name__": name}), NO_TIME if ts_ms is None else ts_ms)
        expected.setdefault(key, value)
    body = "".join(line_of(*row) + "\n" for row in rows).encode()
    assert same(content(new_reader().read(body)), expected)


@st.composite
def page_sequences(draw: st.DrawFn) -> list[str]:
    """Pages as a target gives them: mostly the same lines with other values, sometimes lines come, go and move."""
    lines = draw(st.lists(LINE, max_size=8))
    pages = []
    for _ in range(draw(st.integers(1, 7))):
        pages.append("".join(line + "\n" for line in lines))
        for i in range(len(lines)):
            match draw(st.sampled_from(["stay", "stay", "value", "value", "replace"])):
                case "value" if lines[i].strip() and not lines[i].startswith("#"):
                    head = lines[i].rpartition(" ")[0] or "a"
                    lines[i] = f"{head} {draw(VALUES)!r}" if " " in lines[i] else lines[i]
                case "replace":
                    lines[i] = draw(LINE)
        match draw(st.sampled_from(["stay", "stay", "add", "remove", "turn"])):
            case "add":
                lines.insert(draw(st.integers(0, len(lines))), draw(LINE))
            case "remove" if lines:
                lines.pop(draw(st.integers(0, len(lines) - 1)))
            case "turn":
                lines.reverse()
    return pages


@settings(max_examples=400, deadline=None)
@given(page_sequences(), st.booleans(), st.booleans())
def test_short_cuts_change_nothing(pages: list[str], honor: bool, track: bool) -> None:
    """Each page of any sequence holds for a reader that saw the others what it holds for a new one."""
    reader = new_reader(honor_timestamps=honor, track_timestamps=track)
    tracked: set[Labels] = set()
    for text in pages:
        fresh = new_reader(honor_timestamps=honor, track_timestamps=track)
        try:
            expected = fresh.read(text.encode())
        except PageRefused as refused:
            with pytest.raises(PageRefused, match=f"^{re.escape(str(refused))}$"):
                reader.read(text.encode())
            index, gone = reader.leave()
            assert {index.labels[ref] for ref in gone} == tracked
            tracked = set()
            continue
        page = reader.read(text.encode())
        assert same(content(page), content(expected))
        assert (page.scraped, page.kept) == (expected.scraped, expected.kept)
        index, refs = fresh.leave()
        now = {index.labels[ref] for ref in refs}
        assert {page.index.labels[ref] for ref in page.gone} == tracked - now
        tracked = now


def test_added_counts_series_new_since_the_last_good_page() -> None:
    """A series is added when it was not on the last good page, failures between them aside."""
    reader = new_reader()
    assert reader.read(b"a 1\nb 1\n").added == 2
    assert reader.read(b"a 1\nb 2\n").added == 0
    reader.leave()
    assert reader.read(b"a 1\nb 2\n").added == 0
    assert reader.read(b"a 1\n").added == 0
    assert reader.read(b"a 1\nb 2\n").added == 1


def test_two_lines_of_a_series_may_come_apart() -> None:
    """Of one time they are one sample; when one of them moves on they are two."""
    reader = new_reader()
    assert reader.read(b"a 1 5\na 2 5\n").values.tolist() == [1.0]
    page = reader.read(b"a 1 5\na 2 6\n")
    assert page.ts_ms is not None
    assert (page.values.tolist(), page.ts_ms.tolist()) == ([1.0, 2.0], [5, 6])
    assert reader.read(b"a 1 5\na 2 5\n").values.tolist() == [1.0]


def test_a_series_that_gains_a_timestamp_is_no_longer_tracked() -> None:
    """As in Prometheus: it is marked stale, and its own times speak from then on."""
    reader = new_reader()
    reader.read(b"a 1\nb 1\n")
    page = reader.read(b"a 1 5\nb 1\n")
    assert [dict(page.index.labels[ref])["__name__"] for ref in page.gone] == ["a"]
    assert [dict(page.index.labels[ref])["__name__"] for ref in reader.leave()[1]] == ["b"]


def test_sample_limit_refuses_before_anything_is_tracked() -> None:
    """A page over the limit is refused whole, and its series are not marked stale later."""
    reader = PageReader(SeriesRegistry(), labels_from, sample_limit=2)
    reader.read(b"a 1\nb 1\n")
    with pytest.raises(PageRefused, match="sample_limit 2") as refused:
        reader.read(b"a 1\nb 1\nc 1\n")
    assert (refused.value.scraped, refused.value.kept) == (3, 3)
    assert len(reader.leave()[1]) == 2


def test_a_new_index_marks_nothing_stale_that_is_still_there() -> None:
    """When the index of series is replaced, what left the page is still told, and nothing else."""
    registry = SeriesRegistry(limit=4, make=SeriesIndex)
    reader = new_reader(registry)
    before = reader.read(b"a 1\nb 1\n")
    registry.current.ref((("__name__", "x"),))
    registry.current.ref((("__name__", "y"),))
    page = reader.read(b"a 2\nc 1\n")
    assert page.index is not before.index
    assert [page.index.labels[ref] for ref in page.gone] == [(("__name__", "b"),)]
    assert page.added == 1
    assert np.all(page.values == [2.0, 1.0])


def test_keys_of_series_that_left_are_forgotten() -> None:
    """A target whose series change for ever does not grow the cache for ever."""
    reader = new_reader()
    for i in range(3000):
        reader.read(f'm{{i="{i}"}} 1\n'.encode())
    assert len(reader._cache.refs) < 1500
