"""How the commands speak to a running service: one HTTP client, one way to say that something failed."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NoReturn

import httpx
import typer

DEFAULT_URL = "http://127.0.0.1:9470"

UrlOption = Annotated[str, typer.Option("--url", envvar="WATCHHOUSE_URL", help="Where the service answers.")]
"""The option every command that speaks HTTP takes; give it DEFAULT_URL as default."""

TokenOption = Annotated[
    str | None,
    typer.Option(envvar="WATCHHOUSE_TOKEN", show_envvar=True, hidden=True, help="Sent as a bearer token."),
]
"""The bearer token; meant to come from the environment, where no process list shows it."""


def client(url: str, token: str | None = None, timeout_s: float = 150.0) -> httpx.Client:
    """An HTTP client for the service at `url`; close it, or use it in a `with`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=httpx.Timeout(timeout_s, connect=10.0))


def fail(message: str) -> NoReturn:
    """Ends the command with status 1 and a message on stderr."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def misuse(message: str) -> NoReturn:
    """Ends the command with status 2, for arguments that cannot be meant so."""
    typer.echo(message, err=True)
    raise typer.Exit(2)


def user_name() -> str:
    """Who runs the command, "" where nobody can tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in containers
        return ""


def request(
    http: httpx.Client,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    json_body: Any = None,
    content: bytes | None = None,
    explain: Callable[[str], str] = str,
    misuse_at: Collection[int] = (),
    empty: bool = False,
) -> Any:
    """The JSON the service answers with. Anything else than 2xx, or no answer, ends the command with status 1.

    `explain` may add to the service's own text of an error. HTTP statuses of `misuse_at` end it with status 2. With
    `empty` an answer has no body, and None is given.
    """
    try:
        answer = http.request(method, path, params=params, data=data, json=json_body, content=content)
    except httpx.InvalidURL as error:
        misuse(f"not a URL: {http.base_url} ({error})")
    except httpx.TimeoutException:
        fail(f"no answer from {http.base_url} in time")
    except httpx.HTTPError as error:
        fail(f"cannot reach {http.base_url}: {error}")
    if not answer.is_success:
        end = misuse if answer.status_code in misuse_at else fail
        end(explain(error_text(answer)))
    if empty:
        return None
    try:
        return answer.json()
    except ValueError:
        fail(f"{http.base_url}{path} did not answer with JSON; is it Watchhouse?")


def error_text(answer: httpx.Response) -> str:
    """What an error answer says, whichever of the APIs' error shapes it has."""
    try:
        body = json.loads(answer.text)
    except ValueError:
        body = None
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        for key in ("error", "message", "detail"):
            if isinstance(body.get(key), str):
                return str(body[key])
    return answer.text.strip()[:2000] or f"HTTP {answer.status_code} {answer.reason_phrase}"
