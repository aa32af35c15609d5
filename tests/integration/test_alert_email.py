"""Mails over real sockets: how they are handed over, what is in them, and what an answer means for trying again."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from alerting.config import parse_alertmanager
from alerting.notify.base import Notifier, NotifyError
from alerting.notify.build import build_notifiers
from alerting.notify.rendering import key_hash
from app.yamlfile import read_documents
from tests.receiver_world import NOW, MailServer, alert_of, notification_of

SECRET = "HUSH"
FIRING = alert_of("Slow", group="shop")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificate of the mail server."""
    return trustme.CA()


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server that is not started."""
    server = MailServer()
    yield server
    await server.stop()


def certificate(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def mailer(server: MailServer, settings: Mapping[str, Any] = {}, **entry: Any) -> Notifier:
    """The notifier of a file with one mail entry; `settings` are those of `global`."""
    data = {
        "global": {"smtp_from": "Watch <watch@example.org>", "smtp_require_tls": False, **settings},
        "route": {"receiver": "team"},
        "receivers": [
            {
                "name": "team",
                "email_configs": [{"to": "team@example.org", "smarthost": f"localhost:{server.port}", **entry}],
            }
        ],
    }
    document = read_documents("alertmanager.yml", yaml.safe_dump(data), as_written=True)[0]
    config = parse_alertmanager(document, Path())
    return build_notifiers(config, external_url="http://watch.example")["team"][0]


async def test_the_default_message(server: MailServer) -> None:
    """The default subject and HTML of Alertmanager, to everybody named, with the headers a mail must have."""
    await server.start()
    await mailer(server, to="A <a@example.org>, b@example.org").notify(notification_of(FIRING))
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("watch@example.org", ["a@example.org", "b@example.org"])
    assert (mail.hello, mail.encrypted, mail.login) == ("localhost", False, None)
    assert mail.message["Subject"] == "[FIRING:1] shop (Slow)"
    assert mail.message["From"] == "Watch <watch@example.org>"
    assert mail.message["Message-Id"].endswith(f"@{socket.gethostname()}>")
    assert parsedate_to_datetime(mail.message["Date"]) == NOW
    (part,) = mail.message.iter_parts()
    assert part.get_content_type() == "text/html"
    html = part.get_content()
    assert "http://watch.example" in html
    assert "Slow &lt;burns&gt; &amp; more" in html
    assert "<burns>" not in html


async def test_one_state_is_one_message_id(server: MailServer) -> None:
    """An attempt that is made again has the same Message-Id, a later message another."""
    await server.start()
    made = mailer(server)
    for now in (NOW, NOW, NOW + timedelta(minutes=5)):
        await made.notify(notification_of(FIRING, now=now))
    first, again, later = (mail.message["Message-Id"] for mail in server.mails)
    assert first == again != later


async def test_headers_and_parts(server: MailServer) -> None:
    """Own headers are templates and take the place of the usual ones; a line break cannot begin another."""
    await server.start()
    subject = "{{ .Status }}: äöü {{ .CommonLabels.evil }}"
    headers = {"subject": subject, "message-id": "<x@y>", "X-N": "{{ len .Alerts }}"}
    text = "{{ range .Alerts }}{{ .Annotations.summary }}\n.\n{{ end }}äö"
    made = mailer(server, headers=headers, html="", text=text)
    await made.notify(notification_of(alert_of("Slow", evil="a\r\nBcc: everybody@example.org")))
    (mail,) = server.mails
    assert mail.message["Subject"] == "firing: äöü a Bcc: everybody@example.org"
    assert mail.message["Bcc"] is None
    assert (mail.message["Message-Id"], mail.message["X-N"]) == ("<x@y>", "1")
    (part,) = mail.message.iter_parts()
    assert part.get_content_type() == "text/plain"
    assert part.get_content().splitlines() == ["Slow <burns> & more", ".", "äö"]


@pytest.mark.parametrize(("by", "day"), [("daily", f"{NOW.astimezone():%Y-%m-%d}"), ("none", "")])
async def test_threads(server: MailServer, by: str, day: str) -> None:
    """All messages about a group, or those of a day, refer to the same message that nobody sent."""
    await server.start()
    await mailer(server, threading={"enabled": True, "thread_by_date": by}).notify(notification_of(FIRING))
    group = key_hash('{}:{group="shop"}')[:16]
    root = f"<alert-{group}-{day}@alertmanager>"
    assert (server.mails[0].message["References"], server.mails[0].message["In-Reply-To"]) == (root, root)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("name", ["localhost", "mail.example"])
async def test_encrypted(server: MailServer, authority: trustme.CA, tmp_path: Path, implicit: bool, name: str) -> None:
    """By STARTTLS, which is wanted unless the file says no, or from the start; the certificate's name is checked."""
    context = certificate(authority, name)
    await server.start(implicit_tls=context if implicit else None, starttls=None if implicit else context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    settings = {
        "smtp_require_tls": True,
        "smtp_force_implicit_tls": implicit,
        "smtp_tls_config": {"ca_file": str(tmp_path / "ca"), "server_name": name},
    }
    await mailer(server, settings).notify(notification_of(FIRING))
    assert server.mails[0].encrypted
    settings["smtp_tls_config"] = {"ca_file": str(tmp_path / "ca"), "server_name": "other.example"}
    with pytest.raises(NotifyError) as caught:
        await mailer(server, settings).notify(notification_of(FIRING))
    assert (caught.value.reason, caught.value.retry, len(server.mails)) == ("unreachable", True, 1)


async def test_no_message_without_the_encryption_that_is_wanted(server: MailServer) -> None:
    """A server without STARTTLS gets nothing unless the file lets it."""
    await server.start()
    with pytest.raises(NotifyError, match="STARTTLS"):
        await mailer(server, require_tls=True).notify(notification_of(FIRING))
    assert server.mails == []


@pytest.mark.parametrize(
    ("without", "credentials", "way"),
    [
        (("CRAM-MD5", "LOGIN"), {"auth_password": SECRET}, "PLAIN"),
        (("CRAM-MD5", "PLAIN"), {"auth_password": SECRET}, "LOGIN"),
        ((), {"auth_secret": SECRET}, "CRAM-MD5"),
        (("LOGIN",), {"auth_password_file": "password"}, "PLAIN"),
    ],
)
async def test_logging_in(
    server: MailServer, tmp_path: Path, without: tuple[str, ...], credentials: dict[str, str], way: str
) -> None:
    """By the first way that the server offers and there are credentials for."""
    server.password = SECRET
    await server.start(without=without)
    (tmp_path / "password").write_text(f"{SECRET}\n")
    given = {
        f"smtp_{key}": str(tmp_path / value) if key.endswith("_file") else value for key, value in credentials.items()
    }
    await mailer(server, {"smtp_auth_username": "u", **given}).notify(notification_of(FIRING))
    assert server.mails[0].login == ("u", way)


@pytest.mark.parametrize(
    ("entry", "reason", "said"),
    [
        ({"auth_username": "u", "auth_password": "wrong"}, "rejected", "535"),
        ({"auth_username": "u", "auth_secret_file": "nothing"}, "misconfigured", "nothing"),
        ({"auth_username": "u"}, "misconfigured", "no password or secret"),
    ],
)
async def test_who_cannot_log_in(server: MailServer, entry: dict[str, Any], reason: str, said: str) -> None:
    """Wrong or missing credentials do not heal by trying again, and are not told."""
    server.password = SECRET
    await server.start()
    with pytest.raises(NotifyError, match=said) as caught:
        await mailer(server, **entry).notify(notification_of(FIRING))
    assert (caught.value.reason, caught.value.retry) == (reason, False)
    assert "wrong" not in str(caught.value)


async def test_no_password_in_the_open(server: MailServer) -> None:
    """AUTH PLAIN to another machine wants encryption, as in Go."""
    server.password = SECRET
    await server.start(without=("LOGIN", "CRAM-MD5"), host="127.0.0.2")
    entry: dict[str, Any] = {"smarthost": f"127.0.0.2:{server.port}", "auth_username": "u", "auth_password": SECRET}
    with pytest.raises(NotifyError, match="not encrypted") as caught:
        await mailer(server, **entry).notify(notification_of(FIRING))
    assert not caught.value.retry
    assert server.mails == []


@pytest.mark.parametrize("step", ["rcpt", "data"])
@pytest.mark.parametrize(
    ("answer", "reason", "retry"),
    [
        ("451 4.3.0 later", "server_error", True),
        ("550 5.1.1 nobody <team@example.org>", "rejected", False),
    ],
)
async def test_refusals(server: MailServer, step: str, answer: str, reason: str, retry: bool) -> None:
    """4xx may heal, 5xx does not (RFC 5321); the address is not told."""
    server.refuse[step] = answer
    await server.start()
    with pytest.raises(NotifyError, match=answer[:3]) as caught:
        await mailer(server).notify(notification_of(FIRING))
    assert (caught.value.reason, caught.value.retry) == (reason, retry)
    assert "team@example.org" not in str(caught.value)


async def test_a_server_that_is_away(server: MailServer) -> None:
    """No connection is tried again."""
    await server.start()
    made = mailer(server)
    await server.stop()
    with pytest.raises(NotifyError) as caught:
        await made.notify(notification_of(FIRING))
    assert (caught.value.reason, caught.value.retry) == ("unreachable", True)
