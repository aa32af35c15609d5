"""The service's own metrics of one rule group."""

from __future__ import annotations

from app.telemetry import (
    RULE_EVALUATIONS,
    RULE_FAILURES,
    RULE_GROUP_SECONDS,
    RULE_LAST_EVALUATION,
    RULE_LATE,
    RULE_MISSED,
    RULES,
)

_PER_GROUP = (RULE_EVALUATIONS, RULE_FAILURES, RULE_GROUP_SECONDS, RULE_LAST_EVALUATION, RULE_LATE, RULE_MISSED, RULES)


class GroupMetrics:
    """The metrics of a group, each there from the beginning."""

    def __init__(self, key: str, rules: int) -> None:
        self._key = key
        self.evaluations = RULE_EVALUATIONS.labels(key)
        self.failures = RULE_FAILURES.labels(key)
        self.seconds = RULE_GROUP_SECONDS.labels(key)
        self.last = RULE_LAST_EVALUATION.labels(key)
        self.late = RULE_LATE.labels(key)
        self.missed = RULE_MISSED.labels(key)
        self.set_rules(rules)

    def set_rules(self, rules: int) -> None:
        """How many rules the group has."""
        RULES.labels(self._key).set(rules)

    def remove(self) -> None:
        """Forgets a group that is not there any more."""
        for metric in _PER_GROUP:
            metric.remove(self._key)
