"""What is scraped, as Prometheus tells it: targets, scrape pools and the metadata of targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.prometheus_answers import success
from app.api.prometheus_params import Parameters, read
from app.errors import BadQuery
from app.query.promql.ast import Selector
from app.query.promql.parse import parse_selector
from ingest.scrape.manager import ScrapeManager


def targets_router(scrapes: Callable[[], ScrapeManager]) -> APIRouter:
    """`targets`, `targets/metadata` and `scrape_pools` under /api/v1. `scrapes` gives what is scraped now."""
    router = APIRouter(prefix="/api/v1", tags=["prometheus"])

    @router.get("/targets")
    async def targets(request: Request) -> Response:
        """Active and dropped targets, narrowed by `state` and `scrapePool`."""
        return success(_targets(scrapes().targets(), await read(request)))

    @router.get("/targets/metadata")
    async def metadata(request: Request) -> Response:
        """What targets say of their metrics, narrowed by `match_target` and `metric`."""
        return success(_metadata(scrapes(), await read(request)))

    @router.get("/scrape_pools")
    async def scrape_pools() -> Response:
        """Names of the scrape jobs."""
        return success({"scrapePools": sorted(scrapes().pools())})

    return router


def _targets(found: dict[str, Any], p: Parameters) -> dict[str, Any]:
    state, pool = p.get("state").lower(), p.get("scrapePool")
    active, dropped = found["activeTargets"], found["droppedTargets"]
    if pool:
        active = [t for t in active if t["scrapePool"] == pool]
        dropped = [t for t in dropped if t["scrapePool"] == pool]
    with_dropped = state in ("", "any", "dropped")
    return {
        "activeTargets": sorted(active, key=lambda t: t["scrapePool"]) if state in ("", "any", "active") else [],
        "droppedTargets": sorted(dropped, key=lambda t: t["scrapePool"]) if with_dropped else [],
        "droppedTargetCounts": dict(sorted(found["droppedTargetCounts"].items())) if with_dropped else None,
    }


def _metadata(scrapes: ScrapeManager, p: Parameters) -> list[dict[str, Any]]:
    limit, text = _number(p.get("limit")), p.get("match_target")
    selector = parse_selector(text, "match_target") if text else None
    metric = p.get("metric")
    shown: list[dict[str, Any]] = []
    for labels, families in scrapes.metadata():
        if 0 <= limit <= len(shown):
            break
        if selector is not None and not _matches(selector, dict(labels)):
            continue
        for family in families:
            if metric and family.family != metric:
                continue
            name = {} if metric else {"metric": family.family}
            known = {"type": family.type, "help": family.help, "unit": family.unit}
            shown.append({"target": dict(labels), **name, **known})
    return shown


def _matches(selector: Selector, labels: dict[str, str]) -> bool:
    return any(all(m.matches(labels.get(m.name, "")) for m in group) for group in selector.alternatives)


def _number(text: str) -> int:
    if not text:
        return -1
    try:
        return int(text)
    except ValueError:
        raise BadQuery("limit must be a number") from None
