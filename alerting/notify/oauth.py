"""Access tokens by OAuth 2.0, asked for when needed and kept: by client credentials (RFC 6749, section 4.4), or by a
signed assertion (RFC 7523).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx
import jwt

from alerting.httpconfig import CLIENT_CREDENTIALS, JWT_BEARER, OAuth2
from alerting.notify.base import NotifyError, Reason
from alerting.notify.proxies import proxy_of
from alerting.notify.secrets import secret_of
from alerting.notify.tls import tls_context

EARLY_S = 10.0
"""How long before its end a token is not used any more."""
ASSERTION_LASTS_S = 600


class TokenSource:
    """The token of one `oauth2` configuration."""

    def __init__(self, config: OAuth2, timeout_s: float) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._token = ""
        self._good_until = 0.0
        self._secret_in_body = False
        self._lock = asyncio.Lock()

    async def header(self) -> str:
        """The value of an Authorization header. Raises NotifyError, which holds neither a secret nor a URL."""
        async with self._lock:
            if not self._token or time.monotonic() >= self._good_until:
                await self._ask()
            return self._token

    def forget(self) -> None:
        """The token was refused: the next one is asked for."""
        self._token = ""

    async def _ask(self) -> None:
        config = self._config
        secret = secret_of(config.client_secret, config.client_secret_file)
        if config.grant_type == JWT_BEARER:
            form = {"grant_type": JWT_BEARER, "assertion": self._assertion(), **config.endpoint_params}
        else:
            form = {"grant_type": CLIENT_CREDENTIALS, **config.endpoint_params}
            if config.scopes:
                form["scope"] = " ".join(config.scopes)
        try:
            proxy = proxy_of(config, config.token_url)
            async with httpx.AsyncClient(
                timeout=self._timeout_s,
                proxy=proxy,
                verify=tls_context(config.tls_config),
                trust_env=config.proxy_from_environment,
            ) as client:
                response = await self._post(client, form, secret)
                if response.status_code in (400, 401) and not self._secret_in_body and config.grant_type != JWT_BEARER:
                    # some servers take the secret in the form only
                    self._secret_in_body = True
                    response = await self._post(client, form, secret)
        except httpx.TimeoutException:
            raise NotifyError("oauth2: the token endpoint did not answer in time", "timeout", retry=True) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
            raise NotifyError("oauth2: token_url or proxy_url is no usable URL", "misconfigured", retry=False) from None
        except httpx.HTTPError as error:
            words = f"oauth2: no connection to the token endpoint ({type(error).__name__})"
            raise NotifyError(words, "unreachable", retry=True) from None
        self._take(response)

    def _assertion(self) -> str:
        config = self._config
        key = secret_of(config.client_certificate_key, config.client_certificate_key_file)
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": config.iss or config.client_id,
            "sub": config.client_id,
            "jti": str(uuid.uuid4()),
            "aud": config.audience or config.token_url,
            "iat": now,
            "exp": now + ASSERTION_LASTS_S,
        }
        if config.scopes:
            claims["scope"] = " ".join(config.scopes)
        headers = {"kid": config.client_certificate_key_id} if config.client_certificate_key_id else None
        try:
            return jwt.encode(claims | config.claims, key, config.signature_algorithm or "RS256", headers)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            words = f"oauth2: the assertion cannot be signed ({type(error).__name__})"
            raise NotifyError(words, "misconfigured", retry=False) from None

    async def _post(self, client: httpx.AsyncClient, form: dict[str, str], secret: str) -> httpx.Response:
        config = self._config
        if config.grant_type == JWT_BEARER:
            return await client.post(config.token_url, data=form)
        if self._secret_in_body:
            form = {**form, "client_id": config.client_id, "client_secret": secret}
            return await client.post(config.token_url, data=form)
        return await client.post(config.token_url, data=form, auth=httpx.BasicAuth(config.client_id, secret))

    def _take(self, response: httpx.Response) -> None:
        if not response.is_success:
            self._secret_in_body = False
            heals = response.status_code >= 500 or response.status_code == 429
            reason: Reason = "server_error" if heals else "rejected"
            raise NotifyError(f"oauth2: the token endpoint answered {response.status_code}", reason, retry=heals)
        try:
            answer = response.json()
            token, kind = str(answer["access_token"]), str(answer.get("token_type") or "Bearer")
            lasts_s = float(answer.get("expires_in") or 0)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NotifyError("oauth2: the token endpoint gave no token", "server_error", retry=True) from None
        self._token = f"{'Bearer' if kind.lower() == 'bearer' else kind} {token}"
        self._good_until = time.monotonic() + lasts_s - EARLY_S if lasts_s else float("inf")
