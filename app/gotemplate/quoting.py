"""Go's quoted strings: strconv.Quote and strconv.Unquote."""

from __future__ import annotations

import re
import unicodedata

from app.gotemplate.values import as_text

_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
}  # fmt: skip
_UNESCAPES = {value[1]: key for key, value in _ESCAPES.items()}
_PLAIN = re.compile(r"[ !#-\[\]-~]*\Z")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))", re.ASCII
)


def printable(character: str) -> bool:
    """Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols, and the ASCII space."""
    return character == " " or unicodedata.category(character)[0] in "LMNPS"


def described(character: str) -> str:
    """Go's %#U: `U+0041 'A'`."""
    code = f"U+{ord(character):04X}"
    return f"{code} '{character}'" if printable(character) else code


def quoted(text: str, quote: str = '"', *, ascii_only: bool = False) -> str:
    """A Go string literal; with `'` the literal of a character."""
    if quote == '"' and _PLAIN.match(text):
        return f'"{text}"'
    parts = []
    for character in text:
        code = ord(character)
        if character == quote:
            parts.append("\\" + quote)
        elif character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif 0xDC80 <= code <= 0xDCFF:
            parts.append(f"\\x{code - 0xDC00:02x}")
        elif printable(character) and (code < 0x80 or not ascii_only):
            parts.append(character)
        elif code < 0x20 or code == 0x7F:
            parts.append(f"\\x{code:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f"{quote}{''.join(parts)}{quote}"


def unquoted(literal: str) -> str:
    """What a string literal, quoted or raw, stands for. Raises ValueError("invalid syntax")."""
    if literal[0] == "`":
        return literal[1:-1].replace("\r", "")
    body = literal[1:-1]
    if "\\" not in body:
        return body
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        slash = body.find("\\", at)
        if slash < 0:
            slash = len(body)
        parts.append(body[at:slash].encode("utf-8", "surrogateescape"))
        if slash == len(body):
            break
        value, at = _unescaped(body, slash, literal[0])
        parts.append(value)
    return as_text(b"".join(parts))


def character_of(literal: str) -> int:
    """The code point of a character literal. Raises ValueError."""
    body = literal[1:]
    if body.startswith("\\"):
        value, at = _unescaped(body, 0, "'")
        text = value.decode("latin-1") if len(value) == 1 else value.decode("utf-8", "surrogatepass")
    elif not body or body[0] == "'":
        raise ValueError("invalid syntax")
    else:
        text, at = body[0], 1
    if body[at:] != "'":
        raise ValueError(f"malformed character constant: {literal}")
    return ord(text)


def _unescaped(text: str, at: int, quote: str) -> tuple[bytes, int]:
    match = _ESCAPE.match(text, at)
    if match is None:
        raise ValueError("invalid syntax")
    sign, byte, octal, short, long = match.groups()
    if sign is not None:
        if sign in "'\"" and sign != quote:
            raise ValueError("invalid syntax")
        return _UNESCAPES.get(sign, sign).encode(), match.end()
    if byte is not None or octal is not None:
        code = int(byte, 16) if byte is not None else int(octal, 8)
        if code > 255:
            raise ValueError("invalid syntax")
        return bytes([code]), match.end()
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return chr(code).encode(), match.end()
