"""What an alert may hold: nothing in a label or annotation keeps a message from being sent, or costs much."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from alerting.notify.email_message import email_message
from alerting.notify.http import LONGEST_WAIT_S, retry_after_s
from alerting.notify.rendering import Renderer, Rendering
from alerting.receivers_sent import EmailConfig
from alerting.slack.message import rich_message
from alerting.templates.alertmanager import AlertTemplates
from app.alert import Alert
from app.labels import labels_from
from tests.slack import scenes

RENDERER = Renderer(AlertTemplates(), scenes.HOME)


def rendering(text: str) -> Rendering:
    """The texts of an alert that has this in its name and its summary."""
    pair = {"alertname": text}
    alert = Alert(labels_from(pair), scenes.NOW, None, labels_from({"summary": text}), "", {})
    return RENDERER.of(scenes.told(alert, group=labels_from(pair)))


def bomb(levels: int) -> str:
    """Ten to the power of `levels` texts in YAML."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(9), "&a [*a]", "- " * 5000 + "x", "[" * 2000, "{a: " * 3000 + "1" + "}" * 3000, "!!binary aGVsbG8=",
        "!!set {a, b}", "!!omap [a: 1]", "!!python/object/apply:os.system ['true']", "9" * 400, "9" * 5000,
        "<<: x\na: 1", "? [a]\n: b",
    ],
)  # fmt: skip
def test_a_text_that_is_yaml_by_accident_stays_a_text(text: str) -> None:
    """In a payload a text is read as YAML: what JSON cannot hold, refers to itself, or is a bomb, is the text."""
    started = time.monotonic()
    found = rendering(text).deep({"it": "{{ .CommonAnnotations.summary }}"})
    assert time.monotonic() - started < 2
    assert orjson.loads(orjson.dumps(found)) == {"it": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("true", True),
        ("[1, a-b, 'x!y']", [1, "a-b", "x!y"]),
        ("R&D", "R&D"),
        ("5 * 3", "5 * 3"),
        ("a: 1", {"a": 1}),
    ],
)
def test_values_are_still_values(text: str, value: Any) -> None:
    """Numbers, lists and objects are what they are; signs within words mean nothing."""
    assert rendering(text).deep("{{ .CommonAnnotations.summary }}") == value


@pytest.mark.parametrize("sign", ["\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0"])
def test_no_sign_keeps_a_mail_from_being_sent(sign: str) -> None:
    """Whatever ends a line to somebody is a space in a header, and begins no header of its own."""
    config = EmailConfig.model_validate({"to": "a@example.com"})
    message = email_message(config, rendering(f"disk{sign}Bcc: eve@example.com"), "a@example.com", "b@example.com")
    head, _, _ = message.as_bytes().partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert b"Subject" in names
    assert b"Bcc" not in names
    assert b"\0" not in head


@pytest.mark.parametrize("header", ["9" * 400, "9" * 17, "Thu, 01 Jan 9999 00:00:00 GMT"])
def test_a_retry_after_of_ages_is_a_day(header: str) -> None:
    """A number that no clock holds is cut: the group is due again long before."""
    assert retry_after_s(header, datetime.now(UTC)) == LONGEST_WAIT_S


def test_a_message_about_ten_thousand_alerts_takes_no_second() -> None:
    """Half of them silenced: what is counted is counted once."""
    alerts = [scenes.crash(f"api-{i}", 5) for i in range(10_000)]
    told = scenes.told(*alerts[:5000], suppressed=tuple(scenes.silenced(one) for one in alerts[5000:]))
    started = time.process_time()
    message = rich_message(told, scenes.LOOK, group="g")
    assert time.process_time() - started < 2
    assert "and 4994 more firing, 5000 more silenced" in message["text"]
