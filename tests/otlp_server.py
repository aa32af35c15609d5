"""Both OTLP receivers over real sockets, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from starlette.types import ASGIApp

from app.api.otlp import otlp_router
from app.config import Address, Limits
from app.errors import StoreError
from app.store.client import Pool
from ingest.batch import LogBatch, MetricBatch
from ingest.otlp.grpc_server import OtlpGrpcReceiver
from ingest.writer import Writer

NOW_NS = 1_795_238_981_000_000_000


def logs(*bodies: str) -> ExportLogsServiceRequest:
    """A request of log records; one with the body "bad" has a time that no table can hold."""
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    for body in bodies:
        records.add(time_unix_nano=2**64 - 1 if body == "bad" else NOW_NS).body.string_value = body
    return message


class FailingWriter(Writer):
    """A writer that takes nothing."""

    error: Exception = StoreError("")

    async def write_logs(self, batch: LogBatch, urgent: bool = True) -> None:
        """Raises the error."""
        raise self.error

    async def write_metrics(self, batch: MetricBatch, urgent: bool = True) -> None:
        """Raises the error."""
        raise self.error


@dataclass(frozen=True)
class OtlpServer:
    """Where the receivers listen."""

    http_port: int
    grpc_port: int

    @property
    def http_url(self) -> str:
        """The base of the HTTP endpoints."""
        return f"http://127.0.0.1:{self.http_port}"


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """An application on a free port."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve([sock]))
    try:
        yield int(sock.getsockname()[1])
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def otlp_server(
    pool: Pool, limits: Limits | None = None, writer_type: type[Writer] = Writer
) -> AsyncIterator[OtlpServer]:
    """A writer with both OTLP receivers before it."""
    limits = limits or Limits()
    writer = writer_type(pool, limits)
    await writer.start()
    receiver = OtlpGrpcReceiver(writer, Address(host="127.0.0.1", port=0), limits)
    app = FastAPI()
    app.include_router(otlp_router(writer, limits))
    async with serving(app) as http_port:
        await receiver.start()
        try:
            yield OtlpServer(http_port, receiver.port)
        finally:
            await receiver.stop()
    await writer.stop()
