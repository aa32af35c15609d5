"""One HTTP client for each notifier, and what each answer means for trying again."""

from __future__ import annotations

import asyncio
import contextvars
import email.utils
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx

from alerting.httpconfig import HttpConfig
from alerting.notify.base import NotifyError
from alerting.notify.oauth import TokenSource
from alerting.notify.proxies import bypassed, proxy_of
from alerting.notify.secrets import read_secret_file, secret_of
from alerting.notify.tls import tls_context

DEFAULT_TIMEOUT_S = 10.0
USER_AGENT = "watchhouse"
LONGEST_REASON = 300
MOST_BYTES = 16 << 20
"""So much of an answer is read; no receiver has more to say."""
_GRACE_S = 1.0
LONGEST_WAIT_S = 86_400
"""What a Retry-After may ask for at most: a group is due again long before."""
_quiet = contextvars.ContextVar("_quiet", default=False)


class HttpSender:
    """Sends requests with what `http_config` says. Opens its connections when first used."""

    def __init__(self, config: HttpConfig | None, timeout_ms: int = 0) -> None:
        _silence_request_log()
        self._config = config or HttpConfig()
        self._timeout_s = timeout_ms / 1000 if timeout_ms else DEFAULT_TIMEOUT_S
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._tokens = TokenSource(self._config.oauth2, self._timeout_s) if self._config.oauth2 else None

    async def post_json(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer, when it is a good one (2xx). Raises NotifyError, which never holds the URL."""
        return await self.send("POST", url, body, headers)

    async def send(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        retried: frozenset[int] = frozenset({429}),
    ) -> httpx.Response:
        """As `post_json`, with any method. `retried` are statuses that may heal, besides 5xx."""
        token = _quiet.set(True)
        try:
            # httpx has its time for each piece of an answer: one that drips would hold up a group for ever
            async with asyncio.timeout(self._timeout_s + _GRACE_S):
                sent = await self._headers({"Content-Type": "application/json", **(headers or {})})
                response = await self._asked(method, url, body, sent)
        except (httpx.TimeoutException, TimeoutError) as error:
            unsent = isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            said = f"no answer in time ({type(error).__name__})"
            raise NotifyError(said, "timeout", retry=True, maybe_taken=not unsent) from None
        except (httpx.InvalidURL, ValueError):
            raise NotifyError("not a URL", "misconfigured", retry=False) from None
        except httpx.UnsupportedProtocol:
            raise NotifyError("not an http:// or https:// URL", "misconfigured", retry=False) from None
        except httpx.HTTPError as error:
            # the text of the error may name the host; its kind says enough
            lost = isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
            said = f"no connection ({type(error).__name__})"
            raise NotifyError(said, "unreachable", retry=True, maybe_taken=lost) from None
        finally:
            _quiet.reset(token)
        if response.status_code == 401 and self._tokens:
            self._tokens.forget()
        if not response.is_success:
            raise refusal(response, retried)
        return response

    async def _asked(self, method: str, url: str, body: bytes, headers: list[tuple[str, str]]) -> httpx.Response:
        client = self._client_for(url)
        request = client.build_request(method, url, content=body, headers=headers, extensions=self._extensions())
        response = await client.send(request, auth=self._basic_auth(), stream=True)
        try:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    break
        finally:
            await response.aclose()
        # as it is read, and no longer packed
        kept = [(name, value) for name, value in response.headers.multi_items() if not name.startswith("content-enc")]
        return httpx.Response(response.status_code, headers=kept, content=bytes(content[:MOST_BYTES]), request=request)

    async def close(self) -> None:
        """Closes the connections. Safe to call twice."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client_for(self, url: str) -> httpx.AsyncClient:
        config = self._config
        direct = config.proxy_url is None or bypassed(config.no_proxy, url)
        if direct not in self._clients:
            self._clients[direct] = httpx.AsyncClient(
                timeout=self._timeout_s,
                follow_redirects=config.follow_redirects,
                proxy=None if direct else proxy_of(config, url),
                verify=tls_context(config.tls_config),
                headers={"User-Agent": USER_AGENT},
                # only what the file says: a proxy of the environment would see the credential in the URL
                trust_env=config.proxy_from_environment,
            )
        return self._clients[direct]

    def _basic_auth(self) -> httpx.BasicAuth | None:
        basic = self._config.basic_auth
        if basic is None:
            return None
        username = read_secret_file(basic.username_file) if basic.username_file else basic.username
        return httpx.BasicAuth(username, secret_of(basic.password, basic.password_file))

    def _extensions(self) -> dict[str, str]:
        tls = self._config.tls_config
        return {"sni_hostname": tls.server_name} if tls and tls.server_name else {}

    async def _headers(self, own: Mapping[str, str]) -> list[tuple[str, str]]:
        found = [("Authorization", value)] if (value := await self._authorization()) else []
        for name, header in self._config.http_headers.items():
            found += [(name, text) for text in header.values]
            found += [(name, secret.get_secret_value()) for secret in header.secrets if secret]
            found += [(name, read_secret_file(file)) for file in header.files if file]
        # a notifier's own header takes the place of a configured one
        taken = {name.lower() for name in own}
        return [*((name, value) for name, value in found if name.lower() not in taken), *own.items()]

    async def _authorization(self) -> str:
        config = self._config
        if config.authorization:
            credentials = secret_of(config.authorization.credentials, config.authorization.credentials_file)
            return f"{config.authorization.type.strip() or 'Bearer'} {credentials}"
        if config.bearer_token or config.bearer_token_file:
            return f"Bearer {secret_of(config.bearer_token, config.bearer_token_file)}"
        return await self._tokens.header() if self._tokens else ""


def refusal(response: httpx.Response, retried: frozenset[int] = frozenset({429})) -> NotifyError:
    """What an answer that is no success means: 5xx and the `retried` statuses may heal, everything else is final."""
    status = response.status_code
    said = f"{status} {_shown(response.text)}".strip()
    if status < 500 and status not in retried:
        return NotifyError(said, "rate_limited" if status == 429 else "rejected", retry=False)
    after_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
    return NotifyError(said, "server_error" if status >= 500 else "rate_limited", retry=True, retry_after_s=after_s)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds a Retry-After header asks for, as a number or a date; None when there is none that can be read."""
    if header is None:
        return None
    try:
        seconds = int(header)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        seconds = math.ceil(((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
    return float(min(max(0, seconds), LONGEST_WAIT_S))


def _shown(text: str) -> str:
    # a page of HTML may repeat the URL it was asked for
    short = " ".join(text.split())
    return "" if "<" in short or "://" in short or "/services/" in short else short[:LONGEST_REASON]


class _QuietFilter(logging.Filter):
    """Drops httpx's own line for each request: the URL in it is the credential."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _quiet.get()


_FILTER = _QuietFilter()


def _silence_request_log() -> None:
    logging.getLogger("httpx").addFilter(_FILTER)  # the same filter is added once
