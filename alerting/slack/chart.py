"""The burn-down chart: how much of an SLO's error budget is left, over time, as a PNG."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from alerting.slack.extras import BurnDown
from app.figures import percent, span

WIDTH_IN, HEIGHT_IN, DPI = 7.2, 2.4, 125
_RED, _GREEN, _GREY, _INK = "#d50200", "#2eb67d", "#8a8a8a", "#333333"
_HARDLY = 1e-9


class ChartMaker:
    """Draws in one worker thread: matplotlib is not safe in several, and a picture takes a tenth of a second."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chart")

    async def png(self, burn_down: BurnDown) -> bytes:
        """The picture, 900 by 300 points."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, draw, burn_down)

    def warm_up(self) -> None:
        """Draws a picture nobody sees, so that the first page need not wait for it. Does not block."""
        now = datetime.now(UTC)
        self._thread.submit(draw, BurnDown("", 99.0, [now - timedelta(hours=1), now], [1.0, 0.9], now))

    def close(self) -> None:
        """Ends the thread after the picture under way. Safe to call twice."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def draw(burn_down: BurnDown) -> bytes:
    """The picture as PNG. Blocks for about a tenth of a second, the first time for a second."""
    # importing it takes most of a second, which a service without Slack need not wait for
    import matplotlib.dates as mdates
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    dates: Any = mdates
    at = np.array([_naive(moment) for moment in burn_down.at], dtype="datetime64[ms]")
    left = np.array(burn_down.left, dtype=float)
    known = np.isfinite(left)
    at, left = at[known], left[known]
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(at):
        _lines(axes, at, left, burn_down)
    # what is left seldom changes by much while it can be saved: the whole height is for it
    top = max(0.05, 1.12 * float(left.max())) if len(left) else 1.0
    bottom = min(0.0, float(left.min())) if len(left) else 0.0
    axes.set_ylim(bottom - 0.04 * (top - bottom), top + 0.04 * (top - bottom))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    locator: Any = dates.AutoDateLocator(minticks=4, maxticks=8, tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    axes.grid(True, color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cccccc")
    axes.tick_params(colors=_GREY, labelsize=8, length=0)
    axes.xaxis.get_offset_text().set(color=_GREY, size=8)
    axes.set_title(_title(burn_down, left), loc="left", fontsize=9, color=_INK)
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor="white", metadata={"Software": None})
    return out.getvalue()


def alt_text(burn_down: BurnDown) -> str:
    """What the picture shows, in words: for those who cannot see it."""
    known = [(at, value) for at, value in zip(burn_down.at, burn_down.left, strict=True) if np.isfinite(value)]
    if not known:
        return f"Error budget of {burn_down.slo}: nothing is known"
    (first_at, first), (last_at, last) = known[0], known[-1]
    length = span((last_at - first_at).total_seconds() * 1000)
    gone = f", gone at {_clock(burn_down.gone_at)} at this rate" if burn_down.gone_at else ""
    return f"Error budget of {burn_down.slo} over {length}: from {percent(first)} to {percent(last)} left{gone}"


def _lines(axes: Any, at: Any, left: Any, burn_down: BurnDown) -> None:
    colour = _RED if burn_down.gone_at or left[-1] <= 0 else _GREEN
    axes.plot(at, left, color=colour, linewidth=1.8, solid_capstyle="round")
    axes.fill_between(at, left, 0, color=colour, alpha=0.10, linewidth=0)
    axes.axhline(0, color=_INK, linewidth=0.9)
    if burn_down.began_at is not None and at[0] <= np.datetime64(_naive(burn_down.began_at), "ms") <= at[-1]:
        axes.axvline(np.datetime64(_naive(burn_down.began_at), "ms"), color=_GREY, linewidth=0.9, linestyle=":")
        axes.annotate(
            "alert", (np.datetime64(_naive(burn_down.began_at), "ms"), 1.0), (3, -2), fontsize=7.5, color=_GREY,
            xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
        )  # fmt: skip
    gone_at = burn_down.gone_at
    if gone_at is None or left[-1] <= _HARDLY:
        return
    # far beyond what is drawn, the line says where it leads and leaves the rest out
    length = at[-1] - at[0]
    end = min(np.datetime64(_naive(gone_at), "ms"), at[-1] + 2 * length)
    whole = (np.datetime64(_naive(gone_at), "ms") - at[-1]) / np.timedelta64(1, "ms")
    share = ((end - at[-1]) / np.timedelta64(1, "ms")) / whole if whole > 0 else 1.0
    axes.plot([at[-1], end], [left[-1], left[-1] * (1 - share)], color=_RED, linewidth=1.3, linestyle=(0, (4, 3)))
    if share >= 1:
        axes.plot([end], [0], "o", color=_RED, markersize=4)
        axes.annotate(
            f"gone {_clock(gone_at)}", (end, 0), (-34, 4), fontsize=8, color=_RED,
            textcoords="offset points", ha="right", va="bottom",
        )  # fmt: skip


def _title(burn_down: BurnDown, left: Any) -> str:
    name = burn_down.slo if len(burn_down.slo) <= 60 else f"{burn_down.slo[:59]}…"
    # a dollar sign would begin a formula
    name = name.replace("$", r"\$")
    now = f", {percent(float(left[-1]))} left" if len(left) else ""
    return f"Error budget of {name} ({burn_down.objective:.6g} %){now}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%b %-d, %H:%M} UTC"


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def drawn_length(long_window_ms: float | None) -> timedelta:
    """How far back a chart goes: six of the alert's long windows, between six hours and a week."""
    asked = timedelta(milliseconds=6 * (long_window_ms or 0))
    return min(max(asked, timedelta(hours=6)), timedelta(days=7))
