"""What the `slo` commands draw, and figures as people read them."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from app.commands.slo.drawing import Spans, burn_down, timeline
from app.commands.slo.texts import burn, count, percent, slo_path, span

DAY = 86_400


def drawn(make: object, *arguments: object, width: int = 60) -> list[str]:
    """The lines of something drawn for a terminal of a width."""
    console = Console(file=StringIO(), width=width, height=30, color_system=None)
    found: RenderableType = make(console, *arguments)  # type: ignore[operator]
    console.print(found)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def bar(spans: Spans, name: str = "Page page") -> str:
    """The bar of one alert over a hundred seconds, in 50 columns."""
    line = drawn(timeline, {(name, "page"): spans}, 0.0, 100.0, width=50 + len(name) + 3)[0]
    assert line.startswith(f"{name} │")
    return line.partition("│")[2]


def test_an_alert_is_a_bar_as_long_as_it_fired() -> None:
    """Columns are times: what fired for a quarter fills a quarter."""
    assert bar([(25, 50)]) == "·" * 12 + "█" * 13 + "·" * 25
    assert bar([(0, 100)]) == "█" * 50
    assert bar([]) == "·" * 50


def test_the_shortest_alert_is_seen() -> None:
    """However long the range, one that fired at all has a column; also at either end."""
    assert bar([(50, 50.01)]).count("█") == 1
    assert bar([(100, 100)])[-1] == "█"
    assert bar([(-5, 1)])[0] == "█"


def test_a_long_name_leaves_room_for_the_bar() -> None:
    """Names are cut, with wide characters too, and no line is wider than the terminal."""
    lines = drawn(timeline, {("名" * 40, "page"): [(0, 1)], ("short", "x"): []}, 0.0, 10.0, width=80)
    assert len(lines) == 3
    assert "█" in lines[0]


def test_a_burn_down_shows_where_the_budget_is_used_up() -> None:
    """The line at zero is there once the budget gets there, and only then; gaps are no zeros."""
    times = [0.0, 10.0, 20.0]
    assert "used up" not in "\n".join(drawn(burn_down, times, [100.0, math.nan, 40.0]))
    assert "used up" in "\n".join(drawn(burn_down, times, [100.0, 10.0, -5.0]))
    assert drawn(burn_down, [], []) == ["nothing to draw: no finite values"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (59, "59s"), (5400, "1h30m"), (DAY, "1d"), (DAY + 5430, "1d1h30m"), (40 * DAY, "40d")],
)
def test_a_span_is_told_to_what_matters(seconds: float | None, text: str) -> None:
    """To the second below a day, to the minute above; days are not weeks."""
    assert span(seconds) == text


def test_figures_that_are_not_defined_are_a_dash() -> None:
    """And the others have the digits that matter."""
    assert (percent(None, 2), burn(None), count(None)) == ("-", "-", "-")
    assert (percent(0.99912, 2), burn(14.42), burn(123456.7), count(1234567.0)) == (
        "99.91 %",
        "14.4x",
        "123457x",
        "1,234,567",
    )
    assert count(0.25) == "0.25"


def test_an_id_of_a_group_is_one_part_of_a_path() -> None:
    """Slashes, quotes and braces do not become other routes."""
    assert slo_path('a-b{x="/c"}', "gate") == "/api/v1/slos/a-b%7Bx%3D%22%2Fc%22%7D/gate"
