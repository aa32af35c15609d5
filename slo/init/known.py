"""The metrics that a first SLO can be made from: known_metrics.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from app.yamlfile import StrictModel, read_documents, validate

DATA_FILE = "known_metrics.yaml"
_SUFFIX = re.compile(r"_(count|total)$")


class Counter(StrictModel):
    """A counter of requests; known_metrics.yaml says what its keys are."""

    metric: str
    by: tuple[str, ...]
    code: tuple[str, ...]
    errors: str
    where: str = ""
    histogram: str = ""
    unit: Literal["s", "ms"] = "s"

    def matches(self, name: str) -> bool:
        """Whether a metric of this name is one of these."""
        return re.fullmatch(self.metric, name) is not None

    def buckets(self, name: str, names: frozenset[str]) -> str | None:
        """The buckets that belong to a counter of this name, None where they are not among all names."""
        if self.histogram == "$0":
            candidates = [f"{_SUFFIX.sub('', name)}_bucket"]
        else:
            pattern = re.compile(f"(?:{self.histogram})_bucket")
            found = sorted(other for other in names if pattern.fullmatch(other))
            # shop_http_requests_total goes with shop_http_request_duration_seconds
            candidates = sorted(found, key=lambda other: -_common(other, name))
        return next((other for other in candidates if other in names), None)


class Gauge(StrictModel):
    """A gauge that is 1 or 0. `last`: only where nothing else is known of its service."""

    metric: str
    name: str
    by: tuple[str, ...]
    says: str
    grouping: tuple[str, ...] = ()
    last: bool = False


class _File(StrictModel):
    counters: tuple[Counter, ...]
    gauges: tuple[Gauge, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """Every metric that is known, most telling first."""

    counters: tuple[Counter, ...]
    gauges: tuple[Gauge, ...]


@cache
def known_metrics() -> Known:
    """What known_metrics.yaml says."""
    text = resources.files("slo.init").joinpath(DATA_FILE).read_text(encoding="utf-8")
    file = validate(read_documents(DATA_FILE, text)[0], _File)
    return Known(file.counters, file.gauges)


def _common(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
