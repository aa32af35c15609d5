"""Charges cards, or fails to: the part of the shop that breaks."""

from __future__ import annotations

import asyncio
import random
import time

from aiohttp import web
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from app.demo.shop.settings import HEALTHY, ShopSettings
from app.demo.shop.web import ShopServer

_EXPORT_MS = 1000


class Payments:
    """Sends logs by OTLP/HTTP and business metrics by OTLP/gRPC, with the SDK's own exporters."""

    def __init__(self, settings: ShopSettings) -> None:
        self._failing = HEALTHY
        resource = Resource(
            {"service.name": "payments", "service.namespace": "shop", "service.instance.id": "payments-1"}
        )
        self._loggers = LoggerProvider(resource)
        logs = OTLPLogExporter(endpoint=f"http://127.0.0.1:{settings.otlp_http_port}/v1/logs")
        self._loggers.add_log_record_processor(BatchLogRecordProcessor(logs, schedule_delay_millis=_EXPORT_MS))
        self._log = self._loggers.get_logger("payments")
        metrics = OTLPMetricExporter(endpoint=f"127.0.0.1:{settings.otlp_grpc_port}", insecure=True)
        self._meters = MeterProvider([PeriodicExportingMetricReader(metrics, _EXPORT_MS)], resource)
        meter = self._meters.get_meter("payments")
        self._charges = meter.create_counter("shop.charges", unit="{charge}", description="Attempts to charge a card.")
        self._amount = meter.create_counter("shop.charged", unit="EUR", description="Money taken.")
        self._server = ShopServer(settings.listen_fd, {("POST", "/charge"): self._charge}, ("200", "500"))
        self._server.add("PUT", "/fault", self._fault)

    async def start(self) -> None:
        """Opens."""
        await self._server.start()

    async def stop(self) -> None:
        """Closes; what is not exported yet goes out, unless nobody takes it."""
        await self._server.stop()
        await asyncio.gather(asyncio.to_thread(self._loggers.shutdown), asyncio.to_thread(self._meters.shutdown))

    async def _charge(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        await asyncio.sleep(random.expovariate(1 / 0.005))
        refused = random.random() < self._failing
        self._charges.add(1, {"result": "failed" if refused else "taken"})
        if refused:
            self._say(SeverityNumber.ERROR, f"card gateway timed out for order {asked['order']}", request)
            return web.json_response({"error": "gateway timeout"}, status=500)
        self._amount.add(asked["amount"])
        self._say(SeverityNumber.INFO, f"charged {asked['amount']} EUR for order {asked['order']}", request)
        return web.json_response({})

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        self._failing = float((await request.json())["failing"])
        return web.json_response({"failing": self._failing})

    def _say(self, severity: SeverityNumber, text: str, request: web.Request) -> None:
        self._log.emit(
            timestamp=time.time_ns(),
            severity_number=severity,
            severity_text=severity.name,
            body=text,
            attributes={"trace_id": request.headers.get("x-trace-id", "")},
        )
