"""What requests about SLOs have in common: finding one, reading a body, times."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import ValidationError

from app.api.body import TooLarge, read_body
from app.api.prometheus_params import parse_time_ms
from app.errors import BadQuery, NotFound
from app.yamlfile import StrictModel, dotted
from slo.engine import SloEngine
from slo.spec import SloSpec

M = TypeVar("M", bound=StrictModel)
Time = float | str
"""Unix seconds or RFC 3339."""


def reply(data: Any, **beside: Any) -> Response:
    """An answer that holds `data`. Takes a while where there is much of it."""
    return Response(orjson.dumps({"status": "success", "data": data, **beside}), media_type="application/json")


def one_slo(engine: SloEngine, name: str) -> SloSpec:
    """The SLO of this id, or of this name where no two SLOs have it. Raises NotFound."""
    found = engine.find(name)
    if len(found) == 1:
        return found[0]
    raise NotFound(_several(name, found) if found else f"there is no SLO {name!r}")


def slos_of_spec(engine: SloEngine, name: str) -> list[SloSpec]:
    """The SLO of this id or name, or all groups of the spec of this name. Raises NotFound."""
    found = [spec for spec in engine.specs() if f"{spec.service}-{spec.name}" == name] or engine.find(name)
    if not found:
        raise NotFound(f"there is no SLO {name!r}")
    if len({spec.service for spec in found}) > 1:
        raise NotFound(_several(name, found))
    return found


def _several(name: str, found: list[SloSpec]) -> str:
    most = 20
    ids = ", ".join(spec.id for spec in found[:most]) + (", …" if len(found) > most else "")
    return f"several SLOs are named {name!r}, give one of: {ids}"


def time_ms(value: Time, name: str) -> int:
    """A time of a body, in milliseconds. Raises BadQuery."""
    found = parse_time_ms(str(value))
    if found is None:
        raise BadQuery(f'invalid "{name}": cannot parse "{value}" to a valid timestamp')
    return found


async def body_text(request: Request, limit: int) -> bytes:
    """The body of a request. Raises BadQuery when it is too large."""
    try:
        return await read_body(request, limit)
    except TooLarge as error:
        raise BadQuery(str(error)) from None


async def json_body(request: Request, model: type[M], limit: int) -> M:
    """The JSON body of a request, which may be empty. Raises BadQuery naming the key."""
    text = await body_text(request, limit)
    try:
        data: Any = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError as error:
        raise BadQuery(f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadQuery("the body must be a JSON object")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        known = f" (known: {', '.join(model.model_fields)})" if first["type"] == "extra_forbidden" else ""
        raise BadQuery(f'invalid "{dotted(first["loc"])}": {first["msg"]}{known}') from None
