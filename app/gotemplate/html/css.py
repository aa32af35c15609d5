"""CSS in templates: escapes, and which values may be put in."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[\t\n\f\r ])?|(.))", re.DOTALL)
_NAME_SIGN = re.compile("[a-zA-Z0-9_\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff-]")
_UNSAFE = re.compile("[\0\"'()/;@\\[\\\\\\]`{}<>]|(?<=-)-")
_NOT_ASCII_NAME = re.compile(r"[^a-zA-Z0-9_]")
_SPECIAL = re.compile("[\0\t\n\f\r\"&'()+/:;<>\\\\{}]")


def css_decoded(text: str) -> str:
    """CSS with its escapes undone."""
    return _ESCAPE.sub(_decoded, text) if "\\" in text else text


def _decoded(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        return match[2]
    code = int(digits, 16)
    if code <= 0x10FFFF:
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
    return chr(code // 16) + digits[-1] + match[0][len(digits) + 1 :]


def ends_with_url(text: str) -> bool:
    """Whether CSS ends with the word `url`."""
    return text[-3:].lower() == "url" and not _NAME_SIGN.match(text[-4:-3])


def css_escaped(text: str) -> str:
    """Text for a string of CSS."""

    def escape(match: re.Match[str]) -> str:
        if match[0] == "\\":
            return "\\\\"
        following = text[match.end() : match.end() + 1]
        space = " " if following == "" or following in "0123456789abcdefABCDEF\t\n\f\r " else ""
        return f"\\{ord(match[0]):x}{space}"

    return _SPECIAL.sub(escape, text)


def css_value(text: str) -> str | None:
    """A value that is harmless in CSS (a number, a word, a colour), None for another."""
    decoded = css_decoded(text)
    if _UNSAFE.search(decoded):
        return None
    letters = "".join(_NOT_ASCII_NAME.sub("", decoded)).lower()
    return None if "expression" in letters or "mozbinding" in letters else decoded
