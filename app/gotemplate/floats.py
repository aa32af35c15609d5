"""Go's texts of floats: strconv.FormatFloat."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Literal

Form = Literal["e", "E", "f", "g", "G", "x", "X", "b"]
# from this exponent on the shortest %g is scientific, however many digits there are
_LARGE = 6
_DIGITS = "[0-9](?:_?[0-9])*"
_DECIMAL = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?\Z", re.ASCII)
_HEX_DIGITS = "[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_HEXADECIMAL = re.compile(
    rf"[+-]?0[xX]_?(?:{_HEX_DIGITS}(?:\.(?:{_HEX_DIGITS})?)?|\.{_HEX_DIGITS})[pP][+-]?{_DIGITS}\Z", re.ASCII
)
_WORDS = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}


def format_float(value: float, form: Form, precision: int = -1) -> str:
    """A float in one of Go's forms; precision -1 is the fewest digits that are read back as the same float."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    value = abs(value)
    if form == "f":
        text = f"{value:.{precision}f}" if precision >= 0 else _positional(value)
        return sign + text
    if form in "eE":
        return sign + (f"{value:.{precision}{form}}" if precision >= 0 else _scientific(value, form))
    if form in "xX":
        return sign + _hexadecimal(value, form, precision)
    if form == "b":
        exponent = max(math.frexp(value)[1] - 53, -1074) if value else -1074
        return f"{sign}{int(math.ldexp(value, -exponent))}p{exponent:+d}"
    return sign + _shorter(value, "e" if form == "g" else "E", precision)


def parse_float(text: str) -> float:
    """A float as strconv.ParseFloat reads it. Raises ValueError: "invalid syntax" or "value out of range"."""
    sign = -1 if text[:1] == "-" else 1
    word = _WORDS.get((text[1:] if text[:1] in ("+", "-") else text).lower())
    if word is not None and (math.isinf(word) or text.lower() == "nan"):
        return sign * word
    try:
        if _HEXADECIMAL.match(text):
            return float.fromhex(text.replace("_", ""))
    except OverflowError:
        raise ValueError("value out of range") from None
    if not _DECIMAL.match(text):
        raise ValueError("invalid syntax")
    value = float(text.replace("_", ""))
    if math.isinf(value):
        raise ValueError("value out of range")
    return value


def shortest(value: float) -> str:
    """A float as `{{.}}` prints it."""
    return format_float(value, "g")


def _digits(value: float) -> tuple[str, int]:
    """The shortest digits of a positive float, and where the point is: 0.digits x 10^point."""
    if value == 0:
        return "0", 1
    mantissa, _, exponent = f"{Decimal(repr(value)):e}".lower().partition("e")
    digits = mantissa.replace(".", "").rstrip("0") or "0"
    return digits, int(exponent or 0) + 1


def _positional(value: float) -> str:
    digits, point = _digits(value)
    if point <= 0:
        return "0." + "0" * -point + digits
    whole = digits[:point].ljust(point, "0")
    return f"{whole}.{digits[point:]}" if len(digits) > point else whole


def _scientific(value: float, sign: str) -> str:
    digits, point = _digits(value)
    exponent = 0 if value == 0 else point - 1
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{rest}{sign}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _shorter(value: float, sign: str, precision: int) -> str:
    """%g: positional unless the exponent is small or large."""
    if precision >= 0:
        text = f"{value:.{precision or 1}g}"
        return text if sign == "e" else text.upper()
    _, point = _digits(value)
    exponent = point - 1
    return _positional(value) if value == 0 or -4 <= exponent < _LARGE else _scientific(value, sign)


def _hexadecimal(value: float, form: str, precision: int) -> str:
    mark = "p" if form == "x" else "P"
    if value == 0:
        text = "0x0" + (f".{'0' * precision}" if precision > 0 else "") + "p+00"
        return text if form == "x" else text.upper()
    mantissa, exponent = math.frexp(value)
    bits, exponent = int(mantissa * 2**53), exponent - 1
    if precision >= 0 and precision < 13:
        drop = 4 * (13 - precision)
        half, rest = 1 << (drop - 1), bits & ((1 << drop) - 1)
        bits >>= drop
        bits += rest > half or (rest == half and bits & 1)
        bits <<= drop
        if bits >> 53:
            bits, exponent = bits >> 1, exponent + 1
    fraction = f"{bits & ((1 << 52) - 1):013x}"
    fraction = fraction.rstrip("0") if precision < 0 else fraction[:precision].ljust(precision, "0")
    text = f"0x{bits >> 52}{'.' if fraction else ''}{fraction}"
    return f"{text if form == 'x' else text.upper()}{mark}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
