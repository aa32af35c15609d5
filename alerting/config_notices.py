"""What a user should know about an Alertmanager file that is right: what is read and not acted upon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alerting.config import (
    DEFAULT_GROUP_INTERVAL_MS,
    DEFAULT_REPEAT_INTERVAL_MS,
    AlertmanagerConfig,
    Route,
    parse_alertmanager,
    read_alertmanager,
)
from alerting.httpconfig import HttpConfig
from alerting.matchers import advice
from alerting.template_files import load_templates
from alerting.templates.alertmanager import AlertTemplates
from app.gotemplate import TemplateError
from app.yamlfile import Document, KeyPath, dotted


def check_alertmanager(path: Path) -> list[str]:
    """The notices of a file, each with its line.

    Raises ConfigError as `load_alertmanager` does, and for files of templates that cannot be read.
    """
    document = read_alertmanager(path)
    config = parse_alertmanager(document, path.parent)
    templates = load_templates(config)
    told = [*found_in(config), *_matcher_advice(document.data), *_broken_templates(config, templates)]
    told.sort(key=lambda notice: document.line_of(notice[0]) or 0)
    return [_with_place(document, key, words) for key, words in told]


def notices(config: AlertmanagerConfig) -> list[str]:
    """What is read and not acted upon, and what may surprise, each with its key."""
    return [f"{dotted(key)}: {words}" for key, words in found_in(config)]


def _with_place(document: Document, key: KeyPath, words: str) -> str:
    line = document.line_of(key)
    return f"{document.file}:{line}: {dotted(key)}: {words}" if line else f"{document.file}: {dotted(key)}: {words}"


def found_in(config: AlertmanagerConfig) -> Iterator[tuple[KeyPath, str]]:
    """Keys, and what is to be said of each."""
    yield from _missing(config.global_, ("global",))
    if config.global_.http_config:
        yield from _http(("global", "http_config"), config.global_.http_config)
    for i, receiver in enumerate(config.receivers):
        unsent = receiver.unsent()
        for kind, entries in receiver.entries().items():
            for j, entry in enumerate(entries):
                key: KeyPath = ("receivers", i, kind, j)
                if kind in unsent:
                    yield key, f"not sent: Watchhouse has no notifier for it (receiver {receiver.name!r})"
                    continue
                yield from _missing(entry, key)
                if http := getattr(entry, "http_config", None):
                    yield from _http((*key, "http_config"), http)
    if config.tracing is not None:
        yield ("tracing",), "not used: Watchhouse's own traces are set in watchhouse.yaml"
    if config.event_recorder is not None:
        yield ("event_recorder",), "not used: nothing is recorded"
    for i, pattern in enumerate(config.templates):
        if not config.template_files(pattern):
            yield ("templates", i), "no file has this name"
    yield from _timers(config.route, ("route",), DEFAULT_GROUP_INTERVAL_MS, DEFAULT_REPEAT_INTERVAL_MS)


def _http(key: KeyPath, config: HttpConfig) -> Iterator[tuple[KeyPath, str]]:
    for name in config.refs():
        yield (*key, *name.split(".")), "not used: there is no secret manager; the request goes without it"


def _missing(value: BaseModel, key: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Files of secrets and certificates that cannot be read now: they are read when something is sent."""
    for where, file in _leaves(value, key):
        if isinstance(file, Path) and not os.access(file, os.R_OK):
            words = "cannot be read" if file.exists() else "is not there"
            yield where, f"{file} {words}: nothing that needs it can be sent"


def _timers(route: Route, key: KeyPath, interval_ms: int, repeat_ms: int) -> Iterator[tuple[KeyPath, str]]:
    interval_ms, repeat_ms = route.group_interval or interval_ms, route.repeat_interval or repeat_ms
    if (route.group_interval or route.repeat_interval) and repeat_ms < interval_ms:
        words = "is less than group_interval; notifications will not repeat until the next group_interval"
        yield (*key, "repeat_interval"), words
    for i, child in enumerate(route.routes):
        yield from _timers(child, (*key, "routes", i), interval_ms, repeat_ms)


def _broken_templates(config: AlertmanagerConfig, templates: AlertTemplates) -> Iterator[tuple[KeyPath, str]]:
    for i, receiver in enumerate(config.receivers):
        unsent = receiver.unsent()
        for kind, entries in receiver.entries().items():
            if kind not in unsent:
                for j, entry in enumerate(entries):
                    for key, text in _texts(entry, ("receivers", i, kind, j)):
                        yield from _broken(key, text, templates)
    yield from _broken_labels(config.route, ("route",), templates)


def _broken_labels(route: Route, key: KeyPath, templates: AlertTemplates) -> Iterator[tuple[KeyPath, str]]:
    for name, text in route.labels.items():
        yield from _broken((*key, "labels", name), text, templates)
    for i, child in enumerate(route.routes):
        yield from _broken_labels(child, (*key, "routes", i), templates)


def _broken(key: KeyPath, text: str, templates: AlertTemplates) -> Iterator[tuple[KeyPath, str]]:
    try:
        templates.check(text)
    except TemplateError as error:
        yield key, f"cannot be expanded, and nothing will be sent: {error}"


def _texts(value: Any, key: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text with a template in what is configured, with its key. Secrets are none of them."""
    for where, text in _leaves(value, key):
        if isinstance(text, str) and "{{" in text:
            yield where, text


def _leaves(value: Any, key: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from _leaves(getattr(value, name), (*key, info.alias or name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, (*key, str(name)))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(item, (*key, i))
    else:
        yield key, value


def _matcher_advice(data: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    yield from _advice_of_route(data["route"], ("route",))
    for i, rule in enumerate(data.get("inhibit_rules") or ()):
        for name in ("source_matchers", "target_matchers"):
            yield from _advice_of_list(rule.get(name), ("inhibit_rules", i, name))


def _advice_of_route(route: dict[str, Any], key: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    yield from _advice_of_list(route.get("matchers"), (*key, "matchers"))
    for i, child in enumerate(route.get("routes") or ()):
        yield from _advice_of_route(child, (*key, "routes", i))


def _advice_of_list(texts: list[str | None] | None, key: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    for i, text in enumerate(texts or ()):
        if text and (better := advice(text)):
            yield (*key, i), f"read by the classic syntax of matchers; better written {better}"
