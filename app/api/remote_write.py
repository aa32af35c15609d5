"""`POST /api/v1/write`: Prometheus remote write 1.0."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.api.body import TooLarge, read_body
from app.config import Limits
from app.errors import DecodeError, Overloaded, StoreError
from app.telemetry import DROPPED, RECEIVED
from ingest.remote_write import WriteCache, decode_write_request
from ingest.write_request import WriteRequest, decompress
from ingest.writer import Writer

_AHEAD_MS = 600_000
# a larger body would hold the event loop for more than about a millisecond
_INLINE_BYTES = 128 * 1024


def remote_write_endpoint(
    writer: Writer, limits: Limits, retention_ms: int
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint; 204 when every sample is kept. Samples older than `retention_ms` are told, not taken."""
    small = WriteCache(writer.series, limits.cached_series)
    large = WriteCache(writer.series, limits.cached_series)
    one_thread = ThreadPoolExecutor(1, thread_name_prefix="remote-write")

    def decode(body: bytes, cache: WriteCache) -> WriteRequest:
        return decode_write_request(decompress(body, limits), cache, limits)

    async def write(request: Request) -> Response:
        content_type = request.headers.get("content-type", "application/x-protobuf")
        if "io.prometheus.write.v2" in content_type or not content_type.startswith("application/x-protobuf"):
            return PlainTextResponse(f"content type {content_type!r} is not taken: send remote write 1.0\n", 415)
        if request.headers.get("content-encoding", "snappy") != "snappy":
            return PlainTextResponse("Content-Encoding must be snappy\n", 415)
        try:
            body = await read_body(request, limits.max_body_bytes)
            if len(body) <= _INLINE_BYTES:
                decoded = decode(body, small)
            else:
                decoded = await asyncio.get_running_loop().run_in_executor(one_thread, decode, body, large)
            now_ms = int(time.time() * 1000)
            batch = decoded.batch.within(now_ms - retention_ms, now_ms + _AHEAD_MS)
            await writer.write_metrics(batch)
        except TooLarge as error:
            return PlainTextResponse(f"{error}\n", 413)
        except DecodeError as error:
            DROPPED.labels("remote_write", "undecodable").inc()
            return PlainTextResponse(f"{error}\n", 400)
        except Overloaded as error:
            return PlainTextResponse(f"{error}\n", 429, {"Retry-After": f"{error.retry_after_s:.0f}"})
        except StoreError as error:
            return PlainTextResponse(f"the store did not take the samples: {error}\n", 503, {"Retry-After": "5"})
        RECEIVED.labels("remote_write").inc(len(batch))
        # a sender is not told of exemplars: its request would fail for the samples too, as Prometheus has it
        outside = len(decoded.batch) - len(decoded.batch.exemplars) - (len(batch) - len(batch.exemplars))
        if outside:
            DROPPED.labels("remote_write", "out_of_bounds").inc(outside)
            message = f"{outside} samples not taken: older than store.retention.metrics, or over 10 minutes ahead"
            return PlainTextResponse(f"out of bounds: {message}\n", 400)
        if decoded.rejected.series:
            DROPPED.labels("remote_write", "bad_series").inc(decoded.rejected.series)
            return PlainTextResponse(
                f"{decoded.rejected.series} series not taken, the first: {decoded.rejected.first}\n", 400
            )
        return Response(status_code=204)

    return write
