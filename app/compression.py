"""Compressed bodies, unpacked within bounds."""

from __future__ import annotations

import zlib

import pyarrow as pa

from app.errors import DecodeError

COMPRESSIONS = ("gzip", "deflate", "zstd")
"""What `decompress` takes, beside nothing at all."""

_ZLIB_FORMATS = {"gzip": 31, "deflate": 15}


class TooLarge(DecodeError):
    """A body is larger than a limit allows; the text names the limit."""


def decompress(body: bytes, compression: str, max_bytes: int) -> bytes:
    """The bytes of a body compressed with one of COMPRESSIONS. Never holds more than `max_bytes` of them.

    Raises TooLarge, or DecodeError when the body is not so compressed.
    """
    try:
        if compression == "zstd":
            with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
                plain = bytes(stream.read(max_bytes + 1))
        else:
            plain = _inflate(body, _ZLIB_FORMATS[compression], max_bytes + 1)
    except (OSError, zlib.error, EOFError) as error:
        raise DecodeError(f"body is not {compression}: {error}") from None
    if len(plain) > max_bytes:
        raise TooLarge(f"body decodes to more than limits.max_decoded_bytes = {max_bytes}")
    return plain


def _inflate(body: bytes, wbits: int, most: int) -> bytes:
    found = bytearray()
    # a gzip file may have several members, one after the other
    while body and len(found) < most:
        stream = zlib.decompressobj(wbits)
        found += stream.decompress(body, most - len(found))
        if not stream.eof and len(found) < most:
            raise EOFError("it ends too early")
        body = stream.unused_data
    return bytes(found)
