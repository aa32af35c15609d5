"""Inhibition: alerts that stay unsent while others fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alerting.config import InhibitRule
from alerting.manager.table import AlertTable
from app.alert import Alert
from app.labels import Labels, Matcher

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Rule:
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]
    sources: dict[_Key, list[tuple[Alert, bool]]] = field(default_factory=dict)
    """Alerts the source side matches, by their `equal` labels, and whether the target side matches them as well."""

    def key(self, labels: Mapping[str, str]) -> _Key:
        return tuple(labels.get(name, "") for name in self.equal)


class Inhibitor:
    """Says which alerts inhibit a label set. Reads the alert table, and keeps an index of it."""

    def __init__(self, rules: Sequence[InhibitRule], table: AlertTable) -> None:
        self._rules = [_Rule(rule.source(), rule.target(), tuple(rule.equal)) for rule in rules]
        self._table = table
        self._indexed = -1

    def inhibited_by(self, labels: Labels, now: datetime) -> list[str]:
        """The fingerprint of a firing alert that inhibits this label set, by the first rule that has one."""
        if not self._rules:
            return []
        self._refresh()
        mapping = dict(labels)
        for rule in self._rules:
            if not _all(rule.target, mapping):
                continue
            # an alert that is both source and target cannot be inhibited by another such
            both = _all(rule.source, mapping)
            for alert, also_target in rule.sources.get(rule.key(mapping), ()):
                if not alert.resolved_at(now) and not (both and also_target):
                    return [alert.fingerprint]
        return []

    def _refresh(self) -> None:
        if self._indexed == self._table.version:
            return
        self._indexed = self._table.version
        for rule in self._rules:
            rule.sources = {}
        for known in self._table:
            mapping = dict(known.alert.labels)
            for rule in self._rules:
                if _all(rule.source, mapping):
                    also_target = _all(rule.target, mapping)
                    rule.sources.setdefault(rule.key(mapping), []).append((known.alert, also_target))


def _all(matchers: tuple[Matcher, ...], labels: Mapping[str, str]) -> bool:
    return all(m.matches_labels(labels) for m in matchers)
