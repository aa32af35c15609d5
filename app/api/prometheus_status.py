"""`/api/v1/status/…` and `alertmanagers`: what runs here, as Prometheus tells it."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from app.api.gate import QueryGate
from app.api.health import Health
from app.api.prometheus_answers import success
from app.api.prometheus_params import now_ms, read
from app.config import Config
from app.durations import format_duration_ms
from app.errors import BadQuery
from app.query.promql.cardinality import Counts, cardinality
from app.query.promql.engine import DEFAULT_LOOKBACK_MS
from app.store.client import Pool
from app.telemetry import CONFIG_SUCCESS_TIME, CONFIG_SUCCESSFUL

_MOST = 10_000


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Running:
    """When this process started and last took up its configuration, and what kept it from the last one.

    Says the same in the metrics of the process.
    """

    started: datetime = field(default_factory=_now)
    configured: datetime = field(default_factory=_now)
    refused: str = ""
    """Why the last reload failed, "" when it did not."""

    def __post_init__(self) -> None:
        """Notes the configuration of the start."""
        self.taken_up()

    def taken_up(self) -> None:
        """Notes that the configuration was read and is in force."""
        self.configured, self.refused = _now(), ""
        CONFIG_SUCCESSFUL.set(1)
        CONFIG_SUCCESS_TIME.set(self.configured.timestamp())

    def not_taken_up(self, reason: str) -> None:
        """Notes that a reload failed, and what was in force still is."""
        self.refused = reason
        CONFIG_SUCCESSFUL.set(0)

    def health(self) -> Health:
        """Yellow from a reload that failed to one that works."""
        if self.refused:
            return Health("configuration", "yellow", f"not reloaded, what was there stays in force: {self.refused}")
        return Health("configuration", "green")


def status_router(config: Callable[[], Config], running: Running, pool: Pool, gate: QueryGate) -> APIRouter:
    """`status/flags`, `status/runtimeinfo`, `status/tsdb` and `alertmanagers` under /api/v1."""
    router = APIRouter(prefix="/api/v1", tags=["prometheus"])

    @router.get("/status/flags")
    async def flags() -> Response:
        """Prometheus's flags that have a counterpart here, with what is in force."""
        return success(_flags(config()))

    @router.get("/status/runtimeinfo")
    async def runtime() -> Response:
        """The process."""
        retention = config().store.retention
        size = f" or {retention.max_size}B" if retention.max_size else ""
        return success(
            {
                "startTime": _time(running.started),
                "CWD": os.getcwd(),
                "hostname": platform.node(),
                "serverTime": _time(_now()),
                "reloadConfigSuccess": not running.refused,
                "lastConfigTime": _time(running.configured),
                "corruptionCount": 0,
                # threads are what this process has in their place
                "goroutineCount": threading.active_count(),
                "GOMAXPROCS": os.cpu_count() or 1,
                "GOMEMLIMIT": config().store.memory_limit,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": format_duration_ms(retention.metrics) + size,
            }
        )

    @router.get("/status/tsdb")
    async def tsdb(request: Request) -> Response:
        """How many series there are, and of what."""
        limit, timeout_s = _limit((await read(request)).get("limit")), config().limits.query_timeout / 1000
        found = await gate.run(lambda: cardinality(pool, now_ms(), limit, timeout_s))
        return success(
            {
                "headStats": {
                    "numSeries": found.series,
                    "numLabelPairs": found.label_pairs,
                    "chunkCount": found.parts,
                    "minTime": found.min_ms,
                    "maxTime": found.max_ms,
                },
                "seriesCountByMetricName": _listed(found.by_metric),
                "labelValueCountByLabelName": _listed(found.values_by_label),
                "memoryInBytesByLabelName": _listed(found.bytes_by_label),
                "seriesCountByLabelValuePair": _listed(found.by_pair),
            }
        )

    @router.get("/alertmanagers")
    async def alertmanagers() -> Response:
        """The one Alertmanager there is: this process."""
        url = config().alerting.external_url or f"http://{config().http.listen}"
        own = [{"url": f"{url.rstrip('/')}/api/v2/alerts"}]
        return success({"activeAlertmanagers": own, "droppedAlertmanagers": []})

    return router


def _flags(config: Config) -> dict[str, str]:
    limits, retention = config.limits, config.store.retention
    return {
        "query.lookback-delta": format_duration_ms(DEFAULT_LOOKBACK_MS),
        "query.max-concurrency": str(limits.query_concurrency),
        "query.max-samples": str(limits.query_max_samples),
        "query.timeout": format_duration_ms(limits.query_timeout),
        "storage.tsdb.path": str(config.data_dir),
        "storage.tsdb.retention.size": f"{retention.max_size}B",
        "storage.tsdb.retention.time": format_duration_ms(retention.metrics),
        "web.enable-lifecycle": "true",
        "web.enable-remote-write-receiver": "true",
        "web.external-url": config.alerting.external_url or "",
        "web.listen-address": str(config.http.listen),
    }


def _listed(counts: Counts) -> list[dict[str, str | int]]:
    return [{"name": name, "value": value} for name, value in counts]


def _limit(text: str) -> int:
    if not text:
        return 10
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise BadQuery("limit must be a positive number")
    if int(text) > _MOST:
        raise BadQuery(f"limit must not exceed {_MOST}")
    return int(text)


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
