"""CPU time of reading recorded pages. Run: python -m tests.bench.bench_exposition PAGES.tar.xz [CADVISOR.txt]"""

from __future__ import annotations

import sys
import tarfile
import time
from pathlib import Path

from app.labels import labels_from
from ingest.scrape.page import PageReader
from ingest.series import SeriesRegistry


def recorded(path: Path) -> list[bytes]:
    """The pages of an archive in their order."""
    with tarfile.open(path) as tar:
        files = (tar.extractfile(m) for m in sorted(tar.getmembers(), key=lambda m: m.name) if m.isfile())
        return [file.read() for file in files if file]


def with_exemplars(page: bytes, number: int) -> bytes:
    """The page as OpenMetrics with an exemplar behind each fifth sample, of which a tenth move from page to page."""
    lines = page.splitlines()
    for i, line in enumerate(lines):
        if i % 5 == 0 and line[:1] not in (b"", b"#"):
            trace = number if i % 50 == 0 else 0
            lines[i] = line + b' # {trace_id="%032x"} %d.5 %d.25' % (trace, i, 1_712_345_600 + trace)
    return b"\n".join([*lines, b"# EOF", b""])


def reader() -> PageReader:
    """A reader without relabelling."""
    registry = SeriesRegistry()
    return PageReader(registry, labels_from)


def cpu_us(run: object, times: int) -> float:
    """Microseconds of CPU for one of `times`."""
    assert callable(run)
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e6 / times


def main(archive: Path, others: list[Path]) -> None:
    """Prints microseconds a page: the first, one of the form of the last, one of another form."""
    pages = recorded(archive)
    best: dict[str, float] = {}
    for _ in range(5):
        one = reader()
        first = cpu_us(lambda one=one: one.read(pages[0]), 1)
        steady = cpu_us(lambda one=one: [one.read(page) for page in pages[1:]], len(pages) - 1)
        # an extra line turns every page into one of another form
        odd = [page + b"extra 1\n" * (i % 2) for i, page in enumerate(pages)]
        lookup = cpu_us(lambda one=one, odd=odd: [one.read(page) for page in odd], len(odd))
        for name, us in (("first page", first), ("same form", steady), ("another form", lookup)):
            best[name] = min(us, best.get(name, us))
    traced = [with_exemplars(page, i) for i, page in enumerate(pages)]
    for _ in range(5):
        one = reader()
        one.read(traced[0], openmetrics=True)
        us = cpu_us(lambda one=one: [one.read(page, openmetrics=True) for page in traced[1:]], len(traced) - 1)
        best["same form, with exemplars"] = min(us, best.get("same form, with exemplars", us))
    for name, us in best.items():
        print(f"{archive.name}: {name}: {us:.0f} us a page of {len(pages[0])} bytes")
    for path in others:
        body, one = path.read_bytes(), reader()
        one.read(body)
        moved = [body.replace(b" 1395066363000", b" %d" % (1395066363000 + i)) for i in range(50)]
        print(f"{path.name}: same form: {cpu_us(lambda: [one.read(page) for page in moved], 50):.0f} us a page")  # noqa: B023


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(arg) for arg in sys.argv[2:]])
