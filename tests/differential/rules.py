"""Random rules with unit tests that expect nothing, so that promtool says what it got."""

from __future__ import annotations

import random
from typing import Any

_LABELS: tuple[dict[str, str], ...] = (
    {},
    {"severity": "page"},
    {"a": "{{ $labels.a }}x"},
    {"b": ""},
    {"b": "{{ $value | humanize }}"},
)
_TEXTS = (
    "{{ $labels.a }} is {{ $value }}",
    '{{ range query "m" | sortByLabel "b" }}{{ .Labels.b }}:{{ .Value }} {{ end }}',
    "{{ if gt $value 2.0 }}much{{ else }}little{{ end }}",
    '{{ with query "sum(n)" }}{{ . | first | value | printf "%.3f" }}{{ end }}',
)


class RuleGenerator:
    """Rule files and files of tests for them, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def files(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(a rule file, a file of tests that names it rules.yml)."""
        groups = [
            {"name": f"g{n}", "rules": [self._rule(n, r) for r in range(self._random.randint(1, 4))]}
            for n in range(self._random.randint(1, 3))
        ]
        step = self._random.choice((30, 60))
        test = {
            "interval": f"{self._random.choice((30, 60))}s",
            "input_series": [self._series(n) for n in range(self._random.randint(2, 6))],
            "alert_rule_test": [
                {"eval_time": f"{self._random.randint(0, 7)}m", "alertname": alert}
                for alert in self._names(groups, "alert")
            ],
            "promql_expr_test": [
                {"expr": expr, "eval_time": f"{self._random.randint(0, 7)}m"}
                for expr in ["ALERTS", "ALERTS_FOR_STATE", *self._names(groups, "record")]
            ],
        }
        order = [group["name"] for group in groups]
        return {"groups": groups}, {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{step}s",
            "group_eval_order": order,
            "tests": [test],
        }

    def _names(self, groups: list[dict[str, Any]], key: str) -> list[str]:
        return sorted({rule[key] for group in groups for rule in group["rules"] if key in rule})

    def _rule(self, group: int, number: int) -> dict[str, Any]:
        pick = self._random
        expr = self._expression()
        labels = dict(pick.choice(_LABELS))
        if pick.random() < 0.5:
            plain = {name: value for name, value in labels.items() if "{{" not in value}
            return {"record": f"r{group}{number}", "expr": expr, "labels": plain}
        rule: dict[str, Any] = {
            "alert": f"A{group}{number}",
            "expr": f"({expr}) > {pick.randint(0, 3)}",
            "labels": labels,
        }
        rule["annotations"] = {"text": pick.choice(_TEXTS)}
        rule["for"] = f"{pick.choice((0, 0, 1, 2, 5))}m"
        if pick.random() < 0.4:
            rule["keep_firing_for"] = f"{pick.choice((1, 3))}m"
        return rule

    def _expression(self) -> str:
        pick = self._random
        metric = pick.choice(("m", "n", "m", "n", "r00", "r01", "r10"))
        selector = metric + pick.choice(("", '{a="1"}', '{a!="1"}', '{b=~"x|y"}'))
        window = pick.choice(("95s", "155s", "305s"))
        return pick.choice(
            (
                selector,
                f"sum by (a) ({selector})",
                f"max({selector})",
                f"{selector} * 2",
                f"max_over_time({selector}[{window}])",
                f"count_over_time({selector}[{window}])",
                f"absent({selector})",
                f"{selector} > bool 1",
                f"{selector} unless n",
                f"sum({selector}) or vector(1)",
                f"changes({selector}[{window}])",
                f"quantile(0.5, {selector})",
            )
        )

    def _series(self, number: int) -> dict[str, str]:
        pick = self._random
        labels = f'{{a="{number % 3}", b="{"xyz"[number % 3]}{number // 3}"}}'
        items: list[str] = []
        for _ in range(pick.randint(2, 8)):
            # no gap of five minutes: a version 2 still sees what is exactly so long ago
            if items and items[-1] == "_":
                items.append(str(pick.randint(0, 4)))
            items.append(
                pick.choice(
                    (
                        f"{pick.randint(0, 4)}x{pick.randint(0, 4)}",
                        f"{pick.randint(0, 4)}+{pick.randint(1, 2)}x{pick.randint(1, 4)}",
                        f"{pick.randint(2, 6)}-1x{pick.randint(1, 4)}",
                        "stale",
                        "_",
                    )
                )
            )
        return {"series": f"{pick.choice('mn')}{labels}", "values": " ".join([*items, "stale"])}
