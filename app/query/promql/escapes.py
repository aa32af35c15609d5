"""Byte escapes in strings: two that are one character of UTF-8 are two characters for the parser."""

from __future__ import annotations

import re

from app.errors import BadQuery

_STRING = re.compile(r"""\#[^\n]*|`[^`]*`|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.DOTALL)
_BYTES = re.compile(r"((?:\\x[89a-fA-F][0-9a-fA-F]|\\[23][0-7]{2})+)|\\.", re.DOTALL)
_BYTE = re.compile(r"\\x([0-9a-fA-F]{2})|\\([0-7]{3})")


def without_byte_escapes(text: str) -> str:
    """The text with the characters that byte escapes stand for. Raises BadQuery where they are no UTF-8."""
    if "\\" not in text:
        return text
    return _STRING.sub(lambda string: string[0] if string[1] is None else _BYTES.sub(_decoded, string[1]), text)


def _decoded(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    found = bytes(
        int(hexadecimal, 16) if hexadecimal else int(octal, 8) for hexadecimal, octal in _BYTE.findall(match[1])
    )
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise BadQuery(f"{match[1]} in a string is no UTF-8") from None
