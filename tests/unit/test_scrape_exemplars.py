"""Exemplars of OpenMetrics pages: what is read, and what is news on a page like the last."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.labels import Labels, labels_from
from app.telemetry import DROPPED_EXEMPLARS
from ingest.exemplars import ExemplarRows
from ingest.scrape.exemplars import exemplar_rows
from ingest.scrape.page import Page, PageReader, PageRefused
from ingest.series import SeriesRegistry

SCRAPE_MS = 1_712_345_700_000


def new_reader(honor_timestamps: bool = True) -> PageReader:
    """A reader without relabelling."""
    return PageReader(SeriesRegistry(), labels_from, honor_timestamps)


def read(reader: PageReader, text: str) -> tuple[Page, ExemplarRows]:
    """A page, and its exemplars as a batch has them."""
    page = reader.read((text + "# EOF\n").encode(), openmetrics=True)
    return page, exemplar_rows(page.exemplars, SCRAPE_MS, SCRAPE_MS + 600_000)


def found(reader: PageReader, text: str) -> list[tuple[str, int, float, dict[str, str], bool]]:
    """(name of the series, milliseconds, value, labels, whether it tells its time) of the exemplars of a page."""
    page, rows = read(reader, text)
    names = [dict(page.index.labels[ref])["__name__"] for ref in rows.refs.tolist()]
    columns = (names, rows.ts_ms.tolist(), rows.values.tolist(), map(dict, rows.labels), rows.timed.tolist())
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("behind", "wanted"),
    [
        ('1 # {trace_id="x"} 0.5 1712345678.1', (1_712_345_678_100, 0.5, {"trace_id": "x"}, True)),
        ('1 # {trace_id="x"} 0.5', (SCRAPE_MS, 0.5, {"trace_id": "x"}, False)),
        ('1 1712345600.5 # {trace_id="x"} 0.5', (1_712_345_600_500, 0.5, {"trace_id": "x"}, False)),
        ('1 1712345600.5 # {trace_id="x"} 0.5 1712345601', (1_712_345_601_000, 0.5, {"trace_id": "x"}, True)),
        ("1 # {} +Inf", (SCRAPE_MS, float("inf"), {}, False)),
        ('1 # {a="}",b="#\\"\\n",c=""} 1e3\r', (SCRAPE_MS, 1000.0, {"a": "}", "b": '#"\n'}, False)),
        ('1 # {"http.route"="/",trace_id="x",} 2', (SCRAPE_MS, 2.0, {"http.route": "/", "trace_id": "x"}, False)),
    ],
)
def test_an_exemplar_is_read(behind: str, wanted: tuple[int, float, dict[str, str], bool]) -> None:
    """With labels as on a sample, and its own time, else its sample's, else the scrape's; also where the page is of
    the form of the last."""
    reader = new_reader()
    assert found(reader, f"a_total {behind}\nb 1\n") == [("a_total", *wanted)]
    assert found(reader, f"a_total {behind}\nb 2\n") == []
    assert found(reader, 'a_total 1 # {trace_id="other"} 1\nb 1\n')[0][3] == {"trace_id": "other"}
    assert found(reader, f"a_total {behind}\nb 1\n") == [("a_total", *wanted)]
    assert found(reader, 'a_total 2 # {trace_id="other"} 1\nb 1\n')[0][3] == {"trace_id": "other"}


@pytest.mark.parametrize(
    "behind",
    [
        '1 # {a="b"}',
        '1 # {a="b"} x',
        '1 # {a="b"} 1 x',
        '1 # {a="b"} 1 NaN',
        '1 # {a="b"} 1 2 3',
        "1 # {a=b} 1",
        "1 # {a} 1",
        '1 # {"a"} 1',
        '1# {a="b"} 1',
        "1 # 1",
        '# {a="b"} 1',
        '1 # {a="b"} 1_0',
        '1 # {a="b" 1',
    ],
)
def test_what_is_no_exemplar_refuses_the_page(behind: str) -> None:
    """As in Prometheus, whether it is on the first page or a later one, by the line."""
    with pytest.raises(PageRefused, match="line 2: "):
        read(new_reader(), f"b 1\na_total {behind}\n")
    reader = new_reader()
    for value in (1, 2):
        read(reader, f'b 1\na_total {value} # {{a="b"}} {value}\n')
    with pytest.raises(PageRefused, match="line 2: "):
        read(reader, f"b 1\na_total {behind}\n")


def test_only_openmetrics_pages_have_exemplars() -> None:
    """In the older text format the line is none."""
    with pytest.raises(PageRefused, match="line 1: "):
        new_reader().read(b'a_total 1 # {trace_id="x"} 0.5\n')


def test_exemplars_that_are_not_taken_are_counted_once() -> None:
    """Labels too long, or a time too far ahead: the sample stays, and the same text is not counted again."""
    before = [DROPPED_EXEMPLARS.labels(reason)._value.get() for reason in ("too_long", "out_of_bounds")]
    reader = new_reader()
    for i in range(4):
        behind = (f'{{a="{"x" * 128}"}} 1', "{} 1 1712346300.001", "{} 1 -1", "{} 1 1712346300")
        text = "".join(f"{name} {i} # {exemplar}\n" for name, exemplar in zip("abcd", behind, strict=True))
        assert [name for name, *_ in found(reader, text)] == ([] if i else ["d"])
    after = [DROPPED_EXEMPLARS.labels(reason)._value.get() for reason in ("too_long", "out_of_bounds")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 2]


def test_unheard_timestamps_of_samples_are_not_those_of_exemplars() -> None:
    """With honor_timestamps off, an exemplar without a time is of the scrape's; its own time is still its own."""
    reader = new_reader(honor_timestamps=False)
    text = 'a 1 1712345600 # {t="x"} 1\nb 1 1712345600 # {t="x"} 1 1712345601\n'
    assert [ts_ms for _, ts_ms, *_ in found(reader, text)] == [SCRAPE_MS, 1_712_345_601_000]


