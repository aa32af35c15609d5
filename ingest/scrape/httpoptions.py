"""How a target is asked: the HTTP client options of Prometheus's scrape_configs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from app.yamlfile import StrictModel

_SIZE = re.compile(r"(\d+)(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB|PB|PiB)?")
_POWER = "KMGTP"
_RESERVED_HEADERS = {"accept", "accept-encoding", "authorization", "host", "user-agent", "content-length", "connection"}


def parse_base2_size(value: Any) -> Any:
    """Bytes of a size as Prometheus reads it: `10MB` is 10 × 2²⁰, and 0 means no limit. Raises ValueError."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"not a size: {value!r} (write it like 512KB or 10MB)")
    unit = match[2] or "B"
    return int(match[1]) << (0 if unit == "B" else 10 * (_POWER.index(unit[0]) + 1))


Base2Size = Annotated[int, BeforeValidator(parse_base2_size), Field(ge=0)]


class BasicAuth(StrictModel):
    """User and password, each in place or in a file."""

    username: str = ""
    username_file: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _once(self) -> BasicAuth:
        if self.username and self.username_file:
            raise ValueError("at most one of username and username_file")
        if self.password and self.password_file:
            raise ValueError("at most one of password and password_file")
        return self


class Authorization(StrictModel):
    """An Authorization header of a type and credentials."""

    type: str = "Bearer"
    credentials: SecretStr | None = None
    credentials_file: Path | None = None

    @model_validator(mode="after")
    def _once(self) -> Authorization:
        if self.credentials and self.credentials_file:
            raise ValueError("at most one of credentials and credentials_file")
        if self.type.strip().lower() == "basic":
            raise ValueError('type cannot be "basic": use basic_auth')
        return self


TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsConfig(StrictModel):
    """The client's side of TLS."""

    ca: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None

    @model_validator(mode="after")
    def _whole(self) -> TlsConfig:
        if self.ca and self.ca_file:
            raise ValueError("at most one of ca and ca_file")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file are wanted together")
        return self


class Header(StrictModel):
    """Values of a header, in place, secret, or in files."""

    values: tuple[str, ...] = ()
    secrets: tuple[SecretStr, ...] = ()
    files: tuple[Path, ...] = ()


class HttpOptions(StrictModel):
    """The options every scrape configuration shares; each combination Prometheus refuses is refused."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: SecretStr | None = None
    bearer_token_file: Path | None = None
    tls_config: TlsConfig = TlsConfig()
    proxy_url: str | None = None
    follow_redirects: bool = True
    enable_http2: bool = True
    enable_compression: bool = True
    http_headers: dict[str, Header] = Field(default_factory=dict)

    @field_validator("http_headers")
    @classmethod
    def _ours(cls, headers: dict[str, Header]) -> dict[str, Header]:
        for name in headers:
            if name.lower() in _RESERVED_HEADERS:
                raise ValueError(f"header {name!r} cannot be set here")
        return headers

    @model_validator(mode="after")
    def _one_way_in(self) -> HttpOptions:
        given = [
            name
            for name in ("basic_auth", "authorization", "bearer_token", "bearer_token_file")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"at most one of {' and '.join(given)}")
        return self
