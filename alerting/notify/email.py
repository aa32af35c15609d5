"""Email by SMTP: STARTTLS or TLS from the start, with the way to log in that the server offers first."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib
from pydantic import SecretStr

from alerting.config import GlobalConfig
from alerting.httpconfig import TlsConfig
from alerting.notify.base import Notification, NotifyError
from alerting.notify.email_message import addresses, email_message
from alerting.notify.rendering import Renderer
from alerting.notify.secrets import secret_of
from alerting.notify.tls import tls_context
from alerting.receivers_sent import EmailConfig

TIMEOUT_S = 10.0
"""How long the server may take to answer one command."""
_IMPLICIT_TLS_PORT = 465
_OWN_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Mailer:
    """How to reach a mail server: what an entry says, and `global` where it says nothing."""

    host: str
    port: int
    hello: str
    implicit_tls: bool
    require_tls: bool
    tls: TlsConfig | None
    username: str
    identity: str
    password: tuple[SecretStr | None, Path | None]
    secret: tuple[SecretStr | None, Path | None]

    @classmethod
    def of(cls, config: EmailConfig, defaults: GlobalConfig) -> Mailer:
        """The mailer of an entry."""
        host, _, port_text = (config.smarthost or defaults.smtp_smarthost).rpartition(":")
        port = _port(port_text)
        implicit = config.force_implicit_tls
        implicit = defaults.smtp_force_implicit_tls if implicit is None else implicit
        password = (config.auth_password, config.auth_password_file)
        secret = (config.auth_secret, config.auth_secret_file)
        return cls(
            host=host.strip("[]") or "localhost",
            port=port,
            hello=config.hello or defaults.smtp_hello,
            implicit_tls=port == _IMPLICIT_TLS_PORT if implicit is None else implicit,
            require_tls=defaults.smtp_require_tls if config.require_tls is None else config.require_tls,
            tls=config.tls_config or defaults.smtp_tls_config,
            username=config.auth_username or defaults.smtp_auth_username,
            identity=config.auth_identity or defaults.smtp_auth_identity,
            password=password if any(password) else (defaults.smtp_auth_password, defaults.smtp_auth_password_file),
            secret=secret if any(secret) else (defaults.smtp_auth_secret, defaults.smtp_auth_secret_file),
        )

    async def send(self, sender: str, recipients: list[str], message: bytes) -> None:
        """Hands a message over. Raises NotifyError, which holds neither a password nor an address."""
        name = self._certified_name()
        connected = await self._connected() if self.implicit_tls and name != self.host else None
        client = aiosmtplib.SMTP(
            hostname=name if connected else self.host,
            port=None if connected else self.port,
            sock=connected,
            local_hostname=self.hello or None,
            timeout=TIMEOUT_S,
            use_tls=self.implicit_tls,
            start_tls=False,
            tls_context=self._tls_context() if self.implicit_tls else None,
        )
        on_its_way = False
        try:
            await client.connect()
            await client.ehlo()
            if self.require_tls and not self.implicit_tls:
                await self._start_tls(client)
            await self._log_in(client)
            await client.mail(sender)
            for recipient in recipients:
                await client.rcpt(recipient)
            on_its_way = True
            await client.data(message)
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error) from None
        except aiosmtplib.SMTPTimeoutError:
            words = "the mail server did not answer in time"
            raise NotifyError(words, "timeout", retry=True, maybe_taken=on_its_way) from None
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as error:
            cause = error.__cause__ or error
            words = f"no connection to the mail server ({type(cause).__name__})"
            raise NotifyError(words, "unreachable", retry=True, maybe_taken=on_its_way) from None
        finally:
            await _quit(client)

    def _tls_context(self) -> ssl.SSLContext:
        return tls_context(self.tls)

    def _certified_name(self) -> str:
        return self.tls.server_name if self.tls and self.tls.server_name else self.host

    async def _connected(self) -> socket.socket:
        """A connection to give to the client, which would look for the server's certified name otherwise."""
        try:
            found = await asyncio.to_thread(socket.create_connection, (self.host, self.port), TIMEOUT_S)
        except OSError as error:
            words = f"no connection to the mail server ({type(error).__name__})"
            raise NotifyError(words, "unreachable", retry=True) from None
        found.setblocking(False)
        return found

    async def _start_tls(self, client: aiosmtplib.SMTP) -> None:
        if not client.supports_extension("starttls"):
            raise NotifyError(
                "'require_tls' is true (default) but the mail server does not advertise the STARTTLS extension",
                "misconfigured",
                retry=True,
            )
        await client.starttls(server_hostname=self._certified_name(), tls_context=self._tls_context())
        await client.ehlo()

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        """By the first way the server offers that there are credentials for. Raises NotifyError when there is none."""
        if not self.username or not client.supports_extension("auth"):
            return
        password, secret = secret_of(*self.password), secret_of(*self.secret)
        for method in client.server_auth_methods:
            if method == "cram-md5" and secret:
                await client.auth_crammd5(self.username, secret)
                return
            if method == "plain" and password:
                await self._plain(client, password)
                return
            if method == "login" and password:
                await client.auth_login(self.username, password)
                return
        offered = ", ".join(client.server_auth_methods).upper()
        words = f"no password or secret for what the mail server offers to log in with ({offered})"
        raise NotifyError(words, "misconfigured", retry=False)

    async def _plain(self, client: aiosmtplib.SMTP, password: str) -> None:
        encrypted = self.implicit_tls or self.require_tls
        if not encrypted and self.host not in _OWN_HOSTS:
            # a password would go over the network for everybody to read (as Go's smtp.PlainAuth has it)
            raise NotifyError("AUTH PLAIN: the connection is not encrypted", "misconfigured", retry=False)
        message = f"{self.identity}\0{self.username}\0{password}".encode()
        response = await client.execute_command(b"AUTH", b"PLAIN", base64.b64encode(message))
        if response.code != 235:
            raise aiosmtplib.SMTPAuthenticationError(response.code, response.message)


