"""How Alertmanager's API reads requests and writes answers: two forms of errors, times, parameters."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from alerting.matchers import parse_matcher
from app.api.body import TooLarge, read_body
from app.errors import StoreError
from app.labels import Matcher

PREFIX = "/api/v2"
_TRUE = {"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"}
REQUIRED, TYPE, TOO_FEW = 602, 601, 612
"""Codes of go-openapi's validation, which Alertmanager's clients may look at."""
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")


class Refused(Exception):
    """A request that is answered with an error, as Alertmanager answers it."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """The answer; without a body where it is None."""
        if self.body is None:
            return Response(status_code=self.status)
        return json_answer(self.body, self.status, self.headers)


def coded(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> Refused:
    """An error of the layer that reads requests: `{"code": …, "message": …}`."""
    return Refused(status, {"code": code, "message": message}, headers)


def plain(message: str, status: int = 400) -> Refused:
    """An error of what the request is about: its text as a JSON string."""
    return Refused(status, message)


class AlertmanagerRoute(APIRoute):
    """Answers `Refused`, and a store that is away, in Alertmanager's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors as answers."""
        handler = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as refusal:
                return refusal.answer()
            except StoreError as error:
                return json_answer(str(error), 503, {"Retry-After": "5"})

        return answering


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON with a newline after it, as Go's encoder ends it."""
    return Response(
        orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status, dict(headers or {}), "application/json"
    )


def flag(request: Request, name: str, *, default: bool = True) -> bool:
    """A boolean parameter; what is no word for true is false."""
    value = request.query_params.get(name)
    return default if value is None or value == "" else value.lower() in _TRUE


def matchers(request: Request, name: str, words: str = "") -> list[Matcher]:
    """The matchers of a parameter that may be repeated. Raises Refused."""
    try:
        return [parse_matcher(text) for text in request.query_params.getlist(name)]
    except ValueError as error:
        raise plain(f"{words}{error}") from None


async def body_of(request: Request, name: str, most_bytes: int) -> Any:
    """The JSON of a request. Raises Refused."""
    kind = request.headers.get("Content-Type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise coded(415, 415, f'unsupported media type "{kind}", only [application/json] are allowed')
    try:
        text = await read_body(request, most_bytes)
    except TooLarge:
        raise plain(f"the body is larger than {most_bytes} bytes", 413) from None
    if not text:
        raise coded(422, REQUIRED, f"{name} in body is required")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise unreadable(name, str(error)) from None


def unreadable(name: str, why: str) -> Refused:
    """The body is not what it should be."""
    return coded(400, 400, f'parsing {name} body from "" failed, because {why}')


def texts(item: Mapping[str, Any], key: str, name: str) -> dict[str, str]:
    """A mapping of texts in a body; missing is empty. Raises Refused."""
    value = item.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise unreadable(name, f"{key} is no object of texts")
    return value


def text_of(item: Mapping[str, Any], key: str, name: str) -> str:
    """A text in a body; missing is empty. Raises Refused."""
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise unreadable(name, f"{key} is no text")
    return value or ""


def time_of(item: Mapping[str, Any], key: str, name: str) -> datetime | None:
    """A time in a body, in UTC; None when it is missing, empty, or the year 1, which is Go's time that is not set.

    Raises Refused.
    """
    value = item.get(key)
    if value is None or value == "":
        return None
    try:
        return _parsed_time(value)
    except (TypeError, ValueError, OverflowError):
        raise unreadable(name, f"{key} is no time: {str(value)[:40]!r}") from None


@functools.lru_cache(4096)
def _parsed_time(text: str) -> datetime | None:
    # alerts that are sent together have few times among them
    at = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None if at.year == 1 else at.astimezone(UTC)


def time_text(at: datetime) -> str:
    """A time as the API writes it: milliseconds, UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def who(request: Request) -> str:
    """The name of the token that was used, "anonymous" for none."""
    return str(request.scope.get("state", {}).get("token") or "anonymous")
