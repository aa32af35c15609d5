"""TLS as `tls_config` has it, for HTTP and SMTP."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import certifi

from alerting.httpconfig import TlsConfig
from alerting.notify.base import NotifyError

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


def tls_context(config: TlsConfig | None) -> ssl.SSLContext:
    """What a connection trusts and shows; without a CA of its own the machine's, as programs in Go do.

    Raises NotifyError without a word of a key or a certificate.
    """
    config = config or TlsConfig()
    try:
        context = ssl.create_default_context(
            cafile=str(config.ca_file) if config.ca_file else None, cadata=config.ca or None
        )
        paths = ssl.get_default_verify_paths()
        if not (config.ca_file or config.ca or paths.cafile or paths.capath):
            context.load_verify_locations(certifi.where())  # a small image may have none
        _show_certificate(context, config)
        if config.min_version:
            context.minimum_version = _VERSIONS[config.min_version]
        if config.max_version:
            context.maximum_version = _VERSIONS[config.max_version]
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise NotifyError(f"tls_config: {type(error).__name__}", "misconfigured", retry=False) from None
    if config.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _show_certificate(context: ssl.SSLContext, config: TlsConfig) -> None:
    cert = config.cert_file or config.cert
    key = config.key_file or (config.key.get_secret_value() if config.key else "")
    if not cert or not key:
        return
    # OpenSSL reads both from files only; texts stand in a folder of our own for a moment
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(_as_file(cert, Path(folder, "cert")), _as_file(key, Path(folder, "key")))


def _as_file(given: Path | str, path: Path) -> Path:
    if isinstance(given, Path):
        return given
    path.write_text(given, encoding="utf-8")
    return path
