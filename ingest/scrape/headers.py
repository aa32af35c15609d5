"""What is said with a request: headers, credentials, TLS."""

from __future__ import annotations

import base64
import ssl
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.errors import WatchhouseError
from ingest.scrape.httpoptions import HttpOptions, TlsConfig

ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
USER_AGENT = f"Watchhouse/{version('watchhouse')}"
_LOOPBACK = ("127.", "[::1]", "localhost")


class FetchError(WatchhouseError):
    """A target gave no page: not reached, too slow, another status than 200, or too large."""


def request_headers(job: HttpOptions, url: str, timeout_ms: int) -> list[tuple[str, str]]:
    """Headers to send; reads the files that hold secrets, so it may block. Raises FetchError."""
    # on this machine there is no network to spare, and inflating costs more than reading the page
    gzip = job.enable_compression and not urlsplit(url).netloc.startswith(_LOOPBACK)
    headers = [
        ("Accept", ACCEPT),
        ("Accept-Encoding", "gzip" if gzip else "identity"),
        ("User-Agent", USER_AGENT),
        ("X-Prometheus-Scrape-Timeout-Seconds", f"{timeout_ms / 1000:g}"),
    ]
    authorization = _authorization(job)
    if authorization:
        headers.append(("Authorization", authorization))
    for name, header in job.http_headers.items():
        headers += [(name, value) for value in header.values]
        headers += [(name, secret.get_secret_value()) for secret in header.secrets]
        headers += [(name, _file(path)) for path in header.files]
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise FetchError(f"header {name} holds a line break")
    return headers


def _authorization(job: HttpOptions) -> str | None:
    if job.basic_auth:
        auth = job.basic_auth
        user = _file(auth.username_file) if auth.username_file else auth.username
        password = _secret(auth.password, auth.password_file)
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if job.authorization:
        credentials = _secret(job.authorization.credentials, job.authorization.credentials_file)
        return f"{job.authorization.type.strip()} {credentials}"
    if job.bearer_token or job.bearer_token_file:
        return f"Bearer {_secret(job.bearer_token, job.bearer_token_file)}"
    return None


def _secret(value: SecretStr | None, path: Path | None) -> str:
    return _file(path) if path else value.get_secret_value() if value else ""


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FetchError(f"{path} cannot be read: {type(error).__name__}") from None


def has_files(job: HttpOptions) -> bool:
    auth = job.basic_auth
    return bool(
        job.bearer_token_file
        or (job.authorization and job.authorization.credentials_file)
        or (auth and (auth.username_file or auth.password_file))
        or any(header.files for header in job.http_headers.values())
    )


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """The client's TLS settings; reads files. Raises FetchError."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None, cadata=tls.ca)
        if tls.cert_file and tls.key_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise FetchError(f"tls_config cannot be used: {error}") from None
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    versions = {
        "TLS10": ssl.TLSVersion.TLSv1,
        "TLS11": ssl.TLSVersion.TLSv1_1,
        "TLS12": ssl.TLSVersion.TLSv1_2,
        "TLS13": ssl.TLSVersion.TLSv1_3,
    }
    if tls.min_version:
        context.minimum_version = versions[tls.min_version]
    if tls.max_version:
        context.maximum_version = versions[tls.max_version]
    return context