def test_samples_that_are_dropped_have_no_exemplars() -> None:
    """What relabelling drops, and the second of two lines of one series, on any page."""

    def resolve(pairs: list[tuple[str, str]]) -> Labels | None:
        return None if ("drop", "1") in pairs else labels_from([pair for pair in pairs if pair[0] != "cpu"])

    reader = PageReader(SeriesRegistry(), resolve)
    for i in range(4):
        lines = [f'a{{{label}}} {i} # {{t="{label[:3]}{i}"}} {i}\n' for label in ('drop="1"', 'cpu="1"', 'cpu="2"')]
        assert [labels for *_, labels, _ in found(reader, "".join(lines))] == [{"t": f"cpu{i}"}]


def test_a_page_that_was_not_kept_has_its_exemplars_told_again() -> None:
    """After a failure, and where the batch found no room."""
    reader = new_reader()
    text = 'a_total 1 # {trace_id="x"} 0.5\n'
    assert len(found(reader, text)) == 1
    reader.repeat_exemplars()
    assert len(found(reader, text)) == 1
    reader.leave()
    assert len(found(reader, text)) == 1
    assert found(reader, text) == []


NAMES = st.sampled_from(["a_total", 'b_bucket{le="1"}', 'b_bucket{le="+Inf"}', 'c{x="#"}'])
EXEMPLARS = st.builds(
    "# {{{}}} {}{}".format,
    st.sampled_from(["", 'trace_id="x"', 'trace_id="y"', 'a="} # {",trace_id="x"']),
    st.sampled_from(["1", "0.5", "NaN"]),
    st.sampled_from(["", " 1712345678.1", " 1712345679"]),
) | st.sampled_from(["", "", "# bad"])
LINES = st.tuples(NAMES, st.sampled_from(["1", "2", "3.5"]), st.sampled_from(["", "", "", " 1712345600"]), EXEMPLARS)


@st.composite
def page_sequences(draw: st.DrawFn) -> list[str]:
    """Pages as a target gives them: values and exemplars move, lose each other, and lines come, go and change."""
    lines = [list(line) for line in draw(st.lists(LINES, max_size=6))]
    pages = []
    for _ in range(draw(st.integers(1, 8))):
        pages.append(
            "".join(f"{name} {value}{time} {exemplar}".rstrip() + "\n" for name, value, time, exemplar in lines)
        )
        for line in lines:
            match draw(st.sampled_from(["stay", "stay", "value", "exemplar", "exemplar", "time"])):
                case "value":
                    line[1] = draw(st.sampled_from(["1", "2", "3.5"]))
                case "exemplar":
                    line[1], line[3] = draw(st.sampled_from(["1", "2"])), draw(EXEMPLARS)
                case "time":
                    line[2] = draw(st.sampled_from(["", " 1712345600", " 1712345601"]))
        match draw(st.sampled_from(["stay", "stay", "stay", "add", "remove", "turn"])):
            case "add":
                lines.insert(draw(st.integers(0, len(lines))), list(draw(LINES)))
            case "remove" if lines:
                lines.pop()
            case "turn":
                lines.reverse()
    return pages


@settings(max_examples=500, deadline=None)
@given(page_sequences())
def test_after_each_page_the_newest_exemplars_are_those_on_it(pages: list[str]) -> None:
    """What a reader that saw all pages has told last of each series is what a new one finds on the page, and it tells
    nothing that is not there."""
    reader, told = new_reader(), dict[Labels, str]()
    for text in pages:
        fresh = new_reader()
        body = (text + "# EOF\n").encode()
        try:
            expected = fresh.read(body, openmetrics=True)
        except PageRefused as refused:
            with pytest.raises(PageRefused, match=f"^{re.escape(str(refused))}$"):
                reader.read(body, openmetrics=True)
            reader.leave()
            continue
        page = reader.read(body, openmetrics=True)
        there = {expected.index.labels[one.ref]: repr(one.exemplar) for one in expected.exemplars}
        news = {page.index.labels[one.ref]: repr(one.exemplar) for one in page.exemplars}
        assert len(news) == len(page.exemplars)
        assert news.items() <= there.items()
        told |= news
        assert there.items() <= told.items()
        assert page.values.tolist() == expected.values.tolist()
