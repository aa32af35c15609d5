"""How an alert goes on from one evaluation to the next: the same for the live engine and a backtest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlertState:
    """Inactive (neither is set), pending, or firing. Times are of evaluations, in milliseconds since the epoch."""

    pending_ms: int | None = None
    """The first evaluation since which its conditions hold."""
    firing_ms: int | None = None
    """Since when it fires."""

    @property
    def active(self) -> bool:
        """Whether it is pending or firing."""
        return self.pending_ms is not None


INACTIVE = AlertState()


def advance(old: AlertState, at_ms: int, *, firing: bool, held: bool, for_ms: int) -> AlertState:
    """The state after an evaluation.

    As in Prometheus an alert is pending from the first evaluation at which its conditions hold, and fires at the first
    one that is `for_ms` or more after that (`for: 0` at once). One evaluation that says no ends it. One that cannot
    tell (held) leaves it as it is: pending stays pending, with its time.
    """
    if firing:
        pending_ms = at_ms if old.pending_ms is None else old.pending_ms
        due = old.firing_ms is None and at_ms - pending_ms >= for_ms
        return AlertState(pending_ms, at_ms if due else old.firing_ms)
    return old if held else INACTIVE
