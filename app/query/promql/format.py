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
