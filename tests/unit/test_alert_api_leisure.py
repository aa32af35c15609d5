"""Listing many alerts leaves the event loop to others in between."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from app.api.alertmanager import alertmanager_router
from tests.alert_world import AlertWorld, alert

CONFIG = """
route: {receiver: team, group_by: [i]}
receivers: [{name: team, slack_configs: [{api_url: 'https://hooks.example/x', channel: c}]}]
"""


@pytest.mark.parametrize("path", ["alerts", "alerts/groups"])
async def test_others_get_their_turns(path: str) -> None:
    """1,000 alerts in groups of their own: somebody else runs at least ten times meanwhile."""
    async with AlertWorld(CONFIG) as world:
        await world.put(*(alert("A", i=str(i)) for i in range(1000)))
        app = FastAPI()
        app.include_router(alertmanager_router(world.manager))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://w") as client:
            asking = asyncio.ensure_future(client.get(f"/api/v2/{path}"))
            turns = 0
            while not asking.done():
                await asyncio.sleep(0)
                turns += 1
        assert len(asking.result().json()) == 1000
        assert turns > 15
