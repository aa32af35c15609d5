"""OTLP names → Prometheus names, as Prometheus's own translation does with its default strategy.

The rules are those of "OTLP metric points to Prometheus" in the OpenTelemetry specification and of
prometheus/otlptranslator (UnderscoreEscapingWithSuffixes): a sender moves here from Prometheus without a new name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

Kind = Literal["gauge", "counter", "updown", "histogram", "summary"]
"""What a metric is, as far as its name depends on it. `updown` is a sum that is not monotonic."""

_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_NOT_IN_METRIC_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABEL_NAMES = re.compile(r"[^a-zA-Z0-9_]")


@functools.lru_cache(maxsize=16_384)
def metric_name(name: str, unit: str, kind: Kind) -> str:
    """The Prometheus name of a metric, with the suffixes its unit and kind ask for.

    Raises ValueError when nothing of the name can stand in a Prometheus name.
    """
    tokens = [token for token in _NOT_IN_METRIC_NAMES.split(name) if token]
    if not tokens:
        raise ValueError(f"metric name {name!r} has no character that a Prometheus name may have")
    tokens += [token for token in _unit_suffixes(unit) if token and token not in tokens]
    if kind == "counter":
        tokens = [*(t for t in tokens if t != "total"), "total"]
    if kind == "gauge" and unit == "1":
        tokens = [*(t for t in tokens if t != "ratio"), "ratio"]
    joined = "_".join(tokens)
    return "_" + joined if joined[0].isdigit() else joined


def _unit_suffixes(unit: str) -> tuple[str, str]:
    """(suffix of the unit, suffix of what it is per); "" where there is none, as for an annotation in braces."""
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = "" if "{" in main or "}" in main else _UNITS.get(main, main)
    per = "" if "{" in per or "}" in per else _PER_UNITS.get(per, per)
    per = _clean(per)
    return _clean(main), f"per_{per}" if per else ""


def _clean(unit: str) -> str:
    return _NOT_IN_METRIC_NAMES.sub("_", unit).strip("_")


@functools.lru_cache(maxsize=65_536)
def label_name(name: str) -> str:
    """The Prometheus label name of an attribute: `http.method` → `http_method`, `2xx` → `key_2xx`, `_a` → `key_a`.

    Raises ValueError for a name that would be empty or of underscores alone.
    """
    clean = _NOT_IN_LABEL_NAMES.sub("_", name)
    if not clean or (clean != name and not clean.strip("_")):
        raise ValueError(f"attribute name {name!r} has no character that a label name may have")
    if clean[0].isdigit():
        return "key_" + clean
    if clean.startswith("_") and not clean.startswith("__"):
        return "key" + clean
    return clean


def merged_labels(attributes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Label names → values; the values of attributes whose names become one are joined by `;` in the names' order.

    Raises ValueError as `label_name` does.
    """
    labels: dict[str, str] = {}
    for key, value in sorted(attributes, key=lambda pair: pair[0]):
        name = label_name(key)
        labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


def bound_text(bound: float) -> str:
    """A bucket's bound or a quantile as Go writes it without an exponent: `5`, `0.005`, `+Inf`."""
    if bound != bound:
        return "NaN"
    if bound in (float("inf"), float("-inf")):
        return "+Inf" if bound > 0 else "-Inf"
    text = format(Decimal(repr(bound)), "f")
    return text[:-2] if text.endswith(".0") else text
