"""The rules Sloth generated for our own specs, as tests read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slo.files import read_files
from slo.spec import SloSpec
from slo.windows import load_windows

FOLDER = Path(__file__).parent / "fixtures" / "sloth_generated"
PERIODS = ("30d", "28d")


@dataclass(frozen=True)
class Rule:
    """A recording rule or an alert: `name` is the metric or the alertname."""

    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]
    alerts: bool


def sloth_rules(period: str) -> dict[str, list[Rule]]:
    """The rules for a period by SLO id, in their order."""
    document = yaml.safe_load((FOLDER / f"shop-{period}.rules.yml").read_text(encoding="utf-8"))
    found: dict[str, list[Rule]] = {}
    for group in document["groups"]:
        slo = next(spec.id for spec in our_specs(period) if group["name"].endswith(f"-{spec.id}"))
        found.setdefault(slo, []).extend(_rule(rule) for rule in group["rules"])
    return found


def our_specs(period: str) -> tuple[SloSpec, ...]:
    """The SLOs Watchhouse reads from the same file, with the windows for the same period."""
    windows = load_windows() if period == "30d" else load_windows(FOLDER / f"windows-{period}.yml")
    return read_files([FOLDER / "shop.yml"], windows).specs


def _rule(rule: dict[str, Any]) -> Rule:
    name = rule.get("record") or rule["alert"]
    return Rule(name, rule["expr"], rule.get("labels", {}), rule.get("annotations", {}), "alert" in rule)
