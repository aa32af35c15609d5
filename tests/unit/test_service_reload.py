"""Reloads of the whole service."""

from __future__ import annotations

import asyncio
import threading
import time

from app.errors import ConfigError, Problem
from app.files import Loaded, load_all
from app.service import Service


async def test_reloads_come_one_after_another() -> None:
    """SIGHUP and `POST /-/reload` at once: the second begins when the first is done, so that no part has two."""
    under_way, most = threading.Semaphore(2), []

    def reread() -> Loaded:
        under_way.acquire()
        most.append(under_way._value)
        time.sleep(0.05)
        under_way.release()
        raise ConfigError([Problem("watchhouse.yaml", 1, "http", "wrong")])

    service = Service(load_all(None), reread)
    answers = await asyncio.gather(service.reload(), service.reload(), return_exceptions=True)
    assert all(isinstance(answer, ConfigError) for answer in answers)
    assert most == [1, 1]
