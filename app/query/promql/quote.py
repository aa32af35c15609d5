"""Text as Go quotes it: in errors and in queries written anew."""

from __future__ import annotations

_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\"}


def quoted(text: str) -> str:
    """A string as Go's strconv.Quote writes it."""
    return '"' + "".join(_written(c, '"') for c in text) + '"'


def quoted_character(character: str) -> str:
    """A character as Go's strconv.QuoteRune writes it."""
    return f"'{_written(character, chr(39))}'"


def code_point(character: str) -> str:
    """A character as Go's %#U writes it: `U+0064 'd'`, without the character where it cannot be shown."""
    shown = f" '{character}'" if character.isprintable() else ""
    return f"U+{ord(character):04X}{shown}"


def _written(character: str, quote: str) -> str:
    if character == quote:
        return f"\\{quote}"
    if character.isprintable() and character != "\\":
        return character
    known = _ESCAPES.get(character)
    code = ord(character)
    if known:
        return known
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
