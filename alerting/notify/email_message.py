"""The message that an `email_configs` entry sends: headers, a text and an HTML part."""

from __future__ import annotations

import re
import socket
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses

from alerting.notify.base import NotifyError
from alerting.notify.rendering import Rendering, key_hash
from alerting.receivers_sent import EmailConfig

_BREAK = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*|\0")
"""All that may end a line to somebody (`str.splitlines`), and NUL, which no header may hold."""
SUBJECT = '{{ template "email.default.subject" . }}'


def email_message(config: EmailConfig, rendering: Rendering, to: str, sender: str) -> EmailMessage:
    """The message. `to` and `sender` are what its headers say unless the configuration has headers of its own.

    Its Message-Id is the same for every attempt to tell one state of a group, so that a mail that arrives twice can be
    known as one. Raises NotifyError.
    """
    message = EmailMessage(policy=SMTP.clone(max_line_length=998, refold_source="none"))
    notification = rendering.notification
    for name, template in {"Subject": SUBJECT, "To": to, "From": sender, **config.headers}.items():
        _set(message, name, rendering.text(template) if name in config.headers or name == "Subject" else template)
    if "Message-Id" not in config.headers:
        told = key_hash(f"{notification.receiver} {notification.group_key} {notification.now.isoformat()} {to}")
        message["Message-Id"] = f"<{told[:32]}@{socket.gethostname() or 'localhost.localdomain'}>"
    if config.threading.enabled:
        root = thread_root(notification.group_key, notification.now, daily=config.threading.thread_by_date == "daily")
        message["References"] = root
        message["In-Reply-To"] = root
    message["Date"] = format_datetime(notification.now.astimezone())
    message["MIME-Version"] = "1.0"
    message.make_alternative()
    if config.text:
        message.add_alternative(rendering.text(config.text), subtype="plain", charset="utf-8", cte="quoted-printable")
    if config.html:
        # the preferred part is the last one (RFC 2046, 5.1.4)
        message.add_alternative(rendering.html(config.html), subtype="html", charset="utf-8", cte="quoted-printable")
    return message


def thread_root(group_key: str, now: datetime, *, daily: bool) -> str:
    """The Message-Id that all messages about a group (of a day) refer to. No message has it; it is Alertmanager's."""
    day = f"{now.astimezone():%Y-%m-%d}" if daily else ""
    return f"<alert-{key_hash(group_key)[:16]}-{day}@alertmanager>"


def addresses(text: str, what: str) -> list[str]:
    """The addresses of a list as SMTP wants them. Raises NotifyError when one is none."""
    found = [address for _, address in getaddresses([text])]
    for address in found:
        try:
            parsed = Address(addr_spec=address)
        except (ValueError, IndexError):
            parsed = None
        if parsed is None or not parsed.username or not parsed.domain:
            raise NotifyError(f"{what}: not a list of addresses", "misconfigured", retry=False)
    if not found:
        raise NotifyError(f"{what}: no address", "misconfigured", retry=False)
    return found


def _set(message: EmailMessage, name: str, value: str) -> None:
    # a label may hold a line break, which would end the header
    try:
        message[name] = _BREAK.sub(" ", value)
    except (ValueError, IndexError) as error:
        raise NotifyError(f"header {name}: {error}", "misconfigured", retry=False) from None
