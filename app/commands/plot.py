"""Line plots in the terminal, in braille: two dots across and four down in each character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.text import Text

_COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue", "bright_cyan", "bright_yellow")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800


@dataclass(frozen=True, slots=True)
class PlotSeries:
    """One line: times in seconds and values of the same length."""

    name: str
    times: Sequence[float]
    values: Sequence[float]


def draw(series: Sequence[PlotSeries], width: int, height: int) -> Text:
    """The plot with axes and a legend, `width` characters wide; what is not finite is left out."""
    points = [(t, v) for s in series for t, v in zip(s.times, s.values, strict=True) if math.isfinite(v)]
    if not points:
        return Text("nothing to draw: no finite values")
    low, high = min(v for _, v in points), max(v for _, v in points)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    first, last = min(t for t, _ in points), max(t for t, _ in points)
    labels = [f"{high - (high - low) * row / (height - 1):.4g}" for row in range(height)]
    margin = max(map(len, labels))
    columns = max(10, width - margin - 2)
    canvas = _Canvas(columns, height)
    for number, line in enumerate(series):
        canvas.line(line, _COLOURS[number % len(_COLOURS)], (first, last), (low, high))
    text = Text()
    for row in range(height):
        text.append(f"{labels[row]:>{margin}} ┤" if row % 4 == 0 else f"{'':>{margin}} │")
        canvas.write_row(row, text)
        text.append("\n")
    left, right = axis_clock(first, last), axis_clock(last, first)
    text.append(f"{'':>{margin}} └{left}{right:>{max(1, columns - len(left))}}\n")
    for number, line in enumerate(series):
        text.append("  ━ ", _COLOURS[number % len(_COLOURS)])
        text.append(f"{line.name}\n")
    return text


class _Canvas:
    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._dots = [[0] * columns for _ in range(rows)]
        self._colours = [[""] * columns for _ in range(rows)]

    def line(self, series: PlotSeries, colour: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        before: tuple[int, int] | None = None
        for time, value in zip(series.times, series.values, strict=True):
            if not math.isfinite(value):
                before = None
                continue
            span = (x[1] - x[0]) or 1
            here = (
                round((time - x[0]) / span * (2 * self._columns - 1)),
                round((y[1] - value) / (y[1] - y[0]) * (4 * self._rows - 1)),
            )
            self._segment(before or here, here, colour)
            before = here

    def _segment(self, a: tuple[int, int], b: tuple[int, int], colour: str) -> None:
        steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
        for i in range(steps + 1):
            column = round(a[0] + (b[0] - a[0]) * i / steps)
            row = round(a[1] + (b[1] - a[1]) * i / steps)
            self._dots[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
            self._colours[row // 4][column // 2] = colour

    def write_row(self, row: int, text: Text) -> None:
        for dots, colour in zip(self._dots[row], self._colours[row], strict=True):
            text.append(chr(_BLANK + dots) if dots else " ", colour or None)


def axis_clock(seconds: float, other: float) -> str:
    """A time at one end of an axis; with the date where the other end is a day or more away."""
    form = "%H:%M:%S" if abs(seconds - other) < 86_400 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(seconds, UTC).strftime(form) + "Z"
