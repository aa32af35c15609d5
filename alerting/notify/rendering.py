"""A notification's texts: a receiver's templates with its data."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import SecretStr

from alerting.notify.base import Notification, NotifyError
from alerting.templates.alertmanager import AlertTemplates
from alerting.templates.data import template_data
from alerting.templates.values import KV, Data
from app.gotemplate import TemplateError
from app.yamlfile import value_of

log = logging.getLogger(__name__)
_NO_VALUE = re.compile(r"(?:^|[\s,\[{:-])[&*!][\w!]")
"""Anchors, references and tags: a label of a hundred bytes could stand for gigabytes by them, and no alert means it."""
_DEEP = re.compile(r"(?:[\[{][^\[{\]}]*){100}")
"""A hundred brackets within one another."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """The templates of a configuration, and the address of this service that they may name."""

    templates: AlertTemplates
    external_url: str

    def of(self, notification: Notification) -> Rendering:
        """Texts of one notification. Raises NotifyError when a label of the route cannot be expanded."""
        data = template_data(notification, external_url=self.external_url)
        if data.route_labels:
            rendering = Rendering(self.templates, notification, replace(data, notification_reason="unknown"))
            expanded = {name: rendering.text(f'{{{{ routeLabels "{name}" }}}}') for name in data.route_labels}
            data = replace(data, route_labels=KV(expanded), route_labels_rendered=True)
        return Rendering(self.templates, notification, data)


@dataclass(frozen=True, slots=True)
class Rendering:
    """Expands templates for one notification. What cannot be expanded will not be at the next try either."""

    templates: AlertTemplates
    notification: Notification
    data: Data

    def text(self, template: str) -> str:
        """A text. Raises NotifyError."""
        return self._expanded(self.templates.text, template)

    def html(self, template: str) -> str:
        """HTML, with what is put in escaped. Raises NotifyError."""
        return self._expanded(self.templates.html, template)

    def secret(self, template: SecretStr | str) -> str:
        """A text that is a credential: an error says nothing of it. Raises NotifyError."""
        plain = template if isinstance(template, str) else template.get_secret_value()
        try:
            return self.templates.text(plain, self.data)
        except TemplateError:
            raise NotifyError("the template of a secret cannot be expanded", "misconfigured", retry=False) from None

    def deep(self, value: Any) -> Any:
        """A value with all its texts expanded, each then taken for what it is as YAML: `{{ len .Alerts }}` is a number.

        Keys that are no texts are left out. Raises NotifyError.
        """
        if isinstance(value, str):
            return _as_value(self.text(value))
        if isinstance(value, list):
            return [self.deep(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.deep(item) for key, item in value.items() if isinstance(key, str)}
        return as_json(value)

    def short(self, template: str, limit: int, what: str) -> str:
        """A text of at most `limit` characters; a longer one ends in `…`, and that is logged. Raises NotifyError."""
        text = self.text(template)
        if len(text) <= limit:
            return text
        log.warning("%s of %s is cut to %d characters", what, self.notification.group_key, limit)
        return f"{text[: limit - 1]}…"

    def _expanded(self, expand: Callable[[str, object], str], template: str) -> str:
        try:
            return expand(template, self.data)
        except TemplateError as error:
            raise NotifyError(str(error), "misconfigured", retry=False) from None


def _as_value(text: str) -> Any:
    if text.startswith(("[", "{")):
        # JSON is YAML, and a list of many alerts takes seconds as such
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    if _NO_VALUE.search(text) or _DEEP.search(text):
        return text
    try:
        found = as_json(value_of(text))
        orjson.dumps(found)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return text
    return text if isinstance(found, str) else found


def as_json(value: Any) -> Any:
    """A value of YAML as JSON has it: keys that are no texts are left out, integers of more than 64 bits are floats."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items() if isinstance(key, str)}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return float(value) if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64 else value


def key_hash(group_key: str) -> str:
    """A group's key as one that any receiver takes: 64 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(group_key.encode()).hexdigest()


def given(members: dict[str, Any]) -> dict[str, Any]:
    """The members that are not empty: Go's omitempty."""
    return {name: value for name, value in members.items() if value not in ("", None, [], {})}
