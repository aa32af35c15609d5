"""What the `slo` commands share: their options, and figures as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from app.durations import format_duration_ms

_DAY_S = 86_400


class Output(StrEnum):
    """What to print."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people, or the API's JSON.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Its id, or its name where no other SLO has it.")]


def slo_path(name: str, *rest: str) -> str:
    """The path of an SLO in the API."""
    return "/".join(("/api/v1/slos", quote(name, safe=""), *rest))


def percent(ratio: float | None, digits: int) -> str:
    """A ratio in per cent."""
    return "-" if ratio is None else f"{ratio * 100:.{digits}f} %"


def left(ratio: float | None) -> Text:
    """What is left of a budget; red when it is overspent."""
    return Text(percent(ratio, 1), style="red" if ratio is not None and ratio < 0 else "")


def burn(rate: float | None) -> str:
    """A burn rate."""
    return "-" if rate is None else f"{rate:.3g}x" if rate < 1000 else f"{rate:.0f}x"


def count(value: float | None) -> str:
    """A number of events."""
    return "-" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def clock(seconds: float | None) -> str:
    """A time, in UTC."""
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock_of(text: str) -> str:
    """A time of an API, as `clock` has it."""
    return clock(datetime.fromisoformat(text).timestamp())


def span(seconds: float | None) -> str:
    """How long something lasts, to the minute above a day."""
    if seconds is None:
        return "-"
    grain = 1 if seconds < _DAY_S else 60
    whole = math.floor(seconds / grain) * grain
    days, rest = divmod(whole, _DAY_S)
    return f"{days}d{format_duration_ms(rest * 1000) if rest else ''}" if days else format_duration_ms(rest * 1000)


def values_of(points: list[dict[str, Any]], key: str, factor: float = 1.0) -> list[float]:
    """A column of points to draw, NaN where there is nothing."""
    return [math.nan if point[key] is None else point[key] * factor for point in points]
