"""Runs the demo: what it needs, the story, and the end of everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from alerting.standin import SlackStandin
from app.demo.files import DEFAULT_PORTS, Ports, write_files
from app.demo.processes import Processes, take_port
from app.demo.screen import Screen
from app.demo.shopkeeper import Shop
from app.demo.story import Inbox, Setting, Story
from app.demo.where import url
from app.errors import WatchhouseError


async def run_demo(screen: Screen, for_s: float | None = None, data_dir: Path | None = None) -> int:
    """The whole demo; gives the exit status. SIGINT and SIGTERM end it in order.

    With `for_s` it ends after the resolved message, at the latest after so many seconds, with 0 only when both
    messages came. Without, it runs until a signal. Nothing is kept but what is in `data_dir`.
    """
    inbox = Inbox(screen)
    standin = SlackStandin(inbox.take)
    with tempfile.TemporaryDirectory(prefix="watchhouse-demo-", ignore_cleanup_errors=True) as name:
        try:
            interrupted = await _run(screen, for_s, Path(name), data_dir or Path(name) / "data", inbox, standin)
        except WatchhouseError as error:
            screen.say(f"the demo failed: {error}", "bold red")
            return 1
    for refusal in standin.refusals:
        screen.say(f"Slack would have refused a message: {refusal}", "bold red")
    if interrupted and for_s is None:
        return 0
    for missing in inbox.missing:
        screen.say(f"{missing} did not come", "bold red")
    failed = bool(inbox.missing or standin.refusals)
    if not failed:
        screen.say("both messages came", "bold green")
    return 1 if failed else 0


async def _run(
    screen: Screen, for_s: float | None, folder: Path, data_dir: Path, inbox: Inbox, standin: SlackStandin
) -> bool:
    """Everything between the start and the stop of the processes; tells whether a signal ended it."""
    processes = Processes(folder)
    stop = _on_signals(processes)
    async with contextlib.AsyncExitStack() as stack:
        webhook = await standin.start()
        stack.push_async_callback(standin.stop)
        shop = Shop()
        stack.callback(shop.close)
        ports = _ports(screen)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url(ports), timeout=10, trust_env=False))
        stack.push_async_callback(processes.stop)
        new = not (data_dir.exists() and any(data_dir.iterdir()))
        config = write_files(folder, data_dir.absolute(), ports, shop.ports, webhook)
        setting = Setting(folder, ports, shop, processes, config, new_data=new)
        story = Story(screen, inbox, setting, http, for_s)
        interrupted = await _until_over(story, processes, stop, None if for_s is None else for_s - screen.elapsed_s)
        if for_s is not None and inbox.missing and not interrupted:
            screen.say(f"time is up while waiting for {story.waiting_for}", "bold red")
        screen.say("stopping everything that was started …")
    return interrupted


async def _until_over(story: Story, processes: Processes, stop: asyncio.Event, limit_s: float | None) -> bool:
    """Until the story is told, a signal comes (then true), time is up, or a process dies (then it raises Died)."""
    told = asyncio.create_task(story.tell())
    stopped = asyncio.create_task(stop.wait())
    try:
        events: set[asyncio.Future[Any]] = {told, stopped, processes.died}
        await asyncio.wait(events, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if processes.died.done():
            raise processes.died.result()
        if told.done():
            told.result()
        return stopped.done()
    finally:
        for task in (told, stopped):
            task.cancel()
        await asyncio.gather(told, stopped, return_exceptions=True)


def _on_signals(processes: Processes) -> asyncio.Event:
    """Set by the first signal; the second one does not wait for anybody."""
    stop = asyncio.Event()

    def signalled() -> None:
        if stop.is_set():
            processes.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled)
    return stop


def _ports(screen: Screen) -> Ports:
    """The default ports where they are free, others where not."""
    chosen = Ports(**{name: take_port(port) for name, port in asdict(DEFAULT_PORTS).items()})
    for name, port in asdict(DEFAULT_PORTS).items():
        if getattr(chosen, name) != port:
            screen.say(f"port {port} ({name}) is taken; {getattr(chosen, name)} is used instead", "yellow")
    return chosen
