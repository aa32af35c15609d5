"""How the alerts of a rule go on from one evaluation to the next: a pure function, as AlertingRule.Eval of Prometheus.

Times are in milliseconds since the epoch, and are those of evaluations, not of clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from app.labels import Labels

State = Literal["pending", "firing", "inactive"]
RESOLVED_RETENTION_MS = 900_000
"""So long an alert that has ended is told again, for those who did not hear of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the query says of one alert now."""

    value: float
    annotations: Labels = ()


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """An alert that is pending or firing, or has ended a short while ago. Its labels are its key."""

    state: State
    active_ms: int
    """Since when its query gives it."""
    value: float
    annotations: Labels = ()
    fired_ms: int | None = None
    resolved_ms: int | None = None
    keep_firing_since_ms: int | None = None
    """Since when only `keep_firing_for` keeps it firing."""
    sent_ms: int | None = None
    """The evaluation at which it was told last."""

    @property
    def present(self) -> bool:
        """Whether it is pending or firing."""
        return self.state != "inactive"

    def earlier(self, by_ms: int) -> ActiveAlert:
        """The same, with all its times moved back."""
        times = (self.active_ms, self.fired_ms, self.resolved_ms, self.keep_firing_since_ms, self.sent_ms)
        active_ms, fired_ms, resolved_ms, keep_ms, sent_ms = (None if at is None else at - by_ms for at in times)
        return ActiveAlert(
            self.state, active_ms or 0, self.value, self.annotations, fired_ms, resolved_ms, keep_ms, sent_ms
        )


Alerts = Mapping[Labels, ActiveAlert]


def advance(
    old: Alerts,
    found: Mapping[Labels, Found],
    at_ms: int,
    *,
    for_ms: int,
    keep_firing_ms: int,
    held: Callable[[Labels, ActiveAlert], bool] = lambda labels, alert: False,
    step_ms: int = 0,
) -> dict[Labels, ActiveAlert]:
    """The alerts after an evaluation that gave `found`.

    An alert that was not found is over, unless it is `held`: where nobody could have seen it, it stays as it is, and
    the `step_ms` until now do not count for its `for`.
    """
    alerts: dict[Labels, ActiveAlert] = {}
    for labels, alert in old.items():
        seen = found.get(labels)
        if seen is not None and alert.present:
            alerts[labels] = _fired(
                replace(alert, value=seen.value, annotations=seen.annotations, keep_firing_since_ms=None),
                at_ms,
                for_ms,
            )
        elif seen is None and alert.present and held(labels, alert):
            shifted = alert.active_ms + step_ms if alert.state == "pending" else alert.active_ms
            alerts[labels] = replace(alert, active_ms=shifted)
        elif seen is None:
            after = _unseen(alert, at_ms, for_ms, keep_firing_ms)
            if after is not None:
                alerts[labels] = after
    for labels, seen in found.items():
        if labels not in alerts:
            alerts[labels] = _fired(ActiveAlert("pending", at_ms, seen.value, seen.annotations), at_ms, for_ms)
    return alerts


def _unseen(alert: ActiveAlert, at_ms: int, for_ms: int, keep_firing_ms: int) -> ActiveAlert | None:
    if alert.state == "pending":
        return None
    if alert.resolved_ms is not None:
        return None if at_ms - alert.resolved_ms > RESOLVED_RETENTION_MS else alert
    if keep_firing_ms:
        since_ms = at_ms if alert.keep_firing_since_ms is None else alert.keep_firing_since_ms
        alert = replace(alert, keep_firing_since_ms=since_ms)
        if at_ms - since_ms < keep_firing_ms:
            return _fired(alert, at_ms, for_ms)
    return replace(alert, state="inactive", resolved_ms=at_ms)


def _fired(alert: ActiveAlert, at_ms: int, for_ms: int) -> ActiveAlert:
    waited = at_ms - alert.active_ms >= for_ms
    if alert.state == "pending" and waited:
        return replace(alert, state="firing", fired_ms=at_ms)
    if alert.state == "firing" and not waited:
        # the rule's `for` was made longer
        return replace(alert, state="pending", fired_ms=None, sent_ms=None, keep_firing_since_ms=None)
    return alert


def needs_sending(alert: ActiveAlert, at_ms: int, resend_ms: int) -> bool:
    """Whether receivers are to be told of an alert after an evaluation: what is new, and all of it now and then."""
    if alert.state == "pending":
        return False
    if alert.sent_ms is None or (alert.resolved_ms is not None and alert.resolved_ms > alert.sent_ms):
        return True
    return alert.sent_ms + resend_ms < at_ms
