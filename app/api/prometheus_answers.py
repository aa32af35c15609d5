"""The envelope of Prometheus's answers, and their compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import cramjam
import orjson
from fastapi import Request, Response
from isal import isal_zlib

Encoding = Literal["", "gzip", "zstd"]
_SMALL = 1024
"""Answers below this many bytes fit a packet or two, and are sent as they are."""
_GZIP_LEVEL, _ZSTD_LEVEL = 1, 1
"""The fastest: JSON of samples gets to a fifth of its size and hardly smaller at higher levels."""
_GZIP_FORMAT = 31
"""zlib's number for the largest window, in a gzip file."""


def success(data: Any, warnings: Sequence[str] = (), encoding: Encoding = "") -> Response:
    """An answer that holds `data`."""
    notes = {"warnings": list(warnings)} if warnings else {}
    return answer(orjson.dumps({"status": "success", "data": data, **notes}), encoding)


def answer(body: bytes, encoding: Encoding = "") -> Response:
    """An answer that is JSON already, compressed as asked for. Blocks for as long as the answer is large."""
    headers = {"Vary": "Accept-Encoding"}
    if encoding and len(body) >= _SMALL:
        headers["Content-Encoding"] = encoding
        if encoding == "gzip":
            # a third of the time of zlib, and no larger
            body = isal_zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_FORMAT)
        else:
            body = bytes(cramjam.zstd.compress(body, level=_ZSTD_LEVEL))
    return Response(body, headers=headers, media_type="application/json")


def accepted(request: Request) -> Encoding:
    """The compression a client takes: zstd before gzip, nothing where it takes neither."""
    taken = {}
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        taken[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    if taken.get("zstd"):
        return "zstd"
    return "gzip" if taken.get("gzip") else ""
