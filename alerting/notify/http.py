"""One HTTP client for each notifier, and what each answer means for trying again."""

from __future__ import annotations

import contextvars
import email.utils
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import SecretStr

from alerting.notify.base import NotifyError
from alerting.httpconfig import HttpConfig, TlsConfig

DEFAULT_TIMEOUT_S = 10.0
USER_AGENT = "watchhouse"
LONGEST_REASON = 300
_quiet = contextvars.ContextVar("_quiet", default=False)


@dataclass(frozen=True, slots=True)
class SecretAddress:
    """Where to post to: a URL, or a file that holds it and is read each time, so that it can be changed."""

    url: SecretStr | None
    file: Path | None

    def read(self) -> str:
        """The URL. Raises NotifyError when there is none."""
        if self.url is not None:
            return self.url.get_secret_value()
        return read_secret_file(self.file)


def read_secret_file(path: Path | None) -> str:
    """A secret from its file. Raises NotifyError naming the file, never its content."""
    if path is None:
        raise NotifyError("no URL is configured", "misconfigured", retry=False)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotifyError(f"{path} cannot be read: {type(error).__name__}", "misconfigured", retry=False) from None


class HttpSender:
    """Posts JSON. Opens its connections when first used."""

    def __init__(self, config: HttpConfig | None, timeout_ms: int = 0) -> None:
        _silence_request_log()
        self._config = config or HttpConfig()
        self._timeout_s = timeout_ms / 1000 if timeout_ms else DEFAULT_TIMEOUT_S
        self._client: httpx.AsyncClient | None = None

    async def post_json(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer, when it is a good one (2xx). Raises NotifyError, which never holds the URL."""
        token = _quiet.set(True)
        try:
            response = await self._open().post(
                url,
                content=body,
                headers={"Content-Type": "application/json", **self._authorization(), **(headers or {})},
            )
        except httpx.TimeoutException as error:
            raise NotifyError(f"no answer in time ({type(error).__name__})", "timeout", retry=True) from None
        except httpx.InvalidURL:
            raise NotifyError("not a URL", "misconfigured", retry=False) from None
        except httpx.UnsupportedProtocol:
            raise NotifyError("not an http:// or https:// URL", "misconfigured", retry=False) from None
        except httpx.HTTPError as error:
            # the text of the error may name the host; its kind says enough
            raise NotifyError(f"no connection ({type(error).__name__})", "unreachable", retry=True) from None
        finally:
            _quiet.reset(token)
        if not response.is_success:
            raise refusal(response)
        return response

    async def close(self) -> None:
        """Closes the connections. Safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            config = self._config
            basic = config.basic_auth
            password = _secret(basic.password, basic.password_file) if basic else ""
            username = read_secret_file(basic.username_file) if basic and basic.username_file else ""
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s,
                follow_redirects=config.follow_redirects,
                proxy=config.proxy_url.get_secret_value() if config.proxy_url else None,
                verify=_tls(config.tls_config) if config.tls_config else True,
                auth=httpx.BasicAuth(username or basic.username, password) if basic else None,
                headers={"User-Agent": USER_AGENT},
                # only what the file says: a proxy of the environment would see the credential in the URL
                trust_env=False,
            )
        return self._client

    def _authorization(self) -> dict[str, str]:
        config = self._config
        if config.authorization:
            credentials = _secret(config.authorization.credentials, config.authorization.credentials_file)
            return {"Authorization": f"{config.authorization.type} {credentials}"}
        if config.bearer_token or config.bearer_token_file:
            return {"Authorization": f"Bearer {_secret(config.bearer_token, config.bearer_token_file)}"}
        return {}


def refusal(response: httpx.Response) -> NotifyError:
    """What an answer that is no success means: 429 and 5xx may heal, everything else is final."""
    status = response.status_code
    said = f"{status} {_shown(response.text)}".strip()
    if status == 429:
        after_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        return NotifyError(said, "rate_limited", retry=True, retry_after_s=after_s)
    if status >= 500:
        after_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        return NotifyError(said, "server_error", retry=True, retry_after_s=after_s)
    return NotifyError(said, "rejected", retry=False)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds a Retry-After header asks for, as a number or a date; None when there is none that can be read."""
    if header is None:
        return None
    try:
        return max(0.0, float(int(header)))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())


def _shown(text: str) -> str:
    # a page of HTML may repeat the URL it was asked for
    short = " ".join(text.split())
    return "" if "<" in short or "://" in short or "/services/" in short else short[:LONGEST_REASON]


def _secret(value: SecretStr | None, file: Path | None) -> str:
    if value is not None:
        return value.get_secret_value()
    return read_secret_file(file) if file is not None else ""


def _tls(config: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
        if config.cert_file and config.key_file:
            context.load_cert_chain(config.cert_file, config.key_file)
    except (OSError, ssl.SSLError) as error:
        raise NotifyError(f"tls_config: {type(error).__name__}", "misconfigured", retry=False) from None
    if config.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _QuietFilter(logging.Filter):
    """Drops httpx's own line for each request: the URL in it is the credential."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _quiet.get()


_FILTER = _QuietFilter()


def _silence_request_log() -> None:
    logging.getLogger("httpx").addFilter(_FILTER)  # the same filter is added once
