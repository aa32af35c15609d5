"""IP addresses in a text: `ip("10.0.0.0/8")`, in line filters and label filters."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from app.query.logql.rows import literal
from app.query.logql.text import quoted
from app.query.promql.conditions import Parameters

_V4 = literal(r"[0-9][0-9.]{6,}")
_ZERO_BEFORE = literal(r"(^|\.)0[0-9]")
_V6 = literal(r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*")


@dataclass(frozen=True, slots=True)
class Addresses:
    """One address, those of a network, or those from one to another: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`."""

    pattern: str

    def condition(self, text: str, parameters: Parameters) -> str:
        """SQL of whether a text has one of them in it."""
        first, last = address_range(self.pattern)
        kind, candidates = ("IPv4", _V4) if isinstance(first, ipaddress.IPv4Address) else ("IPv6", _V6)
        bounds = [f"to{kind}({parameters.add(str(bound))})" for bound in (first, last)]
        inside = f"ifNull(to{kind}OrNull(t) >= {bounds[0]} AND to{kind}OrNull(t) <= {bounds[1]}, false)"
        if kind == "IPv4":
            # the engine takes 010.0.0.1 for an address, as Go does not
            inside += f" AND NOT match(t, {_ZERO_BEFORE})"
        return f"arrayExists(t -> {inside}, extractAll({text}, {candidates}))"

    def __str__(self) -> str:
        return f"ip({quoted(self.pattern)})"


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_range(pattern: str) -> tuple[_Address, _Address]:
    """The first and the last address of a pattern. Raises ValueError."""
    try:
        if "/" in pattern:
            network = ipaddress.ip_network(pattern, strict=False)
            return network[0], network[-1]
        first, dash, last = pattern.partition("-")
        found = ipaddress.ip_address(first.strip())
        end = ipaddress.ip_address(last.strip()) if dash else found
    except ValueError:
        raise ValueError(f"ip: invalid pattern: {quoted(pattern)}") from None
    if found.version != end.version or int(found) > int(end):
        raise ValueError(f"ip: invalid pattern: {quoted(pattern)}")
    return found, end