class EmailNotifier:
    """A `Notifier` for one `email_configs` entry."""

    integration = "email"

    def __init__(self, config: EmailConfig, defaults: GlobalConfig, renderer: Renderer) -> None:
        self.send_resolved = config.send_resolved
        self._config = config
        self._from = config.from_ or defaults.smtp_from
        self._mailer = Mailer.of(config, defaults)
        self._renderer = renderer

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Sends a message to every address of `to`. Raises NotifyError."""
        rendering = self._renderer.of(notification)
        sender, to = rendering.text(self._from), rendering.text(self._config.to)
        senders = addresses(sender, "from")
        if len(senders) != 1:
            words = f"from: must be exactly one address, not {len(senders)}"
            raise NotifyError(words, "misconfigured", retry=False)
        message = email_message(self._config, rendering, to, sender)
        await self._mailer.send(senders[0], addresses(to, "to"), message.as_bytes())
        return None

    async def close(self) -> None:
        """As `Notifier.close`: a connection lasts for one message."""


def _refusal(error: aiosmtplib.SMTPResponseException) -> NotifyError:
    """4xx may heal, 5xx is final (RFC 5321, 4.2.1). The server's words may repeat an address, and are left out."""
    step = type(error).__name__.removeprefix("SMTP")
    heals = 400 <= error.code < 500
    return NotifyError(
        f"the mail server answered {error.code} ({step})", "server_error" if heals else "rejected", retry=heals
    )


async def _quit(client: aiosmtplib.SMTP) -> None:
    # the message is over the line by now, or the error is told
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        if client.is_connected:
            await client.quit()
    client.close()


def _port(text: str) -> int:
    try:
        return int(text) if text.isdigit() else socket.getservbyname(text, "tcp")
    except OSError:
        return 25
