"""OTLP over gRPC: the MetricsService and LogsService of the OTLP specification."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from app.config import Address, Limits
from app.errors import DecodeError, Overloaded, StoreError, StoreUnavailable, WatchhouseError
from app.telemetry import DROPPED
from ingest.otlp.outcome import Signal
from ingest.otlp.receiver import OtlpIngest, response_to
from ingest.writer import Writer

log = logging.getLogger(__name__)

SETTING = "receivers.otlp.grpc_listen"
SERVICES: dict[Signal, str] = {
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
STORE_RETRY_S = 5.0
Authorize = Callable[[str], bool]
"""Whether a request with this `authorization` metadata ("" without any) may send data."""


class GrpcCannotListen(WatchhouseError):
    """The gRPC address cannot be listened on; the message names the setting to change."""


class OtlpGrpcReceiver:
    """The gRPC listener. A request is answered when what is good in it is kept.

    `authorize` decides by the request's `authorization` metadata; without it every request is taken.
    """

    def __init__(self, writer: Writer, listen: Address, limits: Limits, authorize: Authorize | None = None) -> None:
        self._ingest = OtlpIngest(writer, limits)
        self._listen = listen
        self._limits = limits
        self._authorize = authorize
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port in use, after `start`."""
        return self._port

    async def start(self) -> None:
        """Begins to accept requests. Raises GrpcCannotListen naming the setting when the port is taken."""
        options = [
            ("grpc.max_receive_message_length", self._limits.max_body_bytes),
            # a second process on the port would be given half of the requests, and nobody would notice
            ("grpc.so_reuseport", 0),
        ]
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers(tuple(self._handler(signal) for signal in SERVICES))
        try:
            self._port = server.add_insecure_port(str(self._listen))
        except RuntimeError:
            # gRPC tells no more than that it failed
            variable = "WATCHHOUSE_" + SETTING.upper().replace(".", "__")
            raise GrpcCannotListen(
                f"{self._listen} cannot be listened on: it is taken by another process, or no address of this machine; "
                f"change {SETTING} (or set {variable})"
            ) from None
        await server.start()
        self._server = server

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stops accepting, lets requests end within `grace_s`, and closes. Safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_s)

    def _handler(self, signal: Signal) -> grpc.GenericRpcHandler:
        # without a deserialiser the bytes come as they are, and large ones are decoded off the event loop
        method = grpc.unary_unary_rpc_method_handler(self._method(signal))
        return grpc.method_handlers_generic_handler(SERVICES[signal], {"Export": method})

    def _method(self, signal: Signal) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]:
        async def export(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            if self._authorize is not None and not self._authorize(_authorization(context)):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token with the role ingest is wanted")
            try:
                outcome = await self._ingest.take(signal, body, "proto")
            except DecodeError as error:
                DROPPED.labels("otlp", "undecodable").inc()
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except Overloaded as error:
                await _abort_for_retry(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), error.retry_after_s)
            except StoreError as error:
                if not isinstance(error, StoreUnavailable):
                    log.error("store error on OTLP %s: %s", signal, error)
                await _abort_for_retry(context, grpc.StatusCode.UNAVAILABLE, str(error), STORE_RETRY_S)
            if outcome.all_bad:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, outcome.message)
            return response_to(signal, outcome).SerializeToString()

        return export


def _authorization(context: grpc.aio.ServicerContext) -> str:
    return next((str(value) for key, value in context.invocation_metadata() or () if key == "authorization"), "")


async def _abort_for_retry(
    context: grpc.aio.ServicerContext, code: grpc.StatusCode, message: str, after_s: float
) -> None:
    """Ends the call with a status whose details tell the sender when to try again."""
    delay = Duration()
    delay.FromMilliseconds(int(after_s * 1000))
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=delay))
    status = Status(code=code.value[0], message=message, details=[detail])
    await context.abort(code, message, (("grpc-status-details-bin", status.SerializeToString()),))
