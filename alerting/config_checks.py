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


def cross_check(document: Document, data: Any) -> list[Problem]:
    """Every mistake between receivers, routes and time intervals, in Alertmanager's words.

    `data` is the document's, with plain values.
    """
    if not isinstance(data, dict):
        return []
    receivers = list(_items(data, "receivers"))
    intervals = [*_items(data, "mute_time_intervals"), *_items(data, "time_intervals")]
    found = _names(document, receivers, "notification config name")
    found += _names(document, intervals, "time interval")
    settings = data.get("global")
    for path, receiver in receivers:
        found += _receiver(document, path, receiver, settings if isinstance(settings, dict) else {})
    for path, rule in _items(data, "inhibit_rules"):
        found += _inhibit_rule(document, path, rule)
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
        if name is None or name == "":
            found.append(document.problem((*path, "name"), f"missing name in {path[0]}"))
            continue
        if str(name) in seen:
            found.append(document.problem((*path, "name"), f"{what} {name!r} is not unique"))
        seen.add(str(name))
    return found


_FROM_GLOBAL: dict[str, list[tuple[str, str, str]]] = {
    "opsgenie": [("api_key", "opsgenie_api_key", "no global OpsGenie API Key set either inline or in a file")],
    "victorops": [("api_key", "victorops_api_key", "no global VictorOps API Key set")],
    "wechat": [
        ("api_secret", "wechat_api_secret", "no global Wechat Api Secret set either inline or in a file"),
        ("corp_id", "wechat_api_corp_id", "no global Wechat CorpID set"),
    ],
    "telegram": [("bot_token", "telegram_bot_token", "missing bot_token or bot_token_file on telegram_config")],
    "jira": [("api_url", "jira_api_url", "no global Jira Cloud URL set")],
    "rocketchat": [
        ("token_id", "rocketchat_token_id", "no global Rocketchat TokenID set either inline or in a file"),
        ("token", "rocketchat_token", "no global Rocketchat Token set either inline or in a file"),
    ],
    "mattermost": [
        (
            "webhook_url",
            "mattermost_webhook_url",
            "missing webhook_url or webhook_url_file on mattermost_config",
        )
    ],
    "email": [
        ("smarthost", "smtp_smarthost", "no global SMTP smarthost set"),
        ("from", "smtp_from", "no global SMTP from set"),
    ],
}
"""What a receiver must have itself or from `global`, in place or in a file: its key, the key of `global`, the words."""


def _receiver(
    document: Document, path: KeyPath, receiver: dict[str, Any], settings: dict[str, Any]
) -> Iterator[Problem]:
    for kind, wanted in _FROM_GLOBAL.items():
        for (key, i), entry in _items(receiver, f"{kind}_configs"):
            for own, common, words in wanted:
                if not _has(entry, own) and not _has(settings, common):
                    yield document.problem((*path, key, i), words)
    for (key, i), slack in _items(receiver, "slack_configs"):
        message = _slack(slack, settings)
        if message:
            yield document.problem((*path, key, i), message)


def _has(settings: dict[str, Any], key: str) -> bool:
    return any(settings.get(name) not in (None, "") for name in (key, f"{key}_file"))


def _slack(slack: dict[str, Any], settings: dict[str, Any]) -> str:
    own = slack.get("http_config")
    authorized = isinstance(own, dict) and bool(own.get("authorization"))
    token = _has(slack, "app_token")
    if not token and not authorized and not slack.get("api_url"):
        token = _has(settings, "slack_app_token")
    if not token and not _has(slack, "api_url") and not _has(settings, "slack_api_url"):
        return "no Slack API URL nor App token set either inline or in a file"
    common = settings.get("http_config")
    if own is None and isinstance(common, dict):
        authorized = bool(common.get("authorization"))
    return "http authorization can't be set when using Slack App tokens" if token and authorized else ""


def _inhibit_rule(document: Document, path: KeyPath, rule: dict[str, Any]) -> Iterator[Problem]:
    for key in ("source_match", "source_match_re", "target_match", "target_match_re"):
        yield from _label_names(document, (*path, key), rule.get(key))
    equal = rule.get("equal")
    for i, name in enumerate(equal if isinstance(equal, list) else []):
        if name == "":
            yield document.problem((*path, "equal", i), "invalid label name '' in equal list")


def _label_names(document: Document, path: KeyPath, names: Any) -> Iterator[Problem]:
    for name, value in names.items() if isinstance(names, dict) else ():
        if not _LABEL_NAME.match(str(name)):
            yield document.problem((*path, str(name)), f"invalid label name {str(name)!r}")
        elif value is None and str(path[-1]).endswith("match_re"):
            yield document.problem((*path, str(name)), f"invalid regexp value for {str(name)!r}")


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
        found += _label_names(document, (*path, key), route.get(key))
    if isinstance(labels := route.get("labels"), dict) and "" in labels:
        found.append(document.problem((*path, "labels"), "invalid label name '' in route labels"))
    return found + _group_by(document, path, route.get("group_by"))


def _group_by(document: Document, path: KeyPath, names: Any) -> list[Problem]:
    found = []
    seen: set[Any] = set()
    for i, name in enumerate(names if isinstance(names, list) else []):
        at = (*path, "group_by", i)
        if name is None or isinstance(name, list | dict) or name == "":
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
