"""`POST /fluentbit/{tag}`: Fluent Bit's HTTP output."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.api.body import TooLarge, read_body
from app.compression import decompress
from app.config import Limits
from app.errors import DecodeError, Overloaded, StoreError
from app.telemetry import DROPPED, RECEIVED
from ingest.fluentbit.bodies import JSON, JSON_LINES, MSGPACK, decode_body
from ingest.fluentbit.events import Decoded
from ingest.fluentbit.records import StreamCache
from ingest.writer import Writer

RECEIVER = "fluentbit_http"
# a larger body would hold the event loop for more than about a millisecond
_INLINE_BYTES = 16 * 1024


def fluentbit_router(writer: Writer, limits: Limits) -> APIRouter:
    """The endpoint; 204 when every line is kept, the codes of docs/logs.md otherwise."""
    router = APIRouter()
    small, large = StreamCache(writer.streams, limits), StreamCache(writer.streams, limits)
    one_thread = ThreadPoolExecutor(1, thread_name_prefix="fluentbit-http")

    def decode(content_type: str, packed: bool, body: bytes, tag: str, cache: StreamCache) -> Decoded:
        content = decompress(body, "gzip", limits.max_decoded_bytes) if packed else body
        return decode_body(content_type, content, tag, cache, time.time_ns())

    async def decoded(request: Request) -> Decoded:
        content_type = request.headers.get("content-type", JSON[0]).partition(";")[0].strip().lower()
        if content_type not in (*JSON, *JSON_LINES, *MSGPACK):
            raise _NotTaken(f"content type {content_type!r} is not taken: send JSON, JSON lines or msgpack")
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("gzip", "identity"):
            raise _NotTaken(f"content encoding {encoding!r} is not taken: send gzip or none")
        body = await read_body(request, limits.max_body_bytes)
        arguments = content_type, encoding == "gzip", body, request.path_params["tag"]
        if len(body) <= _INLINE_BYTES and encoding != "gzip":
            return decode(*arguments, small)
        return await asyncio.get_running_loop().run_in_executor(one_thread, decode, *arguments, large)

    async def take(request: Request) -> Response:
        try:
            found = await decoded(request)
            await writer.write_logs(found.batch)
        except _NotTaken as error:
            return PlainTextResponse(f"{error}\n", 415)
        except TooLarge as error:
            return PlainTextResponse(f"{error}\n", 413)
        except DecodeError as error:
            DROPPED.labels(RECEIVER, "undecodable").inc()
            return PlainTextResponse(f"{error}\n", 400)
        except Overloaded as error:
            return PlainTextResponse(f"{error}\n", 429, {"Retry-After": f"{max(1.0, error.retry_after_s):.0f}"})
        except StoreError as error:
            return PlainTextResponse(f"the store did not take the lines: {error}\n", 503, {"Retry-After": "5"})
        RECEIVED.labels(RECEIVER).inc(len(found.batch))
        for reason, rows in found.dropped.items():
            DROPPED.labels(RECEIVER, reason).inc(rows)
        if found.dropped:
            lost, kept = sum(found.dropped.values()), len(found.batch)
            return PlainTextResponse(f"{kept} lines kept, {lost} not, the first: {found.first_bad}\n", 400)
        return Response(status_code=204)

    router.add_api_route(
        "/fluentbit/{tag:path}", take, methods=["POST"], tags=["fluentbit"], response_class=Response, status_code=204
    )
    return router


class _NotTaken(Exception):
    """A content type or encoding that is not read here."""
