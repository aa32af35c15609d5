"""An SLO as the engine knows it, whichever file format it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from app.labels import Labels
from slo.period import DAY_MS, Period, Rolling

Language = Literal["promql", "logql"]
Op = Literal["lt", "lte", "gt", "gte"]
Format = Literal["sloth", "openslo", "pyrra"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query of an SLI over `{{.window}}`, PromQL or LogQL."""

    text: str
    language: Language = "promql"


@dataclass(frozen=True, slots=True)
class EventsSli:
    """Total events, and exactly one of the bad and the good ones among them, each a query that counts events."""

    bad: Query | None
    total: Query
    good: Query | None = None


@dataclass(frozen=True, slots=True)
class RatioSli:
    """A ready-made ratio (0 to 1) of what was bad, or good. It knows no events: each interval weighs 1."""

    ratio: Query
    of: Literal["bad", "good"] = "bad"


@dataclass(frozen=True, slots=True)
class ThresholdSli:
    """A measured value, taken at the end of each interval, which is good where `value op limit` holds and weighs 1."""

    value: Query
    op: Op
    limit: float


Sli = EventsSli | RatioSli | ThresholdSli


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The budget is a share of the events."""


@dataclass(frozen=True, slots=True)
class Timeslices:
    """The budget is a share of the slices; one is good where at least `target` (0 to 1) of its events were."""

    slice_ms: int
    target: float


@dataclass(frozen=True, slots=True)
class RatioTimeslices:
    """The budget is a share of the slices; each is as good as its own ratio, however many events it had."""

    slice_ms: int


Budgeting = Occurrences | Timeslices | RatioTimeslices


@dataclass(frozen=True, slots=True)
class Component:
    """What is measured against an objective (per cent, above 0 and at most 100). A composite SLO has several."""

    sli: Sli
    objective: float
    weight: float = 1.0
    name: str = ""
    timeslice_target: float | None = None
    """For a composite of time slices: its own target of a slice, else that of the SLO's budgeting."""


@dataclass(frozen=True, slots=True)
class BurnCondition:
    """Over each of these windows, longest first, the budget burns `op` (strictly faster than, by default) `factor`.

    A factor of 1 uses the budget up exactly at the end of the period.
    """

    windows_ms: tuple[int, ...]
    factor: Fraction
    op: Op = "gt"

    @property
    def long_ms(self) -> int:
        """The longest window."""
        return self.windows_ms[0]

    @property
    def short_ms(self) -> int:
        """The shortest window, the longest itself where there is one only."""
        return self.windows_ms[-1]


@dataclass(frozen=True, slots=True)
class BudgetCondition:
    """At least this share (1 is all of it) of the period's budget is used."""

    consumed: Fraction


@dataclass(frozen=True, slots=True)
class NoDataCondition:
    """Nothing at all is known of this window, though everything that is there was read that far."""

    window_ms: int


Condition = BurnCondition | BudgetCondition | NoDataCondition


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """An alert of an SLO: when it fires, and what it carries beside what the engine adds.

    It fires once any condition has held for `for_ms`. `key` names it within its SLO; `severity` is the file's own word.
    """

    key: str
    name: str
    severity: str
    conditions: tuple[Condition, ...]
    labels: Labels = ()
    annotations: Labels = ()
    for_ms: int = 0
    when_no_data: bool = False
    """Fires, too, when nothing is known of its shortest window."""
    tell_resolved: bool = True


@dataclass(frozen=True, slots=True)
class SloSpec:
    """One objective over a period. `objective` and `sla` are in per cent, 0 (OpenSLO) to 100.

    `labels` are those of the service and of the SLO together. With `grouping` there is an SLO for each combination of
    values of these labels in what the queries give; `group` is the combination of one of them.
    """

    name: str
    service: str
    objective: float
    components: tuple[Component, ...]
    budgeting: Budgeting = Occurrences()
    period: Period = field(default_factory=lambda: Rolling(30 * DAY_MS))
    alerts: tuple[AlertSpec, ...] = ()
    display_name: str = ""
    description: str = ""
    labels: Labels = ()
    grouping: tuple[str, ...] = ()
    group: Labels = ()
    sla: float | None = None
    format: Format = "sloth"
    file: str = field(default="", compare=False)
    line: int | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """`<service>-<slo>`, unique among all files; that of a group has its labels in braces behind."""
        group = ",".join(f'{name}="{value}"' for name, value in self.group)
        return f"{self.service}-{self.name}" + (f"{{{group}}}" if group else "")

    @property
    def composite(self) -> bool:
        """Whether it is made of several SLIs."""
        return len(self.components) > 1

    @property
    def windows_ms(self) -> tuple[int, ...]:
        """Every window its alerts look at, shortest first, none twice."""
        burns = {window for burn in self.burn_conditions() for window in burn.windows_ms}
        conditions = (condition for alert in self.alerts for condition in alert.conditions)
        silent = {condition.window_ms for condition in conditions if isinstance(condition, NoDataCondition)}
        return tuple(sorted(burns | silent))

    def burn_conditions(self) -> Iterator[BurnCondition]:
        """The burn conditions of all its alerts."""
        for alert in self.alerts:
            for condition in alert.conditions:
                if isinstance(condition, BurnCondition):
                    yield condition

    def alert(self, key: str) -> AlertSpec | None:
        """The alert of this key."""
        return next((alert for alert in self.alerts if alert.key == key), None)

    def of_group(self, group: Labels) -> SloSpec:
        """The SLO of one combination of values of its grouping."""
        return replace(self, group=group, grouping=())


def sli_key(sli: Sli, grouping: tuple[str, ...] = ()) -> str:
    """The name counts of an SLI are kept under: another one as soon as a query changes, as old counts are void then.

    Two SLOs that ask for the same have the same counts.
    """
    digest = hashlib.blake2b(repr((sli, grouping)).encode(), digest_size=12)
    return digest.hexdigest()
