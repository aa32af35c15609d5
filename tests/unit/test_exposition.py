"""The exposition formats: what a line means, and what refuses a page."""

from __future__ import annotations

import math

import pytest

from app.labels import labels_from
from ingest.scrape.form import NO_TIME
from ingest.scrape.page import Page, PageReader, PageRefused
from ingest.series import SeriesRegistry

INF = math.inf


def read(text: str | bytes, openmetrics: bool = False) -> Page:
    """A page read by a new reader without relabelling."""
    body = text if isinstance(text, bytes) else text.encode()
    return PageReader(SeriesRegistry(), labels_from).read(body, openmetrics)


def samples(page: Page) -> list[tuple[dict[str, str], float, int | None]]:
    """What a page holds: labels, value, timestamp."""
    times = (
        [None] * len(page.refs) if page.ts_ms is None else [None if t == NO_TIME else t for t in page.ts_ms.tolist()]
    )
    labels = [dict(page.index.labels[ref]) for ref in page.refs.tolist()]
    return list(zip(labels, page.values.tolist(), times, strict=True))


LINES = {
    "bare": ("m 1", {"__name__": "m"}, 1.0, None),
    "tabs": ("m\t1\t5", {"__name__": "m"}, 1.0, 5),
    "many blanks": ("  m   1   5  ", {"__name__": "m"}, 1.0, 5),
    "colon": (":a:b 1", {"__name__": ":a:b"}, 1.0, None),
    "empty braces": ("m{} 1", {"__name__": "m"}, 1.0, None),
    "blank before braces": ('m {a="1"} 1', {"__name__": "m", "a": "1"}, 1.0, None),
    "blanks in braces": ('m{ a = "1" , b="2" } 1', {"__name__": "m", "a": "1", "b": "2"}, 1.0, None),
    "trailing comma": ('m{a="1",} 1', {"__name__": "m", "a": "1"}, 1.0, None),
    "value behind brace": ('m{a="1"}1', {"__name__": "m", "a": "1"}, 1.0, None),
    "quote escaped": (r'm{a="x\"y"} 1', {"__name__": "m", "a": 'x"y'}, 1.0, None),
    "backslash escaped": (r'm{a="x\\"} 1', {"__name__": "m", "a": "x\\"}, 1.0, None),
    "newline escaped": (r'm{a="x\ny"} 1', {"__name__": "m", "a": "x\ny"}, 1.0, None),
    "backslash n": (r'm{a="x\\ny"} 1', {"__name__": "m", "a": r"x\ny"}, 1.0, None),
    "other escapes stay": (r'm{a="x\ty"} 1', {"__name__": "m", "a": r"x\ty"}, 1.0, None),
    "brace in value": ('m{a="} 7 {"} 1', {"__name__": "m", "a": "} 7 {"}, 1.0, None),
    "hash in value": ('m{a="# EOF"} 1', {"__name__": "m", "a": "# EOF"}, 1.0, None),
    "comma in value": ('m{a="x,b=y"} 1', {"__name__": "m", "a": "x,b=y"}, 1.0, None),
    "empty label": ('m{a="",b="x"} 1', {"__name__": "m", "b": "x"}, 1.0, None),
    "utf-8 value": ('m{a="한국"} 1', {"__name__": "m", "a": "한국"}, 1.0, None),
    "quoted name": ('{"a.b", x="y"} 1', {"__name__": "a.b", "x": "y"}, 1.0, None),
    "quoted name alone": ('{"a b"} 1', {"__name__": "a b"}, 1.0, None),
    "quoted label": ('m{"a.b"="y"} 1', {"__name__": "m", "a.b": "y"}, 1.0, None),
    "exponent": ("m 1.5e+09", {"__name__": "m"}, 1.5e9, None),
    "negative exponent": ("m -2E-3", {"__name__": "m"}, -0.002, None),
    "plus": ("m +4", {"__name__": "m"}, 4.0, None),
    "no leading digit": ("m .5", {"__name__": "m"}, 0.5, None),
    "plus inf": ("m +Inf", {"__name__": "m"}, INF, None),
    "minus inf": ("m -Inf", {"__name__": "m"}, -INF, None),
    "inf": ("m inf", {"__name__": "m"}, INF, None),
    "negative timestamp": ("m 1 -5", {"__name__": "m"}, 1.0, -5),
    "carriage return": ("m 1\r", {"__name__": "m"}, 1.0, None),
}


@pytest.mark.parametrize("case", LINES.values(), ids=LINES.keys())
def test_line_is_read(case: tuple[str, dict[str, str], float, int | None]) -> None:
    """A line gives its labels, value and timestamp, with and without a line end."""
    text, labels, value, ts_ms = case
    assert samples(read(text + "\n")) == [(labels, value, ts_ms)]
    assert samples(read(text)) == [(labels, value, ts_ms)]


def test_nan_is_read_and_is_no_stale_marker() -> None:
    """NaN on a page is an ordinary NaN."""
    page = read("m NaN\n")
    assert math.isnan(page.values[0])
    assert page.values.view("uint64")[0] & 0xFFFFFFFF != 2


