"""OTLP over HTTP: /v1/metrics and /v1/logs in protobuf and JSON, as the OTLP specification has them."""

from __future__ import annotations

import logging
import math

from fastapi import APIRouter, Request, Response
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from app.api.body import TooLarge as BodyTooLarge
from app.api.body import read_body
from app.compression import COMPRESSIONS, TooLarge
from app.config import Limits
from app.errors import DecodeError, Overloaded, StoreError, StoreUnavailable
from app.telemetry import DROPPED
from ingest.otlp.outcome import Outcome, Signal
from ingest.otlp.receiver import OtlpIngest, response_to
from ingest.otlp.wire import Encoding
from ingest.writer import Writer

log = logging.getLogger(__name__)

_MEDIA_TYPES: dict[Encoding, str] = {"proto": "application/x-protobuf", "json": "application/json"}
_ENCODINGS: dict[str, Encoding] = {
    "application/x-protobuf": "proto",
    "application/protobuf": "proto",
    "application/json": "json",
}
STORE_RETRY_AFTER_S = 5
"""What a sender is told to wait when the store is away."""


def otlp_router(writer: Writer, limits: Limits) -> APIRouter:
    """The OTLP/HTTP endpoints. Errors are google.rpc.Status in the encoding of the request, as OTLP wants them."""
    router = APIRouter(tags=["OTLP"])
    ingest = OtlpIngest(writer, limits)

    @router.post("/v1/metrics", summary="OTLP metrics")
    async def metrics(request: Request) -> Response:
        return await _export(request, ingest, "metrics", limits)

    @router.post("/v1/logs", summary="OTLP logs")
    async def logs(request: Request) -> Response:
        return await _export(request, ingest, "logs", limits)

    @router.post("/v1/traces", summary="OTLP traces: not kept")
    async def traces(request: Request) -> Response:
        encoding = _ENCODINGS.get(_media_type(request), "proto")
        message = "traces are not kept here: send metrics and logs to this endpoint, and traces elsewhere"
        return _error(404, Code.UNIMPLEMENTED, message, encoding)

    return router


async def _export(request: Request, ingest: OtlpIngest, signal: Signal, limits: Limits) -> Response:
    media_type = _media_type(request)
    encoding = _ENCODINGS.get(media_type)
    if encoding is None:
        message = f"content type {media_type!r} is not taken: send application/x-protobuf or application/json"
        return _error(415, Code.INVALID_ARGUMENT, message, "proto")
    compression = request.headers.get("content-encoding", "").strip().lower().replace("identity", "")
    if compression and compression not in COMPRESSIONS:
        message = f"content encoding {compression!r} is not taken: send {', '.join(COMPRESSIONS)} or none"
        return _error(415, Code.INVALID_ARGUMENT, message, encoding)
    try:
        outcome = await ingest.take(signal, await read_body(request, limits.max_body_bytes), encoding, compression)
    except (BodyTooLarge, TooLarge) as error:
        DROPPED.labels("otlp", "too_large").inc()
        return _error(413, Code.INVALID_ARGUMENT, str(error), encoding)
    except DecodeError as error:
        DROPPED.labels("otlp", "undecodable").inc()
        return _error(400, Code.INVALID_ARGUMENT, str(error), encoding)
    except Overloaded as error:
        return _error(429, Code.RESOURCE_EXHAUSTED, str(error), encoding, error.retry_after_s)
    except StoreUnavailable as error:
        return _error(503, Code.UNAVAILABLE, str(error), encoding, STORE_RETRY_AFTER_S)
    except StoreError as error:
        log.error("store error on %s: %s", request.url.path, error)
        return _error(503, Code.UNAVAILABLE, f"the store did not take the data: {error}", encoding, STORE_RETRY_AFTER_S)
    return _answer(outcome, signal, encoding)


def _answer(outcome: Outcome, signal: Signal, encoding: Encoding) -> Response:
    if outcome.all_bad:
        return _error(400, Code.INVALID_ARGUMENT, outcome.message, encoding)
    return _response(200, response_to(signal, outcome), encoding)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _error(status: int, code: int, message: str, encoding: Encoding, retry_after_s: float | None = None) -> Response:
    response = _response(status, Status(code=code, message=message), encoding)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    return response


def _response(status: int, message: Message, encoding: Encoding) -> Response:
    content = message.SerializeToString() if encoding == "proto" else MessageToJson(message, indent=None).encode()
    return Response(content, status, media_type=_MEDIA_TYPES[encoding])
