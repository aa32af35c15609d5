"""Random Alertmanager configurations and streams of alerts and silences for them.

Many cases run in one process at once: each is a subtree of routes under `case="N"`, with receivers and inhibition
rules of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

LABELS = {"sev": ("page", "ticket", "info"), "team": ("a", "b", "c"), "zone": ("1", "2")}
NAMES = ("Burn", "Down", "Slow")
STEPS = 5
STEP_S = 2.0
"""Between two steps: a multiple of the intervals, so that a step is as far from the timers each time."""
WAITS = ("200ms", "250ms")
INTERVALS = ("400ms", "500ms")
RECEIVERS = 3
TIME_INTERVALS: list[dict[str, Any]] = [
    {"name": "always", "time_intervals": [{"years": ["2000:2100"]}]},
    {"name": "never", "time_intervals": [{"years": ["1990:1991"]}]},
]

AlertLabels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Step:
    """What happens at once: alerts that fire or end, silences that are set, and the numbers of those that expire."""

    firing: tuple[AlertLabels, ...] = ()
    ending: tuple[AlertLabels, ...] = ()
    silences: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Number and matchers of each."""
    expiring: tuple[int, ...] = ()


@dataclass
class Case:
    """A configuration as a part of a larger one, and its stream."""

    number: int
    route: dict[str, Any] = field(default_factory=dict)
    inhibit_rules: list[dict[str, Any]] = field(default_factory=list)
    receivers: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def make_case(number: int, seed: int) -> Case:
    """The case of a number: always the same for a seed."""
    return _Maker(number, random.Random(f"{seed}-{number}")).case()


def whole_config(cases: list[Case], url: str) -> dict[str, Any]:
    """The configuration that holds all cases; webhooks go below `url`."""
    receivers: list[dict[str, Any]] = [{"name": "nobody"}]
    for case in cases:
        for receiver in case.receivers:
            hooks = [
                {"url": f"{url}/{receiver['name']}/{i}", "send_resolved": send_resolved}
                for i, send_resolved in enumerate(receiver["send_resolved"])
            ]
            receivers.append({"name": receiver["name"], "webhook_configs": hooks})
    return {
        "global": {"resolve_timeout": "1h"},
        "route": {"receiver": "nobody", "group_wait": "100ms", "routes": [case.route for case in cases]},
        "inhibit_rules": [rule for case in cases for rule in case.inhibit_rules],
        "receivers": receivers,
        "time_intervals": TIME_INTERVALS,
    }


class _Maker:
    def __init__(self, number: int, rng: random.Random) -> None:
        self._rng = rng
        self._case = Case(number)
        self._prefix = f"r{number}"

    def case(self) -> Case:
        rng, case = self._rng, self._case
        for i in range(RECEIVERS):
            send_resolved = [rng.random() < 0.7 for _ in range(rng.choice((1, 1, 1, 2)))]
            case.receivers.append({"name": f"{self._prefix}-{i}", "send_resolved": send_resolved})
        case.route = {
            "matchers": [f'case="{case.number}"'],
            "receiver": f"{self._prefix}-0",
            "group_by": self._group_by(),
            "group_wait": rng.choice(WAITS),
            "group_interval": rng.choice(INTERVALS),
            "repeat_interval": "1100ms" if case.number % 10 == 0 else "1h",
            "routes": [self._route(1) for _ in range(rng.randint(0, 3))],
        }
        case.inhibit_rules = [self._inhibition() for _ in range(rng.choice((0, 1, 1, 2)))]
        case.steps = self._steps()
        return case

    def _route(self, depth: int) -> dict[str, Any]:
        rng = self._rng
        route: dict[str, Any] = {"matchers": self._matchers(1, 2)}
        if rng.random() < 0.7:
            route["receiver"] = f"{self._prefix}-{rng.randrange(RECEIVERS)}"
        if rng.random() < 0.5:
            route["group_by"] = self._group_by()
        if rng.random() < 0.3:
            route["group_wait"] = rng.choice(WAITS)
        if rng.random() < 0.3:
            route["group_interval"] = rng.choice(INTERVALS)
        if rng.random() < 0.4:
            route["continue"] = True
        if rng.random() < 0.15:
            route["mute_time_intervals"] = [rng.choice(("always", "never"))]
        if rng.random() < 0.15:
            route["active_time_intervals"] = [rng.choice(("always", "never"))]
        if depth < 3 and rng.random() < 0.4:
            route["routes"] = [self._route(depth + 1) for _ in range(rng.randint(1, 2))]
        return route

    def _group_by(self) -> list[str]:
        rng = self._rng
        if rng.random() < 0.15:
            return ["..."]
        return rng.sample(["alertname", "team", "zone", "sev"], rng.randint(0, 2))

    def _matchers(self, least: int, most: int) -> list[str]:
        names = self._rng.sample(list(LABELS), self._rng.randint(least, most))
        return [self._matcher(name) for name in names]

    def _matcher(self, name: str) -> str:
        rng = self._rng
        values = LABELS[name]
        match rng.choice(("=", "=", "!=", "=~", "!~")):
            case "=" | "!=" as op:
                return f'{name}{op}"{rng.choice((*values, ""))}"'
            case op:
                return f'{name}{op}"{"|".join(rng.sample(values, rng.randint(1, 2)))}"'

    def _inhibition(self) -> dict[str, Any]:
        rng = self._rng
        mine = f'case="{self._case.number}"'
        return {
            "source_matchers": [mine, *self._matchers(1, 2)],
            "target_matchers": [mine, *self._matchers(1, 2)],
            "equal": rng.sample(["alertname", "team", "zone", "missing"], rng.randint(0, 2)),
        }

    def _alert(self) -> AlertLabels:
        rng = self._rng
        labels = {"alertname": rng.choice(NAMES), "case": str(self._case.number)}
        labels |= {name: rng.choice(values) for name, values in LABELS.items() if rng.random() < 0.75}
        if rng.random() < 0.2:
            labels["job"] = rng.choice(("api", "db"))
        return tuple(sorted(labels.items()))

    def _steps(self) -> list[Step]:
        rng = self._rng
        alerts = sorted({self._alert() for _ in range(rng.randint(3, 9))})
        firing: set[AlertLabels] = set()
        silenced: list[int] = []
        steps, numbers = [], 0
        for i in range(STEPS):
            starts = tuple(a for a in alerts if rng.random() < (0.6 if i == 0 else 0.25))
            ends = tuple(a for a in sorted(firing) if a not in starts and rng.random() < 0.35)
            silences = []
            if rng.random() < 0.3:
                silences.append((numbers, (f'case="{self._case.number}"', *self._matchers(1, 2))))
                numbers += 1
            expiring = tuple(n for n in silenced if rng.random() < 0.4)
            silenced = [n for n in silenced if n not in expiring] + [n for n, _ in silences]
            firing = (firing | set(starts)) - set(ends)
            steps.append(Step(starts, ends, tuple(silences), expiring))
        return steps
