"""What went wrong in a unit test, as promtool writes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from alerting.rules.testing.notation import write_labels
from app.durations import format_duration_ms
from app.labels import Labels
from app.query.promql.quote import quoted


@dataclass(frozen=True, slots=True, order=True)
class ShownAlert:
    """An alert that fires, or should."""

    labels: Labels
    annotations: Labels


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample that a query gives, or should; `histogram` is its notation, "" for a float."""

    labels: Labels
    value: float
    histogram: str


def alert_difference(name: str, at: str, expected: Sequence[ShownAlert], found: Sequence[ShownAlert]) -> str:
    """That other alerts fire than expected."""
    exp, got = (_indented(_alerts(some), "            ") for some in (expected, found))
    return f"    alertname: {name}, time: {at}, \n        exp:{exp}, \n        got:{got}"


def sample_difference(expr: str, at: str, expected: Sequence[ShownSample], found: Sequence[ShownSample]) -> str:
    """That a query gives other samples than expected."""
    exp, got = (", ".join(map(_sample, some)) or "nil" for some in (expected, found))
    return f"    expr: {quoted(expr)}, time: {at},\n        exp: {exp}\n        got: {got}"


def duration_text(ms: int) -> str:
    """A duration as Prometheus writes it."""
    return format_duration_ms(ms)


def go_duration(ms: int) -> str:
    """A duration as Go writes it: `1h0m0s`, `1.5s`, `0s`."""
    if 0 < abs(ms) < 1000:
        return f"{ms}ms"
    seconds, rest = divmod(abs(ms), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds}" + (f".{rest:03d}".rstrip("0") if rest else "") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return f"-{text}" if ms < 0 else text


def exponent(value: float) -> str:
    """A float as Go's strconv.FormatFloat(v, 'E', -1, 64): `1.5E+00`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, power = Decimal(repr(value)).normalize().as_tuple()
    power = 0 if value == 0 else int(power) + len(digits) - 1
    rest = "".join(map(str, digits[1:]))
    return f"{'-' * sign}{digits[0]}{'.' * bool(rest)}{rest}E{'-' if power < 0 else '+'}{abs(power):02d}"


def _sample(sample: ShownSample) -> str:
    return f"{write_labels(sample.labels)} {sample.histogram or exponent(sample.value)}"


def _alerts(alerts: Sequence[ShownAlert]) -> str:
    if not alerts:
        return "[]"
    parts = (
        f"\n{n}:" + _indented(f"\nLabels:{write_labels(one.labels)}\nAnnotations:{write_labels(one.annotations)}", "  ")
        for n, one in enumerate(alerts)
    )
    return "[" + ",".join(parts) + "\n]"


def _indented(text: str, indent: str) -> str:
    return text.replace("\n", f"\n{indent}")
