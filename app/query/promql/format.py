"""Numbers as Prometheus writes them."""

from __future__ import annotations

import math
from decimal import Decimal


def format_value(value: float) -> str:
    """A float as Go's strconv.FormatFloat(v, 'f', -1, 64): the shortest that reads back, never with an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        return format(Decimal(text), "f")
    return text.removesuffix(".0")


def format_general(value: float) -> str:
    """A float as Go's strconv.FormatFloat(v, 'g', -1, 64): with an exponent below 1e-4 and from 1e6 on."""
    return _with_exponent(value, 1e-4, 1e6)


def format_json(value: float) -> str:
    """A float as Prometheus writes samples in JSON: with an exponent below 1e-6 and from 1e21 on."""
    return _with_exponent(value, 1e-6, 1e21)


def _with_exponent(value: float, least: float, most: float) -> str:
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if not math.isfinite(value) or least <= abs(value) < most:
        return format_value(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) + int(exponent) - 1
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    return f"{'-' * sign}{first}{'.' * bool(rest)}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"
