"""Relabelling, as Prometheus documents it: rules that rewrite, keep or drop label sets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import re2
from pydantic import BeforeValidator, Field, field_validator, model_validator

from app.labels import anchored
from app.yamlfile import StrictModel

Action = Literal[
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
]
DEFAULT_REGEX = "(.*)"
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TARGET_TEMPLATE = re.compile(r"(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+", re.ASCII)
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)
_WANTS_TARGET = {"replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"}
_PLAIN_TARGET = _WANTS_TARGET - {"replace"}


class RelabelRule(StrictModel):
    """One entry of relabel_configs or metric_relabel_configs."""

    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    target_label: str = ""
    regex: Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int | float) else v)] = DEFAULT_REGEX
    modulus: int = Field(0, ge=0)
    replacement: Annotated[str, BeforeValidator(lambda v: "" if v is None else str(v))] = "$1"
    action: Annotated[Action, BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v)] = "replace"

    @field_validator("source_labels")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name:
                raise ValueError("a label name is empty")
        return names

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            anchored(pattern)
        except re2.error as error:
            reason = error.args[0] if error.args else ""
            shown = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
            raise ValueError(f"not an RE2 pattern: {shown}") from None
        return pattern

    @model_validator(mode="after")
    def _fits(self) -> RelabelRule:
        action, target = self.action, self.target_label
        if action == "hashmod" and not self.modulus:
            raise ValueError("action hashmod wants a modulus above 0")
        if action in _WANTS_TARGET and not target:
            raise ValueError(f"action {action} wants target_label")
        if action == "replace" and not _TARGET_TEMPLATE.fullmatch(target):
            raise ValueError(f"{target!r} cannot be a target_label")
        if action in _PLAIN_TARGET and not LABEL_NAME.fullmatch(target):
            raise ValueError(f"{target!r} cannot be a target_label of action {action}")
        if action == "labelmap" and not _TARGET_TEMPLATE.fullmatch(self.replacement):
            raise ValueError(f"{self.replacement!r} cannot be the replacement of action labelmap")
        self._refuse_unused()
        return self

    def _refuse_unused(self) -> None:
        allowed: dict[str, set[str]] = {
            "labeldrop": {"regex"},
            "labelkeep": {"regex"},
            "dropequal": {"source_labels", "target_label"},
            "keepequal": {"source_labels", "target_label"},
        }
        if self.action not in allowed:
            return
        defaults = type(self).model_fields
        for name in self.model_fields_set - allowed[self.action] - {"action"}:
            if getattr(self, name) != defaults[name].default:
                raise ValueError(f"action {self.action} takes no {name}")


def relabel(labels: dict[str, str], rules: Sequence[RelabelRule]) -> bool:
    """Applies rules in their order to `labels`, in place. False when the label set is to be dropped.

    A label with an empty value is an absent one; none is left behind.
    """
    return all(_apply(labels, rule) for rule in rules)


def _apply(labels: dict[str, str], rule: RelabelRule) -> bool:
    action, pattern = rule.action, anchored(rule.regex)
    if action == "labelmap":
        for name, value in list(labels.items()):
            found = pattern.search(name)
            if found is not None:
                _set(labels, expand(rule.replacement, found), value)
    elif action in ("labeldrop", "labelkeep"):
        for name in [n for n in labels if (pattern.search(n) is not None) == (action == "labeldrop")]:
            del labels[name]
    else:
        value = rule.separator.join([labels.get(name, "") for name in rule.source_labels])
        return _apply_to_value(labels, rule, value, pattern)
    return True


def _apply_to_value(labels: dict[str, str], rule: RelabelRule, value: str, pattern: Any) -> bool:
    match rule.action:
        case "keep":
            return pattern.search(value) is not None
        case "drop":
            return pattern.search(value) is None
        case "keepequal":
            return labels.get(rule.target_label, "") == value
        case "dropequal":
            return labels.get(rule.target_label, "") != value
        case "lowercase":
            _set(labels, rule.target_label, value.lower())
        case "uppercase":
            _set(labels, rule.target_label, value.upper())
        case "hashmod":
            digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
            _set(labels, rule.target_label, str(int.from_bytes(digest[8:], "big") % rule.modulus))
        case _:
            found = pattern.search(value)
            if found is not None:
                target = expand(rule.target_label, found)
                if LABEL_NAME.fullmatch(target):
                    _set(labels, target, expand(rule.replacement, found))
    return True


def expand(template: str, found: Any) -> str:
    """A template with `$1`, `${1}`, `$name` and `${name}` filled in; `$$` is `$`, an unknown group is empty."""

    def fill(variable: re.Match[str]) -> str:
        name = variable[1] or variable[2]
        if name is None:
            return "$"
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _VARIABLE.sub(fill, template) if "$" in template else template


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)
