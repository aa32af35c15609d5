"""Questions to the running service, over its own HTTP API, as Grafana or anybody would ask them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import httpx

from app.demo.files import SLO_ID
from app.errors import WatchhouseError

RATE = 'sum(rate(http_requests_total{job="frontend"}[10s]))'
ORDER_ERRORS = (
    'sum(rate(http_requests_total{job="frontend",route="/checkout",code=~"5.."}[10s]))'
    ' / sum(rate(http_requests_total{job="frontend",route="/checkout"}[10s]))'
)
CHARGES = 'sum(rate(shop_charges_total{job="shop/payments"}[10s]))'
LOGS = {
    "frontend": '{tag="shop.frontend"}',
    "checkout": '{container="checkout"}',
    "payments": '{service_name="payments"}',
}
FAILURES = '{container="checkout"} |= "failed"'
_MOST_LINES = 5000


class AskFailed(WatchhouseError):
    """The service did not answer a question; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Slo:
    """How the SLO stands. What is not known yet is None."""

    burn: float | None
    """Over the long window of the fastest alert."""
    budget_left: float | None
    firing: bool
    error: str | None


class Asker:
    """Asks one service. Every method raises AskFailed when there is no good answer."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def ready(self) -> bool:
        """Whether it takes requests."""
        try:
            return (await self._http.get("/-/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    async def value(self, promql: str) -> float | None:
        """The one value of an instant query, None when there is none."""
        result = (await self._json("/api/v1/query", {"query": promql}))["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    async def scraped(self, ports: Collection[int]) -> bool:
        """Whether the targets on these ports of loopback are all up."""
        # by port: over data that was kept, the targets of the run before may still seem to be up
        any_port = "|".join(map(str, ports))
        return await self.value(f'count(up{{instance=~"127.0.0.1:({any_port})"}} == 1)') == len(ports)

    async def lines(self, logql: str, after_ns: int, limit: int = _MOST_LINES) -> list[tuple[int, str]]:
        """The newest log lines after a time, (nanoseconds since the epoch, text), newest first."""
        params = {"query": logql, "start": str(after_ns + 1), "limit": str(limit), "direction": "backward"}
        streams = (await self._json("/loki/api/v1/query_range", params))["data"]["result"]
        return sorted(((int(v[0]), v[1]) for stream in streams for v in stream["values"]), reverse=True)

    async def slo(self) -> Slo:
        """The shop's SLO."""
        data = (await self._json(f"/api/v1/slos/{SLO_ID}", {}))["data"]
        pages = [alert for alert in data["alerts"] if alert["severity"] == "page"]
        return Slo(
            burn=pages[0]["long_burn"] if pages else None,
            budget_left=data["budget_left"],
            firing=any(alert["firing"] for alert in pages),
            error=data["error"],
        )

    async def reload(self) -> None:
        """Makes it read its files again."""
        try:
            answer = await self._http.post("/-/reload")
        except httpx.HTTPError as error:
            raise AskFailed(f"reload: {type(error).__name__}: {error}") from None
        if not answer.is_success:
            raise AskFailed(f"reload: HTTP {answer.status_code}: {answer.text[:500]}")

    async def _json(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        try:
            answer = await self._http.get(path, params=params)
            answer.raise_for_status()
            body: dict[str, Any] = answer.json()
            return body
        except httpx.HTTPStatusError as error:
            raise AskFailed(f"{path}: HTTP {error.response.status_code}: {error.response.text[:300]}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise AskFailed(f"{path}: {type(error).__name__}: {error}") from None
