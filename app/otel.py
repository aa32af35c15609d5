"""The service's own traces and metrics by OpenTelemetry, sent where OTEL_EXPORTER_OTLP_ENDPOINT says.

The variables are those of the OpenTelemetry specification; without the endpoint nothing is built and no thread runs.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from opentelemetry import propagate, trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ConfigError, Problem

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

Protocol = Literal["grpc", "http/protobuf"]
_PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http/protobuf")
_FLUSH_SECONDS = 3.0
_UNTRACED = ("/v1/traces", "/-/", "/ready", "/metrics")
"""Paths whose requests are no news: probes, scrapes, and spans that come back to us."""


@dataclass(frozen=True, slots=True)
class OwnTelemetry:
    """What runs; nothing when both are None."""

    tracer: trace.Tracer | None = None
    shutdown: Callable[[], None] | None = None

    def traced(self, app: ASGIApp) -> ASGIApp:
        """The application with a span for each request; the application itself when nothing is sent anywhere."""
        return app if self.tracer is None else TracingMiddleware(app, self.tracer)

    def stop(self) -> None:
        """Sends what is left, for a few seconds at most, and ends the threads. Blocks. Safe to call twice."""
        if self.shutdown is not None:
            # an endpoint that is away would hold the service up for as long as its exporter is patient
            thread = threading.Thread(target=self.shutdown, name="otel shutdown", daemon=True)
            thread.start()
            thread.join(_FLUSH_SECONDS)


def configure_telemetry(service_version: str) -> OwnTelemetry:
    """Starts sending the service's traces and its metrics of app.telemetry, if OTEL_EXPORTER_OTLP_ENDPOINT is set.

    OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf (as without it) or grpc. Raises ConfigError for another one.
    """
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return OwnTelemetry()
    # the SDK takes a while to import, and most services run without it
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from app.otel_bridge import RegistryExporter

    protocol = _protocol()
    resource = _resource(service_version)
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(_span_exporter(protocol)))
    reader = PeriodicExportingMetricReader(RegistryExporter(_metric_exporter(protocol), resource, service_version))
    meters = MeterProvider([reader], resource, shutdown_on_exit=False)
    # an export happens only when there is something to observe, and then takes our own registry with it
    meters.get_meter("watchhouse", service_version).create_observable_gauge(
        "process.uptime", [_uptime], "s", "The time the process has been running."
    )
    log.info("sending traces and metrics to %s", os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
    ended = threading.Event()

    def shutdown() -> None:
        if not ended.is_set():
            ended.set()
            meters.shutdown()
            tracers.shutdown()

    return OwnTelemetry(tracers.get_tracer("watchhouse", service_version), shutdown)


class TracingMiddleware:
    """A span for each HTTP request, part of the caller's trace when it tells one."""

    def __init__(self, app: ASGIApp, tracer: trace.Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on within its span."""
        if scope["type"] != "http" or scope["path"].startswith(_UNTRACED):
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        span = self._tracer.start_span(
            scope["method"],
            propagate.extract(headers),
            trace.SpanKind.SERVER,
            {"http.request.method": scope["method"], "url.path": scope["path"], "url.scheme": scope["scheme"]},
        )

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note_status(span, message["status"])
            await send(message)

        with trace.use_span(span, end_on_exit=True):
            try:
                await self._app(scope, receive, send_noting)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)


def _note_status(span: trace.Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(trace.StatusCode.ERROR)


def _protocol() -> Protocol:
    name = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    for protocol in _PROTOCOLS:
        if name == protocol:
            return protocol
    message = f"{name!r} is not taken: write {' or '.join(_PROTOCOLS)}"
    raise ConfigError([Problem("environment", None, "OTEL_EXPORTER_OTLP_PROTOCOL", message)])


def _resource(service_version: str) -> Resource:
    """Who we are; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = {
        "service.name": "watchhouse",
        "service.version": service_version,
        "service.instance.id": str(uuid.uuid4()),
        "host.name": platform.node(),
    }
    told = OTELResourceDetector().detect().attributes
    return Resource.create({key: value for key, value in ours.items() if key not in told})


def _span_exporter(protocol: Protocol) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        return GrpcSpans()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

    return HttpSpans()


def _metric_exporter(protocol: Protocol) -> MetricExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics

        return GrpcMetrics()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics

    return HttpMetrics()


_started = time.monotonic()


def _uptime(options: CallbackOptions) -> Iterable[Observation]:
    from opentelemetry.metrics import Observation

    yield Observation(time.monotonic() - _started)
