"""`/clickhouse`: ClickHouse's HTTP interface, read-only unless the store is opened for writing."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request, Response

from app.api.body import TooLarge, read_body
from app.api.gate import QueryGate
from app.errors import DecodeError, StoreError, StoreUnavailable
from app.store.http_interface import HttpInterface


def clickhouse_router(interface: HttpInterface, gate: QueryGate) -> APIRouter:
    """Statements by GET or POST, errors as a ClickHouse server words them."""
    router = APIRouter(tags=["clickhouse"])

    @router.get("/clickhouse/ping")
    async def ping() -> Response:
        alive = await gate.run(interface.pool.ping)
        return Response("Ok.\n" if alive else "the store is away\n", 200 if alive else 503, media_type="text/plain")

    @router.api_route("/clickhouse", methods=["GET", "POST"])
    @router.api_route("/clickhouse/", methods=["GET", "POST"], include_in_schema=False)
    async def run(request: Request) -> Response:
        params = dict(request.query_params)
        try:
            body = await read_body(request, interface.limits.max_body_bytes)
        except TooLarge as error:
            return Response(f"{error}\n", 413, media_type="text/plain")
        if not body and not params.get("query"):
            return Response("Ok.\n", media_type="text/plain")
        headers = {
            "X-ClickHouse-Query-Id": params.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Server-Display-Name": "watchhouse",
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Summary": "{}",
        }
        if "x-clickhouse-format" in request.headers:
            params.setdefault("default_format", request.headers["x-clickhouse-format"])
        try:
            encoding = request.headers.get("content-encoding", "")
            answer = await gate.run(lambda: interface.run(params, body, encoding))
        except DecodeError as error:
            return Response(f"{error}\n", 400, headers, "text/plain")
        except StoreError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code or 1002)
            status = 503 if isinstance(error, StoreUnavailable) else 403 if error.code == 164 else 400
            return Response(f"{error}\n", status, headers, "text/plain")
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
        return Response(answer.body, 200, headers, "application/octet-stream")

    return router
