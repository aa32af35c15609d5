"""Prometheus's HTTP client configuration (`http_config`), and its TLS part, with the rules between its keys."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerting.fields import Anything, File, Flag, Many, Secret, Text, Texts, at_most_one
from app.yamlfile import GoModel

RESERVED_HEADERS = frozenset(
    {
        "authorization", "host", "content-encoding", "content-length", "content-type", "user-agent", "connection",
        "keep-alive", "proxy-authenticate", "proxy-authorization", "www-authenticate", "accept-encoding",
        "x-prometheus-remote-write-version", "x-prometheus-remote-read-version", "x-prometheus-scrape-timeout-seconds",
        "x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
    }
)  # fmt: skip
"""Headers that `http_headers` may not set (prometheus/common, config/headers.go)."""
CLIENT_CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class BasicAuth(GoModel):
    """HTTP basic authentication."""

    username: Text = ""
    username_file: File = None
    username_ref: Text = ""
    password: Secret = None
    password_file: File = None
    password_ref: Text = ""

    @model_validator(mode="after")
    def _one_of_each(self) -> BasicAuth:
        at_most_one(username=self.username, username_file=self.username_file, username_ref=self.username_ref)
        at_most_one(password=self.password, password_file=self.password_file, password_ref=self.password_ref)
        return self


class Authorization(GoModel):
    """An Authorization header."""

    type: Text = "Bearer"
    credentials: Secret = None
    credentials_file: File = None
    credentials_ref: Text = ""

    @model_validator(mode="after")
    def _sensible(self) -> Authorization:
        at_most_one(
            credentials=self.credentials,
            credentials_file=self.credentials_file,
            credentials_ref=self.credentials_ref,
        )
        if self.type.strip().lower() == "basic":
            raise ValueError('authorization type cannot be set to "basic", use "basic_auth" instead')
        return self


class TlsConfig(GoModel):
    """Which certificates to trust and to show."""

    ca: Text = ""
    cert: Text = ""
    key: Secret = None
    ca_file: File = None
    cert_file: File = None
    key_file: File = None
    ca_ref: Text = ""
    cert_ref: Text = ""
    key_ref: Text = ""
    server_name: Text = ""
    insecure_skip_verify: Flag = False
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None

    @model_validator(mode="after")
    def _pairs(self) -> TlsConfig:
        at_most_one(ca=self.ca, ca_file=self.ca_file, ca_ref=self.ca_ref)
        at_most_one(cert=self.cert, cert_file=self.cert_file, cert_ref=self.cert_ref)
        at_most_one(key=self.key, key_file=self.key_file, key_ref=self.key_ref)
        has_cert = bool(self.cert or self.cert_file or self.cert_ref)
        has_key = bool(self.key or self.key_file or self.key_ref)
        if has_cert and not has_key:
            raise ValueError(
                "exactly one of key or key_file must be configured when a client certificate is configured"
            )
        if has_key and not has_cert:
            raise ValueError("exactly one of cert or cert_file must be configured when a client key is configured")
        return self


def _proxy_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        try:
            urlsplit(value.get_secret_value())
        except ValueError:
            raise ValueError("not a URL") from None
    return value


class ProxyConfig(GoModel):
    """Which proxy to go through."""

    proxy_url: Annotated[Secret, AfterValidator(_proxy_url)] = None
    no_proxy: Text = ""
    proxy_from_environment: Flag = False
    proxy_connect_header: dict[Text, Many[Secret]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_proxy(self) -> ProxyConfig:
        if self.proxy_connect_header and not self.proxy_from_environment and self.proxy_url is None:
            raise ValueError(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
            )
        if self.proxy_from_environment and self.proxy_url is not None:
            raise ValueError("if proxy_from_environment is configured, proxy_url must not be configured")
        if self.proxy_from_environment and self.no_proxy:
            raise ValueError("if proxy_from_environment is configured, no_proxy must not be configured")
        if self.no_proxy and self.proxy_url is None:
            raise ValueError("if no_proxy is configured, proxy_url must also be configured")
        return self


class OAuth2(ProxyConfig):
    """Where and how to ask for an access token."""

    client_id: Text = ""
    client_secret: Secret = None
    client_secret_file: File = None
    client_secret_ref: Text = ""
    client_certificate_key_id: Text = ""
    client_certificate_key: Secret = None
    client_certificate_key_file: File = None
    client_certificate_key_ref: Text = ""
    grant_type: Text = ""
    signature_algorithm: Text = ""
    iss: Text = ""
    audience: Text = ""
    claims: dict[Text, Anything] = Field(default_factory=dict)
    scopes: Many[Text] = ()
    token_url: Text = ""
    endpoint_params: Texts = Field(default_factory=dict)
    tls_config: TlsConfig | None = None

    @model_validator(mode="after")
    def _complete(self) -> OAuth2:
        if not self.client_id:
            raise ValueError("oauth2 client_id must be configured")
        if not self.token_url:
            raise ValueError("oauth2 token_url must be configured")
        if self.grant_type == JWT_BEARER:
            at_most_one(
                client_certificate_key=self.client_certificate_key,
                client_certificate_key_file=self.client_certificate_key_file,
                client_certificate_key_ref=self.client_certificate_key_ref,
            )
            if self.signature_algorithm not in ("", "RS256", "RS384", "RS512"):
                raise ValueError("valid signature algorithms are RS256, RS384 and RS512")
        else:
            at_most_one(
                client_secret=self.client_secret,
                client_secret_file=self.client_secret_file,
                client_secret_ref=self.client_secret_ref,
            )
        return self


class Header(GoModel):
    """The values of one header."""

    values: Many[Text] = ()
    secrets: Many[Secret] = ()
    files: Many[File] = ()


def _no_reserved(headers: dict[str, Header]) -> dict[str, Header]:
    for name in headers:
        if name.lower() in RESERVED_HEADERS:
            raise ValueError(f"setting header {name!r} is not allowed")
    return headers


Headers = Annotated[
    dict[Text, Header], BeforeValidator(lambda value: {} if value is None else value), AfterValidator(_no_reserved)
]


class HttpConfig(ProxyConfig):
    """Prometheus's HTTP client configuration."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    oauth2: OAuth2 | None = None
    bearer_token: Secret = None
    bearer_token_file: File = None
    tls_config: TlsConfig | None = None
    follow_redirects: Flag = True
    enable_http2: Flag = True
    http_headers: Headers = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_credential(self) -> HttpConfig:
        at_most_one(bearer_token=self.bearer_token, bearer_token_file=self.bearer_token_file)
        bearer = self.bearer_token is not None or self.bearer_token_file is not None
        ways = (self.basic_auth is not None, self.authorization is not None, self.oauth2 is not None, bearer)
        if sum(ways) > 1:
            raise ValueError("at most one of basic_auth, authorization, oauth2 & bearer_token must be configured")
        return self

    def refs(self) -> list[str]:
        """Keys that name a secret of a secret manager: there is none here."""
        parts = {"basic_auth": self.basic_auth, "authorization": self.authorization, "oauth2": self.oauth2}
        found = {f"{key}.{name}": value for key, part in parts.items() if part for name, value in part}
        for key, tls in (
            ("tls_config", self.tls_config),
            ("oauth2.tls_config", self.oauth2 and self.oauth2.tls_config),
        ):
            found |= {f"{key}.{name}": value for name, value in tls or ()}
        return [name for name, value in found.items() if name.endswith("_ref") and value]
