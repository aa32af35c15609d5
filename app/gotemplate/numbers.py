"""Go's number literals in templates: a number is everything its syntax and value allow, and the context chooses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.gotemplate.floats import parse_float
from app.gotemplate.quoting import character_of, quoted

_INTEGER = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>(?:_?[0-9a-fA-F])+)|0[bB](?P<bin>(?:_?[01])+)|0[oO](?P<oct>(?:_?[0-7])+)"
    r"|0(?P<old>(?:_?[0-7])+)|(?P<dec>0|[1-9](?:_?[0-9])*))\Z"
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "old": 8, "dec": 10}
_LEAST, _MOST, _MOST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1


@dataclass(frozen=True, slots=True)
class Literal:
    """A number as whatever it can be; None is what it cannot be."""

    integer: int | None = None
    unsigned: int | None = None
    floating: float | None = None
    complex_: complex | None = None


def literal_of(text: str, kind: str) -> Literal:
    """What the text of a "number", "complex" or "character" token is. Raises ValueError in Go's words."""
    if kind == "character":
        code = character_of(text)
        return Literal(code, code, float(code))
    if kind == "complex":
        split = max(text.rfind("+"), text.rfind("-"))
        if text[split - 1] in "eEpP":
            split = max(text.rfind("+", 0, split), text.rfind("-", 0, split))
        return _complex(complex(parse_float(text[:split]), parse_float(text[split:-1])))
    if text.endswith("i"):
        try:
            return _complex(complex(0, parse_float(text[:-1])))
        except ValueError:
            raise ValueError(f"illegal number syntax: {quoted(text)}") from None
    integer = _integer(text)
    if integer is not None and _LEAST <= integer <= _MOST_UNSIGNED:
        signed = integer if integer <= _MOST else None
        unsigned = integer if integer == 0 or (integer > 0 and text[0] not in "+-") else None
        return _real(text, signed, unsigned)
    return _fromparse_float(text)


def _real(text: str, signed: int | None, unsigned: int | None) -> Literal:
    if signed is None and unsigned is None:
        return _fromparse_float(text)
    return Literal(signed, unsigned, float(signed if signed is not None else unsigned or 0))


def _fromparse_float(text: str) -> Literal:
    try:
        value = parse_float(text)
    except ValueError:
        raise ValueError(f"illegal number syntax: {quoted(text)}") from None
    if not any(sign in text for sign in ".eEpP"):
        raise ValueError(f"integer overflow: {quoted(text)}")
    whole = int(value) if value == value // 1 else None
    return Literal(
        whole if whole is not None and _LEAST <= whole <= _MOST else None,
        whole if whole is not None and 0 <= whole <= _MOST_UNSIGNED else None,
        value,
    )


def _complex(value: complex) -> Literal:
    if value.imag:
        return Literal(complex_=value)
    real = value.real
    whole = int(real) if real == real // 1 and abs(real) < 2.0**63 else None
    return Literal(whole, whole if whole is not None and whole >= 0 else None, real, value)


def _integer(text: str) -> int | None:
    match = _INTEGER.match(text)
    if match is None:
        return None
    for name, base in _BASES.items():
        if match[name] is not None:
            value = int(match[name].replace("_", ""), base)
            return -value if match["sign"] == "-" else value
    return None
