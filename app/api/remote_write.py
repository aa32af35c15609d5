"""`POST /api/v1/write`: Prometheus remote write, 1.0 and 2.0 by the content type."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.api.body import TooLarge, read_body
from app.config import Limits
from app.errors import DecodeError, Overloaded, StoreError
from app.telemetry import DROPPED, RECEIVED
from ingest import remote_write, remote_write_v2
from ingest.batch import MetricBatch
from ingest.times import AHEAD_MS
from ingest.write_request import WriteRequest, decompress
from ingest.writer import Writer

MEDIA_TYPE = "application/x-protobuf"
V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
_OUTSIDE = "older than store.retention.metrics, or over 10 minutes ahead"
# a larger body would hold the event loop for more than about a millisecond
_INLINE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Message:
    """A protobuf message that is taken: how it is read, small bodies on the event loop and large ones on a thread.

    `lost` is to be called when metadata was read and not kept; `counted` says whether answers tell what was written.
    """

    small: Callable[[bytes], WriteRequest]
    large: Callable[[bytes], WriteRequest]
    lost: Callable[[], None]
    counted: bool

    async def read(self, body: bytes, thread: Executor) -> WriteRequest:
        """The decoded body. Raises DecodeError."""
        if len(body) <= _INLINE_BYTES:
            return self.small(body)
        return await asyncio.get_running_loop().run_in_executor(thread, self.large, body)


def _version_1(writer: Writer, limits: Limits) -> _Message:
    def reader() -> Callable[[bytes], WriteRequest]:
        cache = remote_write.WriteCache(writer.series, limits.cached_series)
        return lambda body: remote_write.decode_write_request(decompress(body, limits), cache, limits)

    # metadata comes again within a minute, by itself
    return _Message(reader(), reader(), lost=lambda: None, counted=False)


def _version_2(writer: Writer, limits: Limits) -> _Message:
    small, large = (remote_write_v2.WriteCache(writer.series, limits) for _ in range(2))

    def reader(cache: remote_write_v2.WriteCache) -> Callable[[bytes], WriteRequest]:
        return lambda body: remote_write_v2.decode_request(decompress(body, limits), cache, limits)

    def lost() -> None:
        small.forget_metadata()
        large.forget_metadata()

    return _Message(reader(small), reader(large), lost, counted=True)


def remote_write_endpoint(
    writer: Writer, limits: Limits, retention_ms: int
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint; 204 when every sample is kept. Samples older than `retention_ms` are told, not taken."""
    messages = {V1: _version_1(writer, limits), V2: _version_2(writer, limits)}
    thread = ThreadPoolExecutor(1, thread_name_prefix="remote-write")

    async def write(request: Request) -> Response:
        content_type = request.headers.get("content-type", MEDIA_TYPE)
        message = messages.get(message_of(content_type))
        if message is None:
            taken = f"send {MEDIA_TYPE}, with proto={V2} for remote write 2.0"
            return PlainTextResponse(f"content type {content_type!r} is not taken: {taken}\n", 415)
        answer, kept = await take(request, message)
        if message.counted:
            answer.headers.update(written(kept))
        return answer

    async def take(request: Request, message: _Message) -> tuple[Response, MetricBatch | None]:
        """The answer, and what was kept."""
        if request.headers.get("content-encoding", "snappy") != "snappy":
            return PlainTextResponse("Content-Encoding must be snappy\n", 415), None
        try:
            decoded = await message.read(await read_body(request, limits.max_body_bytes), thread)
            now_ms = int(time.time() * 1000)
            batch = decoded.batch.within(now_ms - retention_ms, now_ms + AHEAD_MS)
            await keep(batch, message)
        except TooLarge as error:
            return PlainTextResponse(f"{error}\n", 413), None
        except DecodeError as error:
            DROPPED.labels("remote_write", "undecodable").inc()
            return PlainTextResponse(f"{error}\n", 400), None
        except Overloaded as error:
            return PlainTextResponse(f"{error}\n", 429, {"Retry-After": f"{error.retry_after_s:.0f}"}), None
        except StoreError as error:
            text = f"the store did not take the samples: {error}\n"
            return PlainTextResponse(text, 503, {"Retry-After": "5"}), None
        RECEIVED.labels("remote_write").inc(len(batch))
        problems = _problems(decoded, batch, message.counted)
        return PlainTextResponse("".join(problems), 400) if problems else Response(status_code=204), batch

    async def keep(batch: MetricBatch, message: _Message) -> None:
        kept = False
        try:
            await writer.write_metrics(batch)
            kept = True
        finally:
            if batch.metadata and not kept:
                message.lost()

    return write


def message_of(content_type: str) -> str:
    """The full name of the protobuf message a content type speaks of; "" when it is no protobuf.

    Without a `proto` parameter it is remote write 1.0.
    """
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    if media_type.lower() != MEDIA_TYPE:
        return ""
    named = (parameter.partition("=") for parameter in parameters)
    return next((value.strip('"') for name, _, value in named if name.lower() == "proto"), V1)


def written(kept: MetricBatch | None) -> dict[str, str]:
    """The headers that tell a 2.0 sender what was kept of its request."""
    counts = {
        "Samples": len(kept.refs) if kept else 0,
        "Histograms": len(kept.histograms) if kept else 0,
        "Exemplars": len(kept.exemplars) if kept else 0,
    }
    return {f"X-Prometheus-Remote-Write-{what}-Written": str(count) for what, count in counts.items()}


def _problems(decoded: WriteRequest, batch: MetricBatch, tell_exemplars: bool) -> list[str]:
    """What was not taken, a line each."""
    found = []
    exemplars = len(decoded.batch.exemplars) - len(batch.exemplars)
    outside = len(decoded.batch) - len(batch) - exemplars
    if outside:
        DROPPED.labels("remote_write", "out_of_bounds").inc(outside)
        found.append(f"out of bounds: {outside} samples not taken: {_OUTSIDE}\n")
    # a 1.0 sender is not told of exemplars: its request would fail for the samples too, as Prometheus has it
    if exemplars and tell_exemplars:
        found.append(f"out of bounds: {exemplars} exemplars not taken: {_OUTSIDE}\n")
    if decoded.rejected.series:
        DROPPED.labels("remote_write", "bad_series").inc(decoded.rejected.series)
        found.append(f"{decoded.rejected.series} series not taken, the first: {decoded.rejected.first}\n")
    return found
