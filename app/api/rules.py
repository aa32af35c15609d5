"""Rules and their alerts as Prometheus's API and Loki's ruler show them; Grafana's alert list reads them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import yaml
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from alerting.rules.builtin import runbook
from alerting.rules.engine import RuleEngine
from alerting.rules.group import GroupRun, RuleRun
from alerting.rules.spec import Group, Language
from alerting.rules.state import ActiveAlert
from alerting.rules.testing.report import exponent
from app.alert import Alert
from app.api.prometheus_answers import success
from app.api.prometheus_params import Parameters, read
from app.durations import format_duration_ms
from app.errors import BadQuery
from app.labels import Labels
from app.query.promql.ast import Selector
from app.query.promql.describe import describe
from app.query.promql.parse import parse_selector
from app.query.promql.pretty import written
from slo.engine import SloEngine

_BOOLS = {**dict.fromkeys(("1", "t", "true"), True), **dict.fromkeys(("0", "f", "false"), False)}
_NEVER = "0001-01-01T00:00:00Z"
_EVALUATED = {"alert": "alerting", "record": "recording"}


def rules_router(engine: RuleEngine, slos: SloEngine) -> APIRouter:
    """PromQL rules, with the alerts of SLOs beside theirs; runbooks; and where links to queries lead."""
    router = APIRouter(tags=["prometheus"])

    @router.get("/api/v1/rules")
    async def rules(request: Request) -> Response:
        """Rule groups, narrowed by type, rule_name[], rule_group[], file[], match[], in pages of group_limit."""
        return success(_discovery(_groups(engine, "promql"), await read(request)))

    @router.get("/api/v1/alerts")
    async def alerts() -> Response:
        """Alerts that are pending or firing."""
        firing = [_slo_alert(alert) for alert in slos.alerts() if alert.ends_at is None]
        return success({"alerts": [*_alerts(_groups(engine, "promql")), *firing]})

    @router.get("/runbooks/{name}")
    async def runbook_of(name: str) -> Response:
        """What to do about an alert of the rules that come with the service."""
        text = runbook(name)
        if text is None:
            return PlainTextResponse(f"there is no runbook of the name {name}\n", 404)
        return PlainTextResponse(text, media_type="text/markdown")

    @router.get("/graph")
    async def graph(request: Request) -> Response:
        """Where Prometheus's links to a query lead: to its answer."""
        expr = request.query_params.get("g0.expr", "")
        if not expr:
            raise BadQuery('invalid parameter "g0.expr": a query is wanted')
        return RedirectResponse(f"/api/v1/query?query={quote(expr, safe='')}", 307)

    return router


def loki_rules_router(engine: RuleEngine) -> APIRouter:
    """LogQL rules, where Grafana asks a Loki for them, and as Loki's ruler lists them."""
    router = APIRouter(tags=["loki"])

    @router.get("/prometheus/api/v1/rules")
    async def rules(request: Request) -> Response:
        """As `/api/v1/rules`."""
        return success(_discovery(_groups(engine, "logql"), await read(request)))

    @router.get("/prometheus/api/v1/alerts")
    async def alerts() -> Response:
        """As `/api/v1/alerts`."""
        return success({"alerts": list(_alerts(_groups(engine, "logql")))})

    @router.get("/loki/api/v1/rules")
    async def listed() -> Response:
        """Rule groups by file, as YAML."""
        return _yaml(_by_file(engine))

    @router.get("/loki/api/v1/rules/{namespace:path}")
    async def of_file(namespace: str) -> Response:
        """The groups of a file, or one group of it."""
        found = _by_file(engine)
        file, _, group = namespace.rpartition("/")
        if namespace in found:
            return _yaml({namespace: found[namespace]})
        one = next((own for own in found.get(file, ()) if own["name"] == group), None)
        return _yaml(one or {})

    return router


def _yaml(data: Any) -> Response:
    if not data:
        return PlainTextResponse("no rule groups found\n", 404)
    return Response(yaml.safe_dump(data, sort_keys=False), media_type="application/yaml")


def _groups(engine: RuleEngine, language: Language) -> list[GroupRun]:
    return [run for run in engine.runs() if run.group.language == language]


def _discovery(runs: Sequence[GroupRun], p: Parameters) -> dict[str, Any]:
    kind = p.get("type").lower()
    if kind not in ("", *_EVALUATED):
        raise BadQuery(f'invalid parameter "type": not supported value "{kind}"')
    names, groups, files = (set(p.all(key)) for key in ("rule_name[]", "rule_group[]", "file[]"))
    selectors = [parse_selector(text) for text in p.all("match[]")]
    without_alerts, most, token = _bool(p, "exclude_alerts"), _limit(p), p.get("group_next_token")
    if token:
        first = next((n for n, run in enumerate(runs) if _token(run.group) == token), None)
        if first is None:
            raise BadQuery(
                f"invalid parameter \"group_next_token\": invalid group_next_token '{token}'. were rule groups changed?"
            )
        runs = runs[first:]

    def wanted(run: RuleRun) -> bool:
        return (
            (not kind or run.rule.kind == _EVALUATED[kind])
            and (not names or run.rule.name in names)
            and (not selectors or any(_chooses(selector, run.rule.labels) for selector in selectors))
        )

    shown: list[dict[str, Any]] = []
    for run in runs:
        if (groups and run.group.name not in groups) or (files and run.group.file not in files):
            continue
        rules = [_rule(one, run.group.language, without_alerts) for one in run.rules if wanted(one)]
        if rules:
            if most and len(shown) == most:
                return {"groups": shown, "groupNextToken": _token(run.group)}
            shown.append(_group(run, rules))
    return {"groups": shown}


