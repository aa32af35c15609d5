"""What all Slack receivers of a process share: how messages look, where more is known, and what does not work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from alerting.notify.troubles import Troubles
from alerting.slack.attempts import Attempts
from alerting.slack.chart import ChartMaker, drawn_length
from alerting.slack.extras import BurnDown, Look, Offender, Picture, SloSource, slo_id
from alerting.slack.facts import slo_facts
from alerting.slack.pace import Pacer
from alerting.slack.state import GroupState
from app.alert import Alert
from app.errors import WatchhouseError

log = logging.getLogger(__name__)

FIND_OUT_S = 3.0
"""A page does not wait longer than this for its chart and what stands out."""
DRAWN_FOR_S = 60.0
_AFTER_START = timedelta(minutes=15)
_MOST_SLOS = 2
_MOST_DRAWN = 100
_USUAL_WINDOW_MS = 3_600_000
T = TypeVar("T")


class ChartUrls(Protocol):
    """Gives a URL under which Slack can fetch a chart for some days."""

    def url(self, slo: str, length_ms: int, now: datetime) -> str:
        """A signed URL, "" where Slack could not reach it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out for a message in time."""

    offenders: Mapping[str, Sequence[Offender]] = field(default_factory=dict)
    burn_down: BurnDown | None = None
    png: bytes = b""


class SlackRoom:
    """Shared by the notifiers of a process. `troubles` has what somebody has to mend of charts."""

    def __init__(
        self,
        look: Look | None = None,
        *,
        slos: SloSource | None = None,
        chart_urls: ChartUrls | None = None,
        charts: bool = True,
        troubles: Troubles | None = None,
        pacer: Callable[[], Pacer] = Pacer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.look = look or Look()
        self.slos = slos
        self.chart_urls = chart_urls
        self.charts = charts
        self.clock = clock
        self.started_at = datetime.fromtimestamp(clock(), UTC)
        self.troubles = troubles or Troubles()
        self.attempts = Attempts()
        self.followed: set[str] = set()
        """The receivers whose messages are changed in place: what people do is seen there."""
        self._pacer = pacer
        self._pacers: dict[str, Pacer] = {}
        self._maker: ChartMaker | None = None
        self._drawn: dict[tuple[str, int], tuple[float, asyncio.Future[bytes | None]]] = {}

    def pacer(self, workspace: str) -> Pacer:
        """The turns of a workspace's channels, which all receivers that write to it share."""
        return self._pacers.setdefault(workspace, self._pacer())

    def long_since_start(self, now: datetime) -> bool:
        """Whether what a process before this one may have posted is no concern any more."""
        return now - self.started_at > _AFTER_START

    async def find_out(self, state: GroupState, *, draw: bool) -> Found:
        """Offenders of the SLOs that burn, and the chart of the first, as far as there is time."""
        slos, source = _slos(state), self.slos
        if source is None or not slos or state.state == "silenced":
            return Found()
        chart = self._chart(source, *next(iter(slos.items()))) if draw and self.charts else _nothing()
        asked = slos.items() if state.firing else ()
        drawn, lists = await asyncio.gather(
            _in_time(chart, "a chart"),
            asyncio.gather(
                *(_in_time(source.offenders(slo, _window_ms(a)), f"offenders of {slo}") for slo, a in asked)
            ),
        )
        offenders = {slo: found for slo, found in zip(slos, lists, strict=False) if found}
        return Found(offenders, *drawn) if drawn else Found(offenders)

    def linked_chart(self, state: GroupState) -> Picture | None:
        """The chart of a burning SLO by a URL of ours, for messages that cannot have a file."""
        slo = next(iter(_slos(state).items()), None)
        if self.chart_urls is None or self.slos is None or not self.charts or slo is None:
            return None
        name, alert = slo
        length_ms = int(drawn_length(_window_ms(alert)).total_seconds() * 1000)
        url = self.chart_urls.url(name, length_ms, state.notification.now)
        return Picture(f"Error budget of {name}", url=url) if url else None

    def warm_up(self) -> None:
        """Makes the first chart as quick as the others. Does not block."""
        if self.charts and self.slos is not None:
            self._made().warm_up()

    def close(self) -> None:
        """Ends the drawing. Safe to call twice."""
        if self._maker is not None:
            self._maker.close()
            self._maker = None

    async def chart(self, slo: str, length_ms: int) -> bytes | None:
        """A chart as PNG, a minute old at most; None when nothing is known of the SLO. Raises WatchhouseError."""
        drawn = self._drawn.get((slo, length_ms))
        if drawn is None or self.clock() - drawn[0] > DRAWN_FOR_S:
            # whoever has seen a message has its URL: many who ask cost one drawing
            drawn = self._drawn[slo, length_ms] = self.clock(), asyncio.ensure_future(self._charted(slo, length_ms))
            for old in list(self._drawn)[:-_MOST_DRAWN]:
                del self._drawn[old]
        try:
            return await asyncio.shield(drawn[1])
        except WatchhouseError:
            self._drawn.pop((slo, length_ms), None)
            raise

    async def _charted(self, slo: str, length_ms: int) -> bytes | None:
        burn_down = await self.slos.burn_down(slo, length_ms) if self.slos else None
        return await self._draw(burn_down) if burn_down else None

    async def _chart(self, source: SloSource, slo: str, alert: Alert) -> tuple[BurnDown, bytes] | None:
        length_ms = int(drawn_length(_window_ms(alert)).total_seconds() * 1000)
        burn_down = await source.burn_down(slo, length_ms)
        return (burn_down, await self._draw(burn_down)) if burn_down else None

    async def _draw(self, burn_down: BurnDown) -> bytes:
        return await self._made().png(burn_down)

    def _made(self) -> ChartMaker:
        if self._maker is None:
            self._maker = ChartMaker()
        return self._maker


async def _nothing() -> None:
    return None


async def _in_time(work: Coroutine[Any, Any, T], what: str) -> T | None:
    """Its result, None when there is none in time: a message goes without rather than late."""
    try:
        async with asyncio.timeout(FIND_OUT_S):
            return await work
    except TimeoutError:
        log.warning("%s: not found out within %g s", what, FIND_OUT_S)
    except WatchhouseError as error:
        log.warning("%s: %s", what, error)
    except Exception:
        # a picture that cannot be drawn must not cost the message
        log.exception("%s failed", what)
    return None


def _window_ms(alert: Alert) -> int:
    facts = slo_facts(alert)
    return int((facts and facts.long_window_ms) or _USUAL_WINDOW_MS)


def _slos(state: GroupState) -> dict[str, Alert]:
    found: dict[str, Alert] = {}
    for alert in state.firing or state.resolved:
        if slo := slo_id(alert):
            found.setdefault(slo, alert)
    return dict(list(found.items())[:_MOST_SLOS])
