"""Patterns, as in `<method> <path> <_>`: literal text between captures. Of two line filters and of a parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CAPTURE = re.compile(r"<([a-zA-Z_][a-zA-Z0-9_]*)>")


@dataclass(frozen=True, slots=True)
class Capture:
    """A place for any text; `_` is a name for what nobody wants."""

    name: str

    @property
    def named(self) -> bool:
        """Whether its text is wanted."""
        return self.name != "_"


Part = str | Capture


def pattern_parts(pattern: str) -> tuple[Part, ...]:
    """The literals and captures of a pattern. Raises ValueError where two captures have nothing between them."""
    parts: list[Part] = []
    end = 0
    for match in _CAPTURE.finditer(pattern):
        if match.start() > end:
            parts.append(pattern[end : match.start()])
        elif parts:
            raise ValueError(f"found consecutive capture '<{_last_name(parts)}>{match[0]}'")
        parts.append(Capture(match[1]))
        end = match.end()
    return (*parts, pattern[end:]) if end < len(pattern) else tuple(parts)


def _last_name(parts: list[Part]) -> str:
    last = parts[-1]
    return last.name if isinstance(last, Capture) else last


def check_filter(pattern: str) -> None:
    """Raises ValueError unless a pattern is one for a line filter: nothing in it may be named."""
    for part in pattern_parts(pattern):
        if isinstance(part, Capture) and part.named:
            raise ValueError(f"named captures are not allowed: found '<{part.name}>'")


def check_parser(pattern: str) -> None:
    """Raises ValueError unless a pattern is one for the parser: something in it is named, and nothing twice."""
    names = [part.name for part in pattern_parts(pattern) if isinstance(part, Capture) and part.named]
    if not names:
        raise ValueError("at least one capture is required")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"duplicate capture name ({twice})")
