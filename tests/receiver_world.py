"""Stand-ins for what receivers talk to: an HTTP service that keeps every request, and a mail server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from alerting.notify.base import Notification
from app.alert import Alert
from app.labels import labels_from

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """What came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    text: str
    form: dict[str, str]

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


class Service:
    """An HTTP service on loopback. `answer` says what a request gets; it is 200 and nothing else."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], web.Response] = lambda _: web.Response()
        self.url = ""
        self._came = asyncio.Condition()
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, tls: ssl.SSLContext | None = None) -> Service:
        """Listens."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        """Ends."""
        await self._runner.cleanup()

    async def wait_for(self, count: int) -> list[Request]:
        """The requests, when there are so many."""
        async with asyncio.timeout(15), self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def _take(self, request: web.Request) -> web.Response:
        text = await request.text()
        form = await request.post() if "form" in request.content_type else {}
        kept = Request(
            request.method,
            request.path,
            request.query_string,
            {name.title(): value for name, value in request.headers.items()},
            text,
            {name: str(value) for name, value in form.items()},
        )
        async with self._came:
            self.requests.append(kept)
            self._came.notify_all()
        return self.answer(kept)


@dataclass(slots=True)
class Mail:
    """A message that came in."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    hello: str
    encrypted: bool
    login: tuple[str, str] | None


@dataclass(slots=True)
class MailServer:
    """A mail server on loopback. `refuse` has the answers to steps (`rcpt`, `data`) that it does not take."""

    mails: list[Mail] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    password: str = ""
    port: int = 0
    _server: asyncio.Server | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(
        self,
        *,
        starttls: ssl.SSLContext | None = None,
        implicit_tls: ssl.SSLContext | None = None,
        without: tuple[str, ...] = (),
        host: str = "127.0.0.1",
    ) -> MailServer:
        """Listens. `without` are ways to log in that it does not offer."""

        def protocol() -> SMTP:
            return SMTP(
                self,
                hostname="mail.example",
                tls_context=starttls,
                authenticator=self._check if self.password else None,
                auth_require_tls=False,
                auth_exclude_mechanism=without,
                loop=asyncio.get_running_loop(),
            )

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, host, 0, ssl=implicit_tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Ends."""
        assert self._server is not None
        self._server.close()

    async def wait_for(self, count: int) -> list[Mail]:
        """The messages, when there are so many."""
        async with asyncio.timeout(15):
            while len(self.mails) < count:
                self._came.clear()
                await self._came.wait()
        return self.mails

    def _check(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        if isinstance(data, LoginPassword) and data.password.decode() == self.password:
            return AuthResult(success=True, auth_data=(data.login.decode(), mechanism))
        return AuthResult(success=False, handled=False)

    async def auth_CRAM__MD5(self, server: SMTP, arguments: list[str]) -> AuthResult:
        challenge = b"<1896.697170952@mail.example>"
        answer = await server.challenge_auth(challenge)
        login, _, digest = (answer.decode() if isinstance(answer, bytes) else "").partition(" ")
        good = hmac.new(self.password.encode(), challenge, hashlib.md5).hexdigest() == digest
        return AuthResult(success=good, auth_data=(login, "CRAM-MD5") if good else None)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse.get("rcpt"):
            return self.refuse["rcpt"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse.get("data"):
            return self.refuse["data"]
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        mail = Mail(
            str(envelope.mail_from),
            list(envelope.rcpt_tos),
            message,
            str(session.host_name),
            session.ssl is not None or bool(server.transport and server.transport.get_extra_info("sslcontext")),
            session.auth_data,
        )
        self.mails.append(mail)
        self._came.set()
        return "250 OK"


def alert_of(name: str, over: bool = False, **labels: str) -> Alert:
    """An alert that began a while ago."""
    begin = NOW - timedelta(minutes=5)
    return Alert(
        labels_from({"alertname": name, **labels}),
        begin,
        NOW - timedelta(minutes=1) if over else None,
        labels_from({"summary": f"{name} <burns> & more", "dashboard": "https://example.org/d?a=1&b=2"}),
        f"http://prometheus.example/graph?g0.expr={name}",
    )


def notification_of(*alerts: Alert, group: str = "shop", **changed: Any) -> Notification:
    """A group of alerts on its way."""
    facts: dict[str, Any] = {
        "group_key": f'{{}}:{{group="{group}"}}',
        "group_labels": (("group", group),),
        "receiver": "team (all)",
        "alerts": alerts,
        "now": NOW,
        "repeat_interval_ms": 3_600_000,
        "deadline": NOW + timedelta(minutes=5),
    }
    return Notification(**(facts | changed))
