"""`/federate`: the newest sample of selected series as a page that another Prometheus scrapes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from fastapi import APIRouter, Request, Response

from app.api.gate import QueryGate
from app.api.prometheus_params import now_ms, read
from app.errors import BadQuery
from app.labels import METRIC_NAME, Labels
from app.query.promql.engine import PromQLEngine
from app.query.promql.format import format_general
from app.query.promql.parse import parse_selector

Sample = tuple[Labels, int, float]
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def federate_router(
    engine: PromQLEngine, gate: QueryGate, external_labels: Callable[[], Mapping[str, str]]
) -> APIRouter:
    """`/federate`. `external_labels` are those of the scrape configuration in force."""
    router = APIRouter(tags=["prometheus"])

    @router.get("/federate", response_class=Response)
    async def federate(request: Request) -> Response:
        """The newest samples of the series any `match[]` selects, in the text format; native histograms are left out.

        Names that the old format cannot hold are escaped with underscores, unless the asker takes UTF-8.
        """
        texts = (await read(request)).all("match[]")
        try:
            selectors = await asyncio.to_thread(lambda: [parse_selector(text) for text in texts])
        except BadQuery as error:
            # plain text, as Prometheus answers here
            return Response(f"{error}\n", error.status, media_type="text/plain")
        utf8 = "allow-utf-8" in request.headers.get("accept", "")
        labels, time_ms = external_labels(), now_ms()

        def page() -> bytes:
            found = {s[0]: s for selector in selectors for s in engine.newest(selector, time_ms)}
            return exposition([found[key] for key in sorted(found)], labels, utf8).encode()

        body = await gate.run(page, request, " ".join(f"federate {text}" for text in texts))
        escaping = "allow-utf-8" if utf8 else "underscores"
        version = "1.0.0" if utf8 else "0.0.4"
        return Response(
            body, headers={"Content-Type": f"text/plain; version={version}; charset=utf-8; escaping={escaping}"}
        )

    return router


def exposition(samples: Sequence[Sample], external_labels: Mapping[str, str], utf8: bool) -> str:
    """The samples as a page, by name; each also gets the external labels, and `instance`, which it does not have."""
    added = sorted({"instance": "", **external_labels}.items())
    named = sorted(((dict(labels).get(METRIC_NAME, ""), labels, ts, value) for labels, ts, value in samples))
    lines, before = [], None
    for name, labels, ts_ms, value in named:
        if not name:
            continue
        plain = name if utf8 else _escaped(name, _METRIC_NAME)
        if plain != before:
            lines.append(f"# TYPE {plain if _METRIC_NAME.fullmatch(plain) else _quoted(plain)} untyped")
            before = plain
        own = [pair for pair in labels if pair[0] != METRIC_NAME]
        has = {key for key, _ in own}
        pairs = [*own, *((key, text) for key, text in added if key not in has)]
        lines.append(f"{_series(plain, pairs, utf8)} {format_general(value)} {ts_ms}")
    return "".join(f"{line}\n" for line in lines)


def _series(name: str, pairs: Iterable[tuple[str, str]], utf8: bool) -> str:
    inside = ",".join(f"{_label(key, utf8)}={_quoted(value)}" for key, value in pairs)
    if _METRIC_NAME.fullmatch(name):
        return f"{name}{{{inside}}}"
    return f"{{{_quoted(name)},{inside}}}"


def _label(name: str, utf8: bool) -> str:
    if not utf8:
        return _escaped(name, _LABEL_NAME)
    return name if _LABEL_NAME.fullmatch(name) else _quoted(name)


def _escaped(name: str, form: re.Pattern[str]) -> str:
    if form.fullmatch(name):
        return name
    return "".join(c if form.fullmatch(f"_{c}") and (i or form.fullmatch(c)) else "_" for i, c in enumerate(name))


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
