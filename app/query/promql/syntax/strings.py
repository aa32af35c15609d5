"""Strings: how far they reach in a text, what is wrong with them, and what they say."""

from __future__ import annotations

import re

from app.query.promql.quote import code_point

_ESCAPE = (
    r"\\(?:[abfnrtv\\{quote}]|[0-3][0-7]{{2}}|x[0-9a-fA-F]{{2}}|u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}}"
    r"|U(?:0000(?![dD][89a-fA-F])|000[1-9a-fA-F]|0010)[0-9a-fA-F]{{4}})"
)
_NO_CHARACTERS = "\ufffd\ud800-\udfff"
_STRINGS = {
    quote: re.compile(rf"{quote}(?:[^{quote}\\\n{_NO_CHARACTERS}]|{_ESCAPE.format(quote=quote)})*{quote}")
    for quote in "\"'"
} | {"`": re.compile(f"`[^`{_NO_CHARACTERS}]*`")}
_READ = re.compile(r"\\(?:([0-7]{3})|x(..)|u(.{4})|U(.{8})|(.))|[^\\]+", re.DOTALL)
_SINGLE = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_DIGITS = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}
_LAST_CHARACTER = 0x10FFFF
_HARD = re.compile(r"\\(?:x[89a-fA-F]|[23][0-7])")


def string_end(text: str, start: int) -> int:
    """Where the string ends that begins there; -1 where it is wrong."""
    match = _STRINGS[text[start]].match(text, start)
    return -1 if match is None else match.end()


def wrong_with(text: str, start: int) -> str:
    """What is wrong with the string that begins there, in the words of Prometheus."""
    quote, at = text[start], start + 1
    while at < len(text):
        character = text[at]
        if re.match(f"[{_NO_CHARACTERS}]", character):
            return "invalid UTF-8 rune"
        if character == quote or (character == "\n" and quote != "`"):
            break
        if character == "\\" and quote != "`":
            problem, at = _escape(text, at + 1, quote)
            if problem:
                return problem
        else:
            at += 1
    return "unterminated raw string" if quote == "`" else "unterminated quoted string"


def _escape(text: str, at: int, quote: str) -> tuple[str, int]:
    # what is wrong with an escape, or where it ends
    kind = text[at : at + 1]
    if kind and kind in f"abfnrtv\\{quote}":
        return "", at + 1
    if not kind:
        return "escape sequence not terminated", at
    if kind not in "01234567xuU":
        return f"unknown escape sequence {code_point(kind)}", at
    length, base = _DIGITS.get(kind, (3, 8))
    at += base == 16
    for i in range(at, at + length):
        digit = text[i : i + 1]
        if not digit:
            return "escape sequence not terminated", i
        if digit not in "0123456789abcdefABCDEF"[: 8 if base == 8 else None]:
            return f"illegal character {code_point(digit)} in escape sequence", i
    code = int(text[at : at + length], base)
    wrong = code > (255 if length < 4 else _LAST_CHARACTER) or 0xD800 <= code < 0xE000
    return "escape sequence is an invalid Unicode code point" if wrong else "", at + length


def string_value(literal: str) -> str:
    """What a good string says. Raises UnicodeDecodeError where its bytes are no UTF-8."""
    inner = literal[1:-1]
    if literal[0] == "`" or "\\" not in inner:
        return inner
    return b"".join(_bytes(match) for match in _READ.finditer(inner)).decode()


def _bytes(match: re.Match[str]) -> bytes:
    octal, byte, short, long, single = match.groups()
    if octal or byte:
        return bytes([int(octal, 8) if octal else int(byte, 16)])
    if short or long:
        return chr(int(short or long, 16)).encode()
    return (_SINGLE.get(single, single) if single else match[0]).encode()


def plainly(literal: str, value: str) -> str | None:
    """The string as any reader takes it: without byte escapes, and not raw if it has a backslash; None if it is so."""
    if "\\" not in literal or (literal[0] != "`" and not _HARD.search(literal)):
        return None
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
