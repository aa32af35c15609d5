"""The composition root: builds every part from the configuration, and owns the order of start and stop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from alerting.config_notices import notices
from alerting.manager.manager import AlertManager, Sharing
from alerting.manager.silences import Limits
from alerting.notify.build import build_notifiers
from alerting.rules.engine import RuleEngine
from app.api.alerting import alerting_router
from app.api.alertmanager import alertmanager_router
from app.api.clickhouse import clickhouse_router
from app.api.fluentbit import fluentbit_router
from app.api.gate import QueryGate
from app.api.health import Health, Probes, health_router
from app.api.loki import loki_router
from app.api.otlp import otlp_router
from app.api.prometheus import prometheus_router
from app.api.prometheus_federate import federate_router
from app.api.prometheus_read import read_router
from app.api.prometheus_status import Running, status_router
from app.api.prometheus_targets import targets_router
from app.api.remote_write import remote_write_endpoint
from app.api.rules import loki_rules_router, rules_router
from app.api.slack import SlackParts, SlackSlos
from app.api.slo import slo_router
from app.config import Address, Config
from app.configfile import after_reload, changed_keys, dump_config
from app.errors import StoreError
from app.files import Loaded
from app.listen import HttpServer
from app.otel import configure_telemetry
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.query.promql.kernel_leaves import warm_up
from app.sockets import bind
from app.store.client import Pool, open_pool
from app.store.http_interface import HttpInterface
from app.store.schema import apply_retention, enforce_size, migrate
from app.store.state import StateStore
from app.telemetry import REGISTRY
from app.web import TokenCheck, create_app
from app.yamlfile import Document
from ingest.derived import DerivedSeries, RecordedSamples
from ingest.fluentbit.forward import ForwardReceiver
from ingest.kafka.receiver import KafkaReceiver
from ingest.otlp.grpc_server import OtlpGrpcReceiver
from ingest.scrape.config import ScrapeSet, scrape_set_from_inline
from ingest.scrape.manager import ScrapeManager
from ingest.writer import Writer
from slo.counting import Counter
from slo.engine import SloEngine
from slo.judge import Policy
from slo.series import SloSeries
from slo.watermark import LateSamples

log = logging.getLogger(__name__)
VERSION = version("watchhouse")
STOP_SECONDS = 8.5
SIZE_CHECK_SECONDS = 60.0
OWN_JOB = "watchhouse"

Close = Callable[[], Awaitable[None]]


class Service:
    """One Watchhouse process. Build it, `start`, and `stop`; a start that fails undoes what it did.

    `reread` loads the configuration and its files anew for `reload`.
    """

    def __init__(self, loaded: Loaded, reread: Callable[[], Loaded]) -> None:
        self.config: Config = loaded.config
        self._loaded = loaded
        self._reread = reread
        self._check = TokenCheck(self.config.auth)
        self._steps: list[tuple[str, Close]] = []
        self._ready = False
        self._running = Running()
        self._reloading = asyncio.Lock()
        self.http_port = 0

    async def start(self) -> None:
        """Takes the ports, then opens the store, the engines, and last the listeners.

        Raises CannotListen, ConfigError or StoreError saying what is wrong; nothing runs on then.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops in reverse order: listeners first, then the writer with what it holds, then the store.

        Each step's failure is logged and stops none of the others. Safe to call twice.
        """
        self._ready = False
        steps, self._steps = self._steps[::-1], []
        deadline = time.monotonic() + STOP_SECONDS
        for name, close in steps:
            try:
                async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                    await close()
            except TimeoutError:
                log.error("stopping %s took too long", name)
            except Exception:
                log.exception("stopping %s failed", name)

    async def reload(self) -> None:
        """Reads configuration, scrape targets, SLOs, rules and the Alertmanager file again.

        Raises ConfigError and keeps everything as it was when any of them is wrong. The other keys that changed are
        taken up at the next start: the log names them.
        """
        async with self._reloading:
            try:
                loaded = await asyncio.to_thread(self._reread)
                # made before anything changes: what may still be refused comes first
                notifiers = await asyncio.to_thread(
                    build_notifiers, loaded.alertmanager, external_url=self._external_url, slack=self.slack.room
                )
                await self.scrapes.reload(self._with_itself(loaded.scrape))
                await self.alerts.reload(loaded.alertmanager, notifiers)
                await self.slos.reload(loaded.slos.specs)
                await self.rules.reload(loaded.rules.groups)
            except BaseException as error:
                self._running.not_taken_up(str(error) or type(error).__name__)
                raise
            self._loaded = loaded
            self.config = after_reload(self.config, loaded.config)
            self._running.taken_up()
            if waiting := list(changed_keys(self.config, loaded.config)):
                log.warning("changed, and taken up at the next start: %s", ", ".join(waiting))
            self._warn_of_alerting()
        log.info("configuration reloaded")

    async def _started(self, name: str, part: Any) -> None:
        await part.start()
        self._steps.append((name, part.stop))

    async def _start(self) -> None:
        config, limits = self.config, self.config.limits
        # ports first: a taken one should be told before seconds of other work
        main_socket = bind(config.http.listen, "http.listen")
        self._steps.append(("port", _in_thread(main_socket.close)))
        own = configure_telemetry(VERSION)
        self._steps.append(("telemetry", _in_thread(own.stop)))
        pool = await self._open_store()
        writer = Writer(pool, limits)
        await self._started("writer", writer)
        promql = PromQLEngine(pool, limits)
        if pool.embedded:
            # the first query should not wait for a compiler
            threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
        logql = LogQLEngine(pool, limits)
        gate = QueryGate(limits, pool.end_statements)
        self._steps.append(("queries", _in_thread(gate.close)))
        url = self._external_url
        self.slack = SlackParts(config, url, SlackSlos(lambda: self.slos, promql, logql, gate, limits))
        await self._start_alerting(pool, promql, writer, url)
        self._steps.append(("slack", self.slack.stop))
        interface = HttpInterface(pool, config.store.http_writable and config.http.listen.is_loopback, limits)
        self._steps.append(("clickhouse interface", _in_thread(interface.close)))
        otlp = otlp_router(writer, limits)
        await self._start_receivers(pool, writer, otlp)
        self.scrapes = ScrapeManager(writer, self._with_itself(self._loaded.scrape), limits)
        app = create_app(
            [
                health_router(self._probes(pool)),
                clickhouse_router(interface, gate),
                prometheus_router(promql, pool, limits, gate),
                federate_router(promql, gate, lambda: self._loaded.scrape.external_labels or {}),
                read_router(promql, gate, limits, lambda: self._loaded.scrape.external_labels or {}),
                targets_router(lambda: self.scrapes),
                status_router(lambda: self.config, self._running, pool, gate),
                loki_router(logql, limits, gate),
                rules_router(self.rules, self.slos),
                loki_rules_router(self.rules),
                fluentbit_router(writer, limits),
                otlp,
                slo_router(self.slos, gate, limits, lambda: self._loaded.slos.windows),
                alertmanager_router(self.alerts),
                alerting_router(self.alerts),
                self.slack.router(lambda: self.alerts, logql, gate, lambda: asyncio.to_thread(self._checks, pool)),
            ],
            {("POST", "/api/v1/write"): remote_write_endpoint(writer, limits, config.store.retention.metrics)},
            self._check,
            VERSION,
        )
        server = HttpServer(own.traced(app), main_socket, config.http.tls)
        await self._started("http", server)
        self.http_port = server.port
        await self._started("scraping", self.scrapes)
        self._ready = True
        log.info("listening on http://%s", Address(host=config.http.listen.host, port=server.port))

    async def _open_store(self) -> Pool:
        config = self.config
        pool = await asyncio.to_thread(open_pool, config.store, config.data_dir)
        self._steps.append(("store", _in_thread(pool.close)))
        applied = await asyncio.to_thread(migrate, pool)
        if applied:
            log.info("schema migrations applied: %s", applied)
        await asyncio.to_thread(apply_retention, pool, config.store.retention)
        bound = asyncio.create_task(_keep_within(pool, config.store.retention.max_size), name="retention by size")

        async def end() -> None:
            bound.cancel()

        self._steps.append(("retention by size", end))
        return pool

    async def _start_alerting(self, pool: Pool, promql: PromQLEngine, writer: Writer, url: str) -> None:
        state = StateStore(pool)
        alertmanager = self._loaded.alertmanager
        self._warn_of_alerting()
        notifiers = build_notifiers(alertmanager, external_url=url, slack=self.slack.room)
        # others can reach the store of a server, and an embedded one that is served for writing
        shared = not pool.embedded or self.config.store.http_writable
        sharing = Sharing(shared, self.config.alerting.peer_timeout / 1000)
        limits = self.config.alerting.silences
        self.alerts = AlertManager(
            alertmanager,
            state,
            notifiers,
            external_url=url,
            silence_limits=Limits(timedelta(milliseconds=limits.retention), limits.max_silences, limits.max_bytes),
            sharing=sharing,
        )
        await self._started("alert manager", self.alerts)
        if self._loaded.slos.specs and any(receiver.slack_configs for receiver in alertmanager.receivers):
            self.slack.room.warm_up()
        self.slos = self._slo_engine(pool, promql, state, writer, url)
        await self._started("slo engine", self.slos)
        self.rules = RuleEngine(
            self._loaded.rules.groups,
            promql,
            LogQLEngine(pool, self.config.limits),
            state,
            RecordedSamples(writer, "rules"),
            self.alerts,
            external_url=url,
            external_labels=lambda: self._loaded.scrape.external_labels or {},
        )
        await self._started("rule engine", self.rules)

    def _warn_of_alerting(self) -> None:
        for notice in notices(self._loaded.alertmanager):
            log.warning("alerting.config: %s", notice)

    @property
    def _external_url(self) -> str:
        return self.config.alerting.external_url or f"http://{self.config.http.listen}"

    def _slo_engine(self, pool: Pool, promql: PromQLEngine, state: StateStore, writer: Writer, url: str) -> SloEngine:
        slo, limits = self.config.slo, self.config.limits
        logql = LogQLEngine(pool, limits)
        counter = Counter(promql, logql, slo.interval, limits.query_max_points, limits.slo_groups)
        late = None
        # of a server nobody tells what others write to it
        if pool.embedded:
            late = LateSamples()
            pool.written.subscribe(late)
        policy = Policy(slo.coverage_floor, slo.false_alarms)
        return SloEngine(
            self._loaded.slos.specs,
            counter,
            pool,
            state,
            self.alerts,
            slo.interval,
            policy,
            url,
            late=late,
            series=SloSeries(DerivedSeries(writer, "slo"), VERSION) if slo.series else None,
        )

    async def _start_receivers(self, pool: Pool, writer: Writer, otlp: APIRouter) -> None:
        receivers, limits = self.config.receivers, self.config.limits
        if receivers.fluent_forward:
            forward = receivers.fluent_forward
            sock = bind(forward.listen, "receivers.fluent_forward.listen")
            await self._started("fluent forward", ForwardReceiver(writer, forward, limits, sock))
        if receivers.kafka:
            await self._started("kafka", KafkaReceiver(writer, receivers.kafka, limits, pool))
        if receivers.otlp and receivers.otlp.grpc_listen:
            allowed = None if self._check.open else lambda header: self._check.allows(header, "ingest")
            grpc = OtlpGrpcReceiver(writer, receivers.otlp.grpc_listen, limits, allowed)
            await self._started("otlp grpc", grpc)
        if receivers.otlp and receivers.otlp.http_listen:
            socket = bind(receivers.otlp.http_listen, "receivers.otlp.http_listen")
            app = create_app([otlp], {}, self._check, VERSION)
            await self._started("otlp http", HttpServer(app, socket, self.config.http.tls))

    def _with_itself(self, scrape: ScrapeSet) -> ScrapeSet:
        """The jobs, and the service's own /metrics, unless a job of that name is there."""
        if any(job.job_name == OWN_JOB for job in scrape.jobs):
            return scrape
        listen = self.config.http.listen
        host = listen.host if listen.is_loopback else "127.0.0.1"
        options: dict[str, Any] = {
            "job_name": OWN_JOB,
            "scrape_interval": "15s",
            "static_configs": [{"targets": [str(Address(host=host, port=listen.port))]}],
        }
        if self.config.http.tls:
            options |= {"scheme": "https", "tls_config": {"insecure_skip_verify": True}}
        if not self._check.open:
            options["authorization"] = {"credentials": self._check.own_token}
        own = scrape_set_from_inline([options], Document("the service's own job", {}))
        return scrape + own

    def _checks(self, pool: Pool) -> list[Health]:
        return [*_health(pool), self._running.health(), *self.slack.health()]

    def _probes(self, pool: Pool) -> Probes:
        return Probes(
            ready=lambda: self._ready,
            check=lambda: self._checks(pool),
            config_yaml=lambda: dump_config(self.config),
            reload=self.reload,
        )


async def _keep_within(pool: Pool, max_bytes: int) -> None:
    while True:
        try:
            for what in await asyncio.to_thread(enforce_size, pool, max_bytes):
                log.warning("dropped %s: the tables are larger than store.retention.max_size", what)
        except StoreError as error:
            log.error("retention by size failed: %s", error)
        await asyncio.sleep(SIZE_CHECK_SECONDS)


def _health(pool: Pool) -> list[Health]:
    return [Health("store", "green") if pool.ping() else Health("store", "red", "ClickHouse does not answer")]


def register_process_metrics() -> None:
    """Adds the process's own CPU, memory and Python metrics to /metrics; once a process."""
    ProcessCollector(registry=REGISTRY)
    PlatformCollector(registry=REGISTRY)
    GCCollector(registry=REGISTRY)


def _in_thread(close: Callable[[], Any]) -> Close:
    async def run() -> None:
        await asyncio.to_thread(close)

    return run
