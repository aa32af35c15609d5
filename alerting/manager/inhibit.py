"""Inhibition: alerts that stay unsent while others fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alerting.config import InhibitRule
from alerting.manager.matching import MatcherIndex, all_match
from alerting.manager.table import AlertTable
from app.alert import Alert
from app.labels import Labels, Matcher

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Rule:
    place: int
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]
    sources: dict[_Key, dict[str, tuple[Alert, bool]]] = field(default_factory=dict)
    """Alerts the source side matches, by their `equal` labels, and whether the target side matches them as well."""

    def key(self, labels: Mapping[str, str]) -> _Key:
        # a label that both lack is equal
        return tuple(labels.get(name, "") for name in self.equal)


class Inhibitor:
    """Says which alerts inhibit a label set. Follows the alert table, and keeps an index of it."""

    def __init__(self, rules: Sequence[InhibitRule], table: AlertTable) -> None:
        self._rules = [_Rule(i, rule.source(), rule.target(), tuple(rule.equal)) for i, rule in enumerate(rules)]
        self._sources = MatcherIndex((rule.source, rule) for rule in self._rules)
        self._targets = MatcherIndex((rule.target, rule) for rule in self._rules)
        for known in table:
            self._put(known.alert)
        table.follow(self._put, self._remove)

    def inhibited_by(self, labels: Labels, now: datetime) -> list[str]:
        """The fingerprint of a firing alert that inhibits this label set, by the first rule that has one."""
        mapping = dict(labels)
        for rule in sorted(self._targets.candidates(labels), key=lambda rule: rule.place):
            sources = rule.sources.get(rule.key(mapping)) if rule.sources else None
            if not sources or not all_match(rule.target, mapping):
                continue
            # an alert that is both source and target cannot be inhibited by another such
            both = all_match(rule.source, mapping)
            for fingerprint, (alert, also_target) in sources.items():
                if not alert.resolved_at(now) and not (both and also_target):
                    return [fingerprint]
        return []

    def _put(self, alert: Alert) -> None:
        mapping = dict(alert.labels)
        for rule in self._sources.candidates(alert.labels):
            if all_match(rule.source, mapping):
                sources = rule.sources.setdefault(rule.key(mapping), {})
                sources[alert.fingerprint] = (alert, all_match(rule.target, mapping))

    def _remove(self, alert: Alert) -> None:
        mapping = dict(alert.labels)
        for rule in self._sources.candidates(alert.labels):
            key = rule.key(mapping)
            sources = rule.sources.get(key)
            if sources and sources.pop(alert.fingerprint, None) and not sources:
                del rule.sources[key]
