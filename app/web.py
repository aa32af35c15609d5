"""The FastAPI application: routers, authentication, and the one place where errors become answers."""

from __future__ import annotations

import functools
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import Address, Auth, Role, read_secret
from app.errors import ConfigError, DecodeError, Overloaded, QueryError, StoreError, StoreUnavailable, WatchhouseError
from app.telemetry import REQUEST_SECONDS

log = logging.getLogger(__name__)
_SIGNED = "/slack/"
"""What comes from Slack proves where it comes from by its signature; charts are at signed URLs."""
_OPEN = ("/-/healthy", "/-/ready", "/ready")
_INGEST = ("/api/v1/write", "/loki/api/v1/push", "/fluentbit/", "/v1/")
_ADMIN = ("/-/reload",)
_ENDS_QUERIES = "/api/v1/status/active_queries/"
_MAINTENANCE = "/api/v1/slos/maintenance"
_SILENCES = ("/api/v2/silence", "/api/v1/silences/", "/api/v1/alerts/acknowledge")


Endpoint = Callable[[Request], Awaitable[Response]]


class TokenCheck:
    """Which roles a bearer token has. Without tokens, or with anonymous use allowed, everything is open."""

    def __init__(self, auth: Auth) -> None:
        self.open = auth.allow_anonymous or not auth.tokens
        self.local_only = not auth.tokens and not auth.allow_anonymous
        self.own_token = secrets.token_hex(32)
        """Opens queries for this process itself, as long as it runs."""
        self._tokens = [(self.own_token.encode(), "watchhouse", frozenset[Role](["query"]))]
        for token in auth.tokens:
            secret = read_secret(token.token_file).get_secret_value().encode()
            self._tokens.append((secret, token.name, frozenset(token.roles)))

    def roles(self, authorization: str) -> frozenset[Role] | None:
        """The roles of an Authorization header's token, None when it is not known."""
        found = self._find(authorization)
        return found[1] if found else None

    def name(self, authorization: str) -> str:
        """What an Authorization header's token is called in the configuration; "" when it is not known."""
        found = self._find(authorization)
        return found[0] if found else ""

    def _find(self, authorization: str) -> tuple[str, frozenset[Role]] | None:
        token = authorization.removeprefix("Bearer ").strip().encode()
        if not token:
            return None
        found = None
        for known, name, roles in self._tokens:  # every token is compared, so that the time says nothing
            if hmac.compare_digest(known, token):
                found = name, roles
        return found

    def allows(self, authorization: str, role: Role) -> bool:
        """Whether the header's token may act in a role; admins may in all."""
        return self.open or bool((self.roles(authorization) or frozenset()) & {role, "admin"})


def create_app(
    routers: Sequence[APIRouter], hot_paths: Mapping[tuple[str, str], Endpoint], check: TokenCheck, version: str
) -> ASGIApp:
    """The application. `hot_paths` are endpoints by (method, path) that the framework's own layers would slow down."""
    app = FastAPI(title="Watchhouse", version=version, docs_url="/docs")
    for (method, path), endpoint in hot_paths.items():
        app.add_api_route(path, endpoint, methods=[method], response_class=Response)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(WatchhouseError, _answer)
    app.add_exception_handler(Exception, _unexpected)
    short = HotPaths(app, hot_paths)
    guarded = LocalOnly(short) if check.local_only else short if check.open else TokenAuth(short, check)
    return Timed(guarded)


class LocalOnly:
    """Refuses what a page of another site has a browser send here, while loopback is all the protection there is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on a request to this machine's own names, from no page or a page of this machine."""
        if scope["type"] in ("http", "websocket") and not scope["path"].startswith(_SIGNED):
            for name, value in scope["headers"]:
                text = value.decode("latin-1")
                if name in (b"host", b"origin") and not _is_local(text):
                    refusal = f"{name.decode()} {text!r} is not this machine; see auth in watchhouse.yaml\n"
                    await PlainTextResponse(refusal, 403)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


@functools.lru_cache(256)
def _is_local(address: str) -> bool:
    host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
    return not host or host.endswith(".localhost") or Address(host=host, port=0).is_loopback


class Timed:
    """Observes how long each request took, by route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # the route's pattern: paths with values in them would make a series each
            route = getattr(scope.get("route"), "path", "") or scope.get("hot_path", "none")
            REQUEST_SECONDS.labels(route, str(status)).observe(time.perf_counter() - started)


class HotPaths:
    """Calls an endpoint straight, past routing and middleware: they cost several times the endpoint itself."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = dict(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request."""
        endpoint = self._endpoints.get((scope.get("method", ""), scope.get("path", "")))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["hot_path"] = scope["path"]
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:
            response = await _unexpected(request, error)
        await response(scope, receive, send)


class TokenAuth:
    """Bearer tokens by role. Health is open; everything that is neither ingestion nor administration is a query."""

    def __init__(self, app: ASGIApp, check: TokenCheck) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 401 or 403."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in _OPEN or scope["path"].startswith(_SIGNED):
            await self._app(scope, receive, send)
            return
        header = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"authorization"), "")
        role = role_for(scope.get("method", "GET"), scope["path"])
        if self._check.allows(header, role):
            scope.setdefault("state", {})["token"] = self._check.name(header)
            await self._app(scope, receive, send)
        elif self._check.roles(header) is None:
            refusal = PlainTextResponse("a bearer token is wanted\n", 401, {"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
        else:
            await PlainTextResponse(f"this needs the role {role}\n", 403)(scope, receive, send)


def role_for(method: str, path: str) -> Role:
    """The role a request asks for."""
    if path.startswith(_INGEST) or (method == "POST" and path.startswith("/api/v2/alerts")):
        return "ingest"
    ends_query = method == "DELETE" and path.startswith(_ENDS_QUERIES)
    maintains = method not in ("GET", "HEAD") and (path == _MAINTENANCE or path.startswith(f"{_MAINTENANCE}/"))
    silences = method not in ("GET", "HEAD") and path.startswith(_SILENCES)
    return "admin" if ends_query or maintains or silences or path.startswith(_ADMIN) else "query"


async def _answer(request: Request, error: Exception) -> Response:
    status, kind, headers = 500, "internal", {}
    if isinstance(error, QueryError):
        status, kind = error.status, error.error_type
    elif isinstance(error, Overloaded):
        status, kind, headers = 429, "too_many_requests", {"Retry-After": f"{max(1, round(error.retry_after_s))}"}
    elif isinstance(error, StoreUnavailable):
        status, kind, headers = 503, "unavailable", {"Retry-After": "5"}
    elif isinstance(error, DecodeError | ConfigError):
        status, kind = 400, "bad_data"
    elif isinstance(error, StoreError):
        log.error("store error on %s: %s", request.url.path, error)
    return _shaped(request, status, kind, str(error), headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("error on %s", request.url.path, exc_info=error)
    return _shaped(request, 500, "internal", "internal error; the log has more", {})


def _shaped(request: Request, status: int, kind: str, message: str, headers: dict[str, str]) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"status": "error", "errorType": kind, "error": message}, status, headers)
    return PlainTextResponse(f"{message}\n", status, headers)
