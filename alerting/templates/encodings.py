"""URLs' and base64's ways to write texts, undone with Go's messages for what is wrong."""

from __future__ import annotations

import base64
import re
import string

from app.gotemplate import CallError
from app.gotemplate.quoting import quoted
from app.gotemplate.values import as_bytes, as_text

_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})?")
_ALPHABET = frozenset((string.ascii_letters + string.digits + "-_").encode())


def query_unescaped(text: str) -> str:
    """A text out of a URL's query: url.QueryUnescape. Raises CallError."""
    data = as_bytes(text)
    for match in _PERCENT.finditer(data):
        if match[1] is None:
            raise CallError(f"invalid URL escape {quoted(as_text(data[match.start() : match.start() + 3]))}")
    return as_text(_PERCENT.sub(lambda match: bytes([int(match[1], 16)]), data.replace(b"+", b" ")))


def base64_encoded(text: str) -> str:
    """A text in the URL-safe base64, padded."""
    return base64.urlsafe_b64encode(as_bytes(text)).decode()


def base64_decoded(text: str) -> str:
    """A text out of the URL-safe base64, padded. Raises CallError."""
    data = as_bytes(text)
    signs = [(at, sign) for at, sign in enumerate(data) if sign not in b"\r\n"]
    count = next((n for n, (_, sign) in enumerate(signs) if sign not in _ALPHABET), len(signs))
    padding = -count % 4
    rest = signs[count:]
    if (rest and rest[0][1] != ord("=")) or (rest and padding not in (1, 2)):
        raise _corrupt(rest[0][0])
    if len(rest) < padding or count % 4 == 1:
        raise _corrupt(len(data) if rest else len(data) - (count % 4 if padding else 0))
    if padding == 2 and rest[1][1] != ord("="):
        raise _corrupt(rest[1][0] - 1)
    if len(rest) > padding:
        raise _corrupt(rest[padding][0])
    return as_text(base64.urlsafe_b64decode(bytes(sign for _, sign in signs)))


def _corrupt(at: int) -> CallError:
    return CallError(f"illegal base64 data at input byte {at}")
