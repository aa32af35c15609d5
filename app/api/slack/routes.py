"""`/slack/…`: buttons, commands and events that Slack sends, and the charts its servers fetch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import orjson
from fastapi import APIRouter, Request, Response

from alerting.slack.chart_urls import SignedCharts
from alerting.slack.inbound import Response as Answer
from alerting.slack.inbound import SlackInbound
from alerting.slack.room import SlackRoom
from app.api.body import TooLarge, read_body
from app.errors import WatchhouseError

MAX_BODY_BYTES = 2**20

_Handle = Callable[[Mapping[str, str], bytes], Awaitable[Answer]]


def slack_router(inbound: SlackInbound | None, charts: SignedCharts | None, room: SlackRoom) -> APIRouter:
    """The routes. They need no token, as each request is signed; without a signing secret they answer 404."""
    router = APIRouter(prefix="/slack", tags=["slack"])

    async def taken(request: Request, handle: _Handle) -> Response:
        try:
            body = await read_body(request, MAX_BODY_BYTES)
        except TooLarge as error:
            return Response(str(error), 413, media_type="text/plain")
        answer = await handle(request.headers, body)
        if answer.body is None:
            return Response(status_code=answer.status)
        return Response(orjson.dumps(answer.body), answer.status, media_type="application/json")

    if inbound is not None:

        @router.post("/interactive")
        async def interactive(request: Request) -> Response:
            """A press of a button, signed by Slack."""
            return await taken(request, inbound.interactive)

        @router.post("/command")
        async def command(request: Request) -> Response:
            """A slash command, signed by Slack."""
            return await taken(request, inbound.command)

        @router.post("/events")
        async def events(request: Request) -> Response:
            """The Events API, signed by Slack."""
            return await taken(request, inbound.events)

    if charts is not None:

        @router.get("/chart/{slo:path}.png")
        async def chart(slo: str, length: str = "", exp: str = "", sig: str = "") -> Response:
            """The error budget of an SLO as a picture, at a URL of ours that a message has."""
            length_ms = charts.check(slo, length, exp, sig)
            if length_ms is None:
                return Response("this is no URL of ours, or it is past its time\n", 403, media_type="text/plain")
            try:
                png = await room.chart(slo, length_ms)
            except WatchhouseError as error:
                return Response(f"{error}\n", 503, {"Retry-After": "5"}, "text/plain")
            if png is None:
                return Response("nothing is known of this SLO\n", 404, media_type="text/plain")
            return Response(png, 200, {"Cache-Control": "private, max-age=60"}, "image/png")

    return router
