"""Burn-down charts and timelines of alerts in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.text import Text

from app.commands.plot import PlotSeries, axis_clock, draw

_STYLES = {"page": "bold red", "critical": "bold red", "ticket": "yellow", "warning": "yellow", "maintenance": "blue"}
_MOST_NAME = 32
Spans = Sequence[tuple[float, float]]


def burn_down(console: Console, times: Sequence[float], values: Sequence[float]) -> RenderableType:
    """The budget left in per cent, with a line where it is used up once it gets there."""
    series = [PlotSeries("budget left, %", times, values)]
    if times and min((v for v in values if v == v), default=1.0) <= 0:
        series.append(PlotSeries("used up", [times[0], times[-1]], [0.0, 0.0]))
    return draw(series, console.width, min(16, max(8, console.height - 12)))


def timeline(console: Console, rows: Mapping[tuple[str, str], Spans], first: float, last: float) -> RenderableType:
    """A bar for each (name, kind) with its stretches of time; each is at least a column wide."""
    if not rows:
        return Text("")
    names = [set_cell_size(name, min(cell_len(name), _MOST_NAME)) for name, _ in rows]
    margin = max(map(cell_len, names))
    columns = max(10, console.width - margin - 3)
    lines = []
    for name, ((_, kind), spans) in zip(names, rows.items(), strict=True):
        line = Text(f"{set_cell_size(name, margin)} │")
        for column in _filled(spans, first, last, columns):
            line.append("█" if column else "·", _STYLES.get(kind, "magenta") if column else "dim")
        lines.append(line)
    left, right = axis_clock(first, last), axis_clock(last, first)
    lines.append(Text(f"{'':>{margin}} └{left}{right:>{max(1, columns - len(left))}}"))
    return Group(*lines)


def _filled(spans: Spans, first: float, last: float, columns: int) -> list[bool]:
    width = (last - first) or 1.0
    found = [False] * columns
    for start, end in spans:
        begin = min(columns - 1, max(0, int((start - first) / width * columns)))
        stop = min(columns, max(begin + 1, round((end - first) / width * columns)))
        found[begin:stop] = [True] * (stop - begin)
    return found