def _bool(p: Parameters, name: str) -> bool:
    text = p.get(name).lower()
    if text and text not in _BOOLS:
        raise BadQuery(f'invalid parameter "{name}": "{text}" is neither true nor false')
    return _BOOLS.get(text, False)


def _limit(p: Parameters) -> int:
    text = p.get("group_limit")
    if not text:
        if p.get("group_next_token"):
            raise BadQuery(
                'invalid parameter "group_next_token": group_limit needs to be present in order to paginate over the'
                " groups"
            )
        return 0
    try:
        limit = int(text)
    except ValueError:
        raise BadQuery('invalid parameter "group_limit": group_limit needs to be a valid number') from None
    if limit <= 0:
        raise BadQuery('invalid parameter "group_limit": group_limit needs to be greater than 0')
    return limit


def _chooses(selector: Selector, labels: Labels) -> bool:
    own = dict(labels)
    return any(all(m.matches(own.get(m.name, "")) for m in group) for group in selector.alternatives)


def _token(group: Group) -> str:
    return hashlib.sha256(group.key.encode()).hexdigest()


def _group(run: GroupRun, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": run.group.name,
        "file": run.group.file,
        "rules": rules,
        "interval": _seconds(run.group.interval_ms),
        "limit": run.group.limit,
        "evaluationTime": run.seconds,
        "lastEvaluation": _time(run.last_ms),
    }


def _rule(run: RuleRun, language: Language, without_alerts: bool) -> dict[str, Any]:
    rule = run.rule
    shown: dict[str, Any] = {
        "name": rule.name,
        "query": written(describe(rule.expr)) if language == "promql" else rule.expr,
        "labels": dict(rule.labels),
        "health": run.health,
        **({"lastError": run.error} if run.error else {}),
        "evaluationTime": run.seconds,
        "lastEvaluation": _time(run.last_ms),
        "type": rule.kind,
    }
    if rule.kind == "recording":
        return shown
    return {
        "state": run.state,
        "duration": _seconds(rule.for_ms),
        "keepFiringFor": _seconds(rule.keep_firing_ms),
        "annotations": dict(rule.annotations),
        "alerts": None if without_alerts else [_alert(*found) for found in _present(run)],
        **shown,
    }


def _alerts(runs: Sequence[GroupRun]) -> Iterator[dict[str, Any]]:
    for run in runs:
        for rule in run.rules:
            yield from (_alert(*found) for found in _present(rule))


def _present(run: RuleRun) -> list[tuple[Labels, ActiveAlert]]:
    return [(labels, alert) for labels, alert in list(run.alerts.items()) if alert.present]


def _alert(labels: Labels, alert: ActiveAlert) -> dict[str, Any]:
    kept = alert.keep_firing_since_ms
    return {
        "labels": dict(labels),
        "annotations": dict(alert.annotations),
        "state": alert.state,
        "activeAt": _time(alert.active_ms),
        **({"keepFiringSince": _time(kept)} if kept is not None else {}),
        "value": exponent(alert.value).replace("E", "e") if math.isfinite(alert.value) else exponent(alert.value),
    }


def _slo_alert(alert: Alert) -> dict[str, Any]:
    burn = alert.facts.get("long_burn")
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": "firing",
        "activeAt": alert.starts_at.isoformat(),
        "value": str(burn) if burn is not None else "",
    }


def _by_file(engine: RuleEngine) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for run in _groups(engine, "logql"):
        found.setdefault(run.group.file, []).append(_listed(run.group))
    return found


def _listed(group: Group) -> dict[str, Any]:
    def given(**values: Any) -> dict[str, Any]:
        return {key.rstrip("_"): value for key, value in values.items() if value}

    return {
        "name": group.name,
        "interval": format_duration_ms(group.interval_ms),
        **given(limit=group.limit),
        "rules": [
            {
                ("alert" if rule.kind == "alerting" else "record"): rule.name,
                "expr": rule.expr,
                **given(
                    for_=format_duration_ms(rule.for_ms) if rule.for_ms else "",
                    keep_firing_for=format_duration_ms(rule.keep_firing_ms) if rule.keep_firing_ms else "",
                    labels=dict(rule.labels),
                    annotations=dict(rule.annotations),
                ),
            }
            for rule in group.rules
        ],
    }


def _seconds(ms: int) -> int | float:
    # as Go writes them
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _time(ms: int) -> str:
    if not ms:
        return _NEVER
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
