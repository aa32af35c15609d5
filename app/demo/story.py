"""The story of the demo: the shop opens, breaks, Slack is told, it heals, Slack is told again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from alerting.standin import ReceivedMessage, render_plain
from app.demo import ask, where
from app.demo.ask import Asker, AskFailed
from app.demo.files import OBJECTIVE, Ports, write_slo
from app.demo.history import write_history
from app.demo.processes import Processes, watchhouse
from app.demo.screen import Screen
from app.demo.shop.settings import BROKEN, HEALTHY
from app.demo.shopkeeper import Shop
from app.errors import WatchhouseError

BREAKS_AT_S = 20.0
BROKEN_FOR_S = 15.0
"""How long it stays broken after the alert arrived."""
HEALING_S = 32.0
"""How long before the end it heals at the latest: the windows forget, and the group's interval passes."""
_LOOK_S = 5.0
_POLL_S = 0.1
_LINE_POLL_S = 0.5
_START_S = 120.0


class Inbox:
    """Tells firing messages of Slack from resolved ones, and shows both."""

    def __init__(self, screen: Screen) -> None:
        self.fired, self.resolved = asyncio.Event(), asyncio.Event()
        self._screen = screen

    @property
    def missing(self) -> list[str]:
        """What did not come."""
        messages = {"the firing message": self.fired, "the resolved message": self.resolved}
        return [name for name, event in messages.items() if not event.is_set()]

    def take(self, message: ReceivedMessage) -> None:
        """A message that the stand-in took."""
        text = str(message.payload.get("text", ""))
        resolved = text.startswith("✅")
        channel = message.payload.get("channel", "")
        self._screen.box(f"Slack {channel}".strip(), render_plain(message.payload), "green" if resolved else "red")
        if not resolved:
            self.fired.set()
        elif self.fired.is_set():
            # one that comes first ends an incident of an earlier run over the same data
            self.resolved.set()


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the story takes place."""

    folder: Path
    ports: Ports
    shop: Shop
    processes: Processes
    config: Path
    new_data: bool
    """Whether the store is empty."""


class Story:
    """Tells it. `ends_at_s` is when the demo ends, in seconds of the screen's clock; None for no end."""

    def __init__(
        self, screen: Screen, inbox: Inbox, setting: Setting, http: httpx.AsyncClient, ends_at_s: float | None
    ) -> None:
        self._screen = screen
        self._inbox = inbox
        self._setting = setting
        self._http = http
        self._asker = Asker(http)
        self._ends_at_s = ends_at_s
        self.waiting_for = ""
        """What it waits for, and what the service last said to that; for when time is up."""

    async def tell(self) -> None:
        """The whole of it. With an end it returns after the resolved message; without, it goes on until cancelled.

        Raises WatchhouseError when a step cannot be made.
        """
        await self._open()
        watch = asyncio.create_task(self._watch())
        try:
            await self._incident()
            if self._ends_at_s is None:
                self._screen.say("that was the incident; the shop stays open until Ctrl-C", "bold")
                await watch
        finally:
            watch.cancel()

    async def _open(self) -> None:
        say, setting = self._screen.say, self._setting
        say("starting Watchhouse on its embedded store …")
        await setting.processes.start("watchhouse", watchhouse("serve", "--config", str(setting.config)))
        await self._until("the service to be ready", self._asker.ready)
        say(f"Watchhouse is ready at {where.url(setting.ports)}", "bold")
        if setting.new_data:
            samples = await self._write_history()
            say(f"a quiet hour before now is made up and written by remote write, {samples} samples")
        path = write_slo(setting.folder)
        await self._asker.reload()
        say(f"an SLO is loaded from {path.name}: {OBJECTIVE:g} % of the orders succeed, over an hour")
        await setting.shop.open(setting.processes, setting.ports)
        say("the shop gets ready: frontend → checkout → payments")
        await self._until("the first scrape of all three", self._all_scraped)
        await setting.shop.let_in(setting.processes)
        say("first scrapes are in, up is 1 for all three; the customers come")
        say(where.text(setting.ports))

    async def _incident(self) -> None:
        say, shop = self._screen.say, self._setting.shop
        await asyncio.sleep(BREAKS_AT_S - self._screen.elapsed_s)
        await self._until("orders by PromQL", self._orders_known)
        await shop.fail(self._http, BROKEN)
        broke_s, broke_ns = self._screen.elapsed_s, time.time_ns()
        say(f"payments breaks: {BROKEN:.0%} of the charges answer 500 now", "bold red")
        clue = asyncio.create_task(self._show_failure(broke_ns))
        self.waiting_for = "the firing message"
        await self._inbox.fired.wait()
        say(f"the alert arrived {self._screen.elapsed_s - broke_s:.1f} s after the break", "bold red")
        await asyncio.sleep(self._broken_for())
        clue.cancel()
        await shop.fail(self._http, HEALTHY)
        healed_s = self._screen.elapsed_s
        say("payments is healed", "bold green")
        self.waiting_for = "the resolved message"
        await self._inbox.resolved.wait()
        say(f"the resolved message arrived {self._screen.elapsed_s - healed_s:.1f} s after the repair", "bold green")

    def _broken_for(self) -> float:
        if self._ends_at_s is None:
            return BROKEN_FOR_S
        return max(0.0, min(BROKEN_FOR_S, self._ends_at_s - HEALING_S - self._screen.elapsed_s))

    async def _write_history(self) -> int:
        try:
            return await write_history(self._http, self._setting.shop.requests_per_second)
        except httpx.HTTPError as error:
            raise WatchhouseError(f"the history could not be written: {error}") from None

    async def _all_scraped(self) -> bool:
        return await self._asker.scraped(self._setting.shop.ports.values())

    async def _orders_known(self) -> bool:
        return await self._asker.value(ask.ORDER_ERRORS) is not None

    async def _until(self, what: str, done: Callable[[], Awaitable[bool]]) -> None:
        """Asks until it is so."""
        self.waiting_for = what
        try:
            async with asyncio.timeout(_START_S):
                while True:
                    try:
                        if await done():
                            return
                    except AskFailed as error:
                        self.waiting_for = f"{what} ({error})"
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise WatchhouseError(f"waited {_START_S:.0f} s in vain for {self.waiting_for}") from None

    async def _show_failure(self, after_ns: int) -> None:
        """One line of what went wrong, as soon as the logs have it."""
        with contextlib.suppress(AskFailed):
            lines: list[tuple[int, str]] = []
            while not lines:
                await asyncio.sleep(_LINE_POLL_S)
                lines = await self._asker.lines(ask.FAILURES, after_ns, 1)
            self._screen.say(f"by LogQL, {ask.FAILURES}:\n{lines[0][1]}")

    async def _watch(self) -> None:
        """How the shop does, every few seconds, for ever."""
        counted_to = dict.fromkeys(ask.LOGS, time.time_ns())
        while True:
            await asyncio.sleep(_LOOK_S)
            looks = (self._traffic(), self._log_lines(counted_to), self._budget())
            parts = await asyncio.gather(*map(self._look, looks))
            self._screen.say(" · ".join(parts))

    async def _look(self, look: Awaitable[str]) -> str:
        try:
            return await look
        except AskFailed as error:
            return f"no answer ({error})"

    async def _traffic(self) -> str:
        """Scraped, scraped, and by OTLP."""
        rate, errors, charges = [await self._asker.value(q) for q in (ask.RATE, ask.ORDER_ERRORS, ask.CHARGES)]
        told = f"{_number(rate, '.0f')} requests/s, {_number(charges, '.0f')} charges/s"
        return f"{told}, {_number(errors, '.1%')} of orders fail"

    async def _log_lines(self, counted_to: dict[str, int]) -> str:
        counts = []
        for name, query in ask.LOGS.items():
            lines = await self._asker.lines(query, counted_to[name])
            if lines:
                counted_to[name] = lines[0][0]
            counts.append(f"{len(lines)} {name}")
        return "logs: " + ", ".join(counts)

    async def _budget(self) -> str:
        slo = await self._asker.slo()
        told = f"SLO burns {_number(slo.burn, '.1f')}×, budget left {_number(slo.budget_left, '.1%')}"
        return told + (", FIRING" if slo.firing else "") + (f", error: {slo.error}" if slo.error else "")


def _number(value: float | None, form: str) -> str:
    return "?" if value is None else format(value, form)
