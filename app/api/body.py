"""Reading request bodies within their bound."""

from __future__ import annotations

from starlette.requests import Request

from app.errors import WatchhouseError


class TooLarge(WatchhouseError):
    """The body is larger than `limits.max_body_bytes`."""


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to be over `limit` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body has {declared} bytes (limits.max_body_bytes = {limit})")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes (limits.max_body_bytes = {limit})")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
