"""What must hold between the parts of an Alertmanager file, checked on the plain data.

It works on data that may be wrong in every other way too, so that one run reports all mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from app.errors import Problem
from app.yamlfile import Document, KeyPath, nearest

_LABEL_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
Node = tuple[KeyPath, dict[str, Any]]


def cross_check(document: Document) -> list[Problem]:
    """Every mistake between receivers, routes and time intervals, in Alertmanager's words."""
    data = document.data
    if not isinstance(data, dict):
        return []
    receivers = list(_items(data, "receivers"))
    intervals = [*_items(data, "mute_time_intervals"), *_items(data, "time_intervals")]
    found = _names(document, receivers, "notification config name")
    found += _names(document, intervals, "time interval")
    found += _slack_urls(document, data, receivers)
    root = data.get("route")
    if root is None:
        return [*found, document.problem(("route",), "no route provided in config")]
    if isinstance(root, dict):
        found += _root(document, root)
        known = (_known(receivers), _known(intervals))
        for path, route in _routes(("route",), root):
            found += _route(document, path, route, *known)
    return found


def _items(data: dict[str, Any], key: str) -> Iterator[Node]:
    items = data.get(key)
    for i, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            yield (key, i), item


def _routes(path: KeyPath, route: dict[str, Any]) -> Iterator[Node]:
    yield path, route
    for (key, i), child in _items(route, "routes"):
        yield from _routes((*path, key, i), child)


def _known(nodes: list[Node]) -> list[str]:
    return [str(node["name"]) for _, node in nodes if node.get("name") is not None]


def _names(document: Document, nodes: list[Node], what: str) -> list[Problem]:
    seen: set[str] = set()
    found = []
    for path, node in nodes:
        name = node.get("name")
        if name == "":
            found.append(document.problem((*path, "name"), f"missing name in {path[0]}"))
        if isinstance(name, str) and name in seen:
            found.append(document.problem((*path, "name"), f"{what} {name!r} is not unique"))
        seen.add(str(name))
    return found


def _slack_urls(document: Document, data: dict[str, Any], receivers: list[Node]) -> list[Problem]:
    settings = data.get("global")
    ways = ("slack_api_url", "slack_api_url_file", "slack_app_token", "slack_app_token_file")
    if isinstance(settings, dict) and any(settings.get(key) for key in ways):
        return []
    own = ("api_url", "api_url_file", "app_token", "app_token_file")
    return [
        document.problem((*path, *slack_path), "no Slack API URL nor App token set either inline or in a file")
        for path, receiver in receivers
        for slack_path, slack in _items(receiver, "slack_configs")
        if not any(slack.get(key) for key in own)
    ]


def _root(document: Document, root: dict[str, Any]) -> list[Problem]:
    found = []
    if not root.get("receiver"):
        found.append(document.problem(("route",), "root route must specify a default receiver"))
    for key in ("matchers", "match", "match_re"):
        if root.get(key):
            found.append(document.problem(("route", key), "root route must not have any matchers"))
    for key, words in (("mute_time_intervals", "mute"), ("active_time_intervals", "active")):
        if root.get(key):
            found.append(document.problem(("route", key), f"root route must not have any {words} time intervals"))
    if root.get("continue"):
        found.append(document.problem(("route", "continue"), "cannot have continue in root route"))
    return found


def _route(
    document: Document, path: KeyPath, route: dict[str, Any], receivers: list[str], intervals: list[str]
) -> list[Problem]:
    found = []
    receiver = route.get("receiver")
    if receiver and str(receiver) not in receivers:
        message = f"undefined receiver {str(receiver)!r} used in route" + _hint(str(receiver), receivers)
        found.append(document.problem((*path, "receiver"), message))
    for key in ("mute_time_intervals", "active_time_intervals"):
        names = route.get(key)
        for i, name in enumerate(names if isinstance(names, list) else []):
            if str(name) not in intervals:
                message = f"undefined time interval {str(name)!r} used in route" + _hint(str(name), intervals)
                found.append(document.problem((*path, key, i), message))
    for key in ("match", "match_re"):
        names = route.get(key)
        for name in names if isinstance(names, dict) else {}:
            if not _LABEL_NAME.match(str(name)):
                found.append(document.problem((*path, key, str(name)), f"invalid label name {str(name)!r}"))
    return found + _group_by(document, path, route.get("group_by"))


def _group_by(document: Document, path: KeyPath, names: Any) -> list[Problem]:
    found = []
    seen: set[Any] = set()
    for i, name in enumerate(names if isinstance(names, list) else []):
        at = (*path, "group_by", i)
        if not isinstance(name, str) or (name != "..." and not name):
            found.append(document.problem(at, f"invalid label name {name!r} in group_by list"))
        elif name == "..." and len(names) > 1:
            message = "cannot have wildcard group_by (`...`) and other labels at the same time"
            found.append(document.problem(at, message))
        elif name in seen:
            found.append(document.problem(at, f"duplicated label {name!r} in group_by"))
        else:
            seen.add(name)
    return found


def _hint(word: str, known: list[str]) -> str:
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else ""
