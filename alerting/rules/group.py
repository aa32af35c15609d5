"""A group of rules under way: its rules evaluated in order, each seeing what the ones before it recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np

from alerting.rules.evaluate import AlertMaker, Sample, alert_samples, check_limit, recorded, vector_of
from alerting.rules.expand import Expander, reason
from alerting.rules.spec import Group, Rule
from alerting.rules.state import ActiveAlert, advance
from app.errors import WatchhouseError
from app.labels import Labels
from app.query.result import QueryResult
from app.store.metrics import STALE_NAN_BITS

log = logging.getLogger(__name__)
STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
Health = Literal["unknown", "ok", "err"]


class Samples(Protocol):
    """What a group reads and where its samples go, at the time of one evaluation. May block."""

    def instant(self, query: str) -> QueryResult:
        """The answer to a query at the evaluation's time, less the group's offset. Raises WatchhouseError."""

    def record(self, samples: Sequence[Sample]) -> Future[None]:
        """Takes samples at that time, which queries see from now on. What it gives is done when they are kept.

        It has a WatchhouseError where they cannot be.
        """

    def flush(self) -> Future[None]:
        """Sends on what was recorded; nothing is kept for certain before."""


@dataclass(slots=True)
class RuleRun:
    """A rule, its alerts, and how its last evaluation went. `last_ms` is the clock's time, `seconds` how long it took.

    `series` are those its last good evaluation gave.
    """

    rule: Rule
    alerts: dict[Labels, ActiveAlert] = field(default_factory=dict)
    series: dict[Labels, None] = field(default_factory=dict)
    unseen: set[Labels] = field(default_factory=set)
    """Alerts of before a stop that the query has not given since."""
    health: Health = "unknown"
    error: str = ""
    last_ms: int = 0
    seconds: float = 0.0
    maker: AlertMaker = field(init=False)

    def __post_init__(self) -> None:
        self.maker = AlertMaker(self.rule)

    @property
    def state(self) -> Literal["unknown", "inactive", "pending", "firing"]:
        """The state of the alert that is furthest, as Prometheus shows it."""
        if not self.last_ms:
            return "unknown"
        states = {alert.state for alert in self.alerts.values()}
        return "firing" if "firing" in states else "pending" if "pending" in states else "inactive"

    def carried_on(self, before: RuleRun) -> None:
        """Goes on where another run of the same rule stands."""
        self.alerts, self.series, self.unseen = before.alerts, before.series, before.unseen
        self.health, self.error = before.health, before.error
        self.last_ms, self.seconds = before.last_ms, before.seconds


@dataclass(slots=True)
class Evaluated:
    """What an evaluation gave: how many rules failed, and what each of the others recorded."""

    failed: int = 0
    kept: list[tuple[RuleRun, Future[None], dict[Labels, None]]] = field(default_factory=list)
    ended: Future[None] | None = None
    """Of the stale markers of rules that are no more."""
    lost: list[tuple[RuleRun, Labels, ActiveAlert]] = field(default_factory=list)
    """Alerts that fired and were not ended by their query: they wait for a longer `for`, or are over the limit."""
    cut: bool = False
    """Whether some rules were left out, so that the whole is to be evaluated again."""

    @property
    def waiting(self) -> list[Future[None]]:
        """What is not kept yet."""
        every = [future for _, future, _ in self.kept] + ([self.ended] if self.ended else [])
        return [future for future in every if not future.done()]


class GroupRun:
    """A group under way. One evaluation at a time; others may read `rules` meanwhile."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.rules = [RuleRun(rule) for rule in group.rules]
        self.stale: dict[Labels, None] = {}
        """Series of rules that are no more: the next evaluation ends them."""
        self.slot_ms = 0
        """The time of the last evaluation."""
        self.last_ms = 0
        self.seconds = 0.0

    def carried_on(self, before: GroupRun) -> None:
        """Goes on where the group stood before its file changed: rules of the same name and labels keep their state."""
        left = list(before.rules)
        for run in self.rules:
            same = next((old for old in left if _same(old.rule, run.rule)), None)
            if same is not None:
                left.remove(same)
                run.carried_on(same)
        self.stale = dict(before.stale)
        for old in left:
            self.stale.update(old.series)
        self.slot_ms, self.last_ms, self.seconds = before.slot_ms, before.last_ms, before.seconds

    def evaluate(
        self,
        at_ms: int,
        samples: Samples,
        expand: Expander,
        *,
        hold: bool = False,
        blind: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Evaluated:
        """Evaluates every rule at a time; call `settle` when what was recorded is kept.

        `blind`: nothing was scraped around this time, so no alert is ended. With `hold` those that were not seen since
        such a time are not either. Rules after `stopping` says so are left out.
        """
        begun, done = time.monotonic(), Evaluated()
        step_ms = at_ms - self.slot_ms if self.slot_ms else self.group.interval_ms
        for run in self.rules:
            if stopping():
                done.cut = True
                break
            first = time.monotonic()
            try:
                before = run.alerts
                try:
                    vector = self._vector(run, at_ms, samples, expand, (hold, blind), step_ms)
                finally:
                    done.lost += _lost(run, before, at_ms)
                ended = [Sample(labels, STALE) for labels in run.series if labels not in vector]
                done.kept.append((run, samples.record([*vector.values(), *ended]), dict.fromkeys(vector)))
                run.health, run.error = "ok", ""
            except WatchhouseError as error:
                run.health, run.error = "err", reason(error)
                done.failed += 1
            except Exception as error:
                # a mistake of ours in one rule ends no other
                log.exception("the rule %s of %s failed", run.rule.name, self.group.key)
                run.health, run.error = "err", f"internal error: {type(error).__name__}"
                done.failed += 1
            run.seconds, run.last_ms = time.monotonic() - first, int(time.time() * 1000)
        if self.stale:
            alive = {labels for _, _, series in done.kept for labels in series}
            done.ended = samples.record([Sample(labels, STALE) for labels in self.stale if labels not in alive])
        samples.flush()
        if not done.cut:
            self.slot_ms = at_ms
        self.seconds, self.last_ms = time.monotonic() - begun, int(time.time() * 1000)
        return done

    def settle(self, done: Evaluated) -> None:
        """Notes how the samples of an evaluation were kept; all of its futures are done."""
        for run, future, series in done.kept:
            error = future.exception()
            if error is None:
                run.series = series
            else:
                run.health, run.error = "err", reason(error)
                done.failed += 1
        if done.ended is not None and done.ended.exception() is None:
            self.stale = {}

    def passed_over(self, ms: int) -> None:
        """Notes that a time was not evaluated: it does not count for what is pending."""
        for run in self.rules:
            for labels, alert in run.alerts.items():
                if alert.state == "pending":
                    run.alerts[labels] = replace(alert, active_ms=alert.active_ms + ms)

    def clock_set_back(self, to_ms: int) -> None:
        """Goes on as if the last evaluation had been at an earlier time: what has begun is as old as it was."""
        by_ms, self.slot_ms = self.slot_ms - to_ms, to_ms
        for run in self.rules:
            run.alerts = {labels: alert.earlier(by_ms) for labels, alert in run.alerts.items()}

    def alerts(self) -> Iterator[tuple[RuleRun, Labels, ActiveAlert]]:
        """Every alert of the group, ended ones among them."""
        for run in self.rules:
            for labels, alert in list(run.alerts.items()):
                yield run, labels, alert

    def sent(self, told: Sequence[tuple[RuleRun, Labels, ActiveAlert]], at_ms: int) -> None:
        """Notes that receivers were told of some alerts after the evaluation at a time."""
        for run, labels, alert in told:
            if run.alerts.get(labels) is alert:
                run.alerts[labels] = replace(alert, sent_ms=at_ms)

    def _vector(
        self, run: RuleRun, at_ms: int, samples: Samples, expand: Expander, hold: tuple[bool, bool], step_ms: int
    ) -> dict[Labels, Sample]:
        rule, limit = run.rule, self.group.limit
        vector = vector_of(samples.instant(rule.expr))
        if rule.kind == "recording":
            return {sample.labels: sample for sample in recorded(rule, vector, limit)}
        found = run.maker.found(vector, expand)
        held, blind = hold
        if blind:
            run.unseen.update(run.alerts, found)
        else:
            run.unseen.difference_update(found)
        alerts = advance(
            run.alerts,
            found,
            at_ms,
            for_ms=rule.for_ms,
            keep_firing_ms=rule.keep_firing_ms,
            held=lambda labels, alert: blind or (held and labels in run.unseen),
            step_ms=step_ms,
        )
        try:
            check_limit(alerts, limit)
        except WatchhouseError:
            run.alerts = {}
            raise
        run.alerts = alerts
        return {sample.labels: sample for sample in alert_samples(rule, alerts)}


def _lost(run: RuleRun, before: dict[Labels, ActiveAlert], at_ms: int) -> Iterator[tuple[RuleRun, Labels, ActiveAlert]]:
    now = run.alerts
    for labels, alert in before.items() if now is not before else ():
        if alert.state == "firing" and (labels not in now or now[labels].state == "pending"):
            yield run, labels, replace(alert, state="inactive", resolved_ms=at_ms)


def _same(one: Rule, other: Rule) -> bool:
    return (one.kind, one.name, one.labels) == (other.kind, other.name, other.labels)