BAD = {
    "no value": ("m", "name"),
    "no value behind braces": ('m{a="1"}', "value is missing"),
    "word": ("m one", "not a number"),
    "underscore": ("m 1_000", "not a number"),
    "hexadecimal": ("m 0x1p3", "not a number"),
    "glued": ("m1.5", "name"),
    "name": ("1m 1", "name"),
    "dash in name": ("a-b 1", "name"),
    "unquoted label": ("m{a=1} 1", "labels cannot be read"),
    "open braces": ('m{a="1" 1', "name"),
    "open quote": ('m{a="1} 1', "name"),
    "missing comma": ('m{a="1" b="2"} 1', "labels cannot be read"),
    "only a comma": ("m{,} 1", "labels cannot be read"),
    "no label value": ("m{a} 1", "has no value"),
    "named twice": ('m{"n"} 1', "named only once"),
    "no name": ('{a="1"} 1', "metric name is missing"),
    "label twice": ('m{a="1",a="2"} 1', "given twice"),
    "three fields": ("m 1 2 3", "behind the timestamp"),
    "float timestamp": ("m 1 2.5", "not a timestamp"),
    "not utf-8": (b'm{a="\xff"} 1', "UTF-8"),
    "type": ("# TYPE m counters", "invalid metric type"),
    "type without name": ("# TYPE", "name is wanted"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_malformed_line_refuses_the_page(case: tuple[str | bytes, str]) -> None:
    """One bad line refuses everything, and says which line and why."""
    line, reason = case
    body = b"ok 1\n\n" + (line if isinstance(line, bytes) else line.encode()) + b"\nalso_ok 2\n"
    with pytest.raises(PageRefused, match=rf"^line 3: .*{reason}"):
        read(body)


def test_blank_lines_and_comments_are_no_samples() -> None:
    """Blank lines, comments of any kind and blanks before them are passed over."""
    page = read("\n# a comment\n  # another\n#\n\t\n# HELP m\nm 1\n")
    assert samples(page) == [({"__name__": "m"}, 1.0, None)]
    assert page.scraped == 1


def test_metadata_is_told_once_and_when_it_changes() -> None:
    """TYPE, HELP and UNIT become metadata of the family; a page that repeats them tells nothing."""
    reader = PageReader(SeriesRegistry(), labels_from)
    first = reader.read(b"# HELP m Line one\\nand \\\\two.\n# TYPE m counter\n# TYPE n untyped\nm 1\n")
    assert {(m.family, m.type, m.unit, m.help) for m in first.metadata} == {
        ("m", "counter", "", "Line one\nand \\two."),
        ("n", "unknown", "", ""),
    }
    again = reader.read(b"# HELP m Line one\\nand \\\\two.\n# TYPE m counter\n# TYPE n untyped\nm 2\nx 1\n")
    assert not again.metadata
    changed = reader.read(b"# HELP m Other.\n# TYPE m counter\n# TYPE n untyped\nm 2\nx 1\n")
    assert [(m.family, m.type, m.help) for m in changed.metadata] == [("m", "counter", "Other.")]


OPENMETRICS = """\
# TYPE foo_seconds counter
# UNIT foo_seconds seconds
# HELP foo_seconds Some \\"help\\".
foo_seconds_total{a="b"} 17.5 1520879607.789 # {trace_id="KOO5S4vxi0o",x="}"} 0.67 1520879607
foo_seconds_created{a="b"} 1520430000.123
bar_bucket{le="1"} 3 # {} 0.5
# EOF
"""


def test_openmetrics_page() -> None:
    """Timestamps are seconds, exemplars stand apart, _created is a sample as in Prometheus."""
    page = read(OPENMETRICS, openmetrics=True)
    assert samples(page) == [
        ({"__name__": "foo_seconds_total", "a": "b"}, 17.5, 1520879607789),
        ({"__name__": "foo_seconds_created", "a": "b"}, 1520430000.123, None),
        ({"__name__": "bar_bucket", "le": "1"}, 3.0, None),
    ]
    found = next(iter(page.metadata))
    assert (found.family, found.type, found.unit) == ("foo_seconds", "counter", "seconds")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("m 1\n", "must end with # EOF"),
        ("m 1\n# EOF\nm 2\n", "after # EOF"),
        ("m 1 # nothing\n# EOF\n", "not an exemplar"),
    ],
)
def test_openmetrics_is_checked(text: str, reason: str) -> None:
    """A cut page, text after the end and what is no exemplar are refused."""
    with pytest.raises(PageRefused, match=reason):
        read(text, openmetrics=True)


def test_first_of_duplicates_is_kept_and_all_are_counted() -> None:
    """Of a series given twice the first value is stored; the counts say what was on the page."""
    page = read('m{a="1"} 1\nm{a="1"} 2\nm{ a="1" } 3\nn 4\n')
    assert page.values.tolist() == [1.0, 4.0]
    assert (page.scraped, page.kept) == (4, 4)


def test_one_series_at_two_times_is_two_samples() -> None:
    """Samples of one series with different timestamps of their own are both kept."""
    page = read("m 1 1000\nm 2 2000\nm 3 2000\n")
    assert [(value, ts) for _, value, ts in samples(page)] == [(1.0, 1000), (2.0, 2000)]
