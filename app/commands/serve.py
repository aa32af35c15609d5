"""`watchhouse serve`: runs the service until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import ConfigError, WatchhouseError

if TYPE_CHECKING:
    from app.files import Loaded
    from app.service import Service

log = logging.getLogger(__name__)
DEFAULT_FILE = Path("watchhouse.yaml")
STOP_HARD_SECONDS = 9.5


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def serve(
        config: Annotated[
            Path | None,
            typer.Option(help="The configuration; ./watchhouse.yaml where that is there, else the defaults."),
        ] = None,
        listen: Annotated[str | None, typer.Option(help="HOST:PORT of the HTTP listener.")] = None,
        data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded store.")] = None,
        log_level: Annotated[LogLevel, typer.Option(help="How much to log.")] = LogLevel.INFO,
    ) -> None:
        """Run the service."""
        import uvloop

        from app.files import load_all

        logging.basicConfig(
            level=log_level.value.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # one route, two methods, one name: of interest to nobody who reads this log
        warnings.filterwarnings("ignore", "Duplicate Operation ID")
        file = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        overrides: dict[str, Any] = {}
        if listen:
            overrides["http"] = {"listen": listen}
        if data_dir:
            overrides["data_dir"] = str(data_dir)
        try:
            loaded = load_all(file, overrides)
        except ConfigError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from None
        log.info("configuration: %s", file or "the defaults")
        raise typer.Exit(uvloop.run(_run(loaded, lambda: load_all(file, overrides))))


async def _run(loaded: Loaded, reread: Callable[[], Loaded]) -> int:
    from app.service import Service, register_process_metrics

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    register_process_metrics()
    stopping = asyncio.ensure_future(stop.wait())
    try:
        service = Service(loaded, reread)
        starting = asyncio.ensure_future(service.start())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        await starting
    except asyncio.CancelledError:
        return 0
    except WatchhouseError as error:
        typer.echo(f"watchhouse: {error}", err=True)
        return 2 if isinstance(error, ConfigError) else 1
    # what is there now stays; the collector need not walk it again and again
    gc.collect()
    gc.freeze()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(service))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await stopping
    log.info("stopping")
    await service.stop()
    return 0


def _stop(stop: asyncio.Event) -> None:
    stop.set()
    # a statement that hangs holds its thread, and the interpreter waits for threads: nothing acknowledged is lost
    timer = threading.Timer(STOP_HARD_SECONDS, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    log.error("not stopped after %s s: ending as it is", STOP_HARD_SECONDS)
    os._exit(1)


async def _reload(service: Service) -> None:
    try:
        await service.reload()
    except WatchhouseError as error:
        log.error("not reloaded, what was there stays in force:\n%s", error)
