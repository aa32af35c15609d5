"""The forward protocol's handshake: both sides prove that they know the shared key, neither sends it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any

import msgpack
from pydantic import SecretStr

from app.errors import DecodeError
from ingest.fluentbit.frames import unpacker


@dataclass(slots=True)
class Handshake:
    """One connection's handshake: send `helo`, give the sender's PING to `answer`, send what it gives."""

    shared_key: SecretStr
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    hostname: str = field(default_factory=socket.gethostname)

    def helo(self) -> bytes:
        """The server's first message: a nonce, no user authentication, connections may stay open."""
        return bytes(msgpack.packb(["HELO", {"nonce": self.nonce, "auth": b"", "keepalive": True}]))

    def answer(self, ping: bytes) -> tuple[bool, bytes]:
        """Whether the sender knows the key, and the PONG that tells it. Raises DecodeError for what is no PING."""
        parts = _parts(ping)
        if len(parts) != 6 or parts[0] != b"PING" or not all(isinstance(p, bytes) for p in parts):
            raise DecodeError("a PING is wanted first: the sender does not use the shared key")
        _, sender, salt, digest, _, _ = parts
        known = hmac.compare_digest(self._digest(salt, sender).encode(), digest)
        own_name = self.hostname.encode()
        pong = ["PONG", True, "", self.hostname, self._digest(salt, own_name)]
        if not known:
            pong = ["PONG", False, "shared_key mismatch", self.hostname, ""]
        return known, bytes(msgpack.packb(pong))

    def _digest(self, salt: bytes, hostname: bytes) -> str:
        key = self.shared_key.get_secret_value().encode()
        return hashlib.sha512(salt + hostname + self.nonce + key).hexdigest()


def _parts(frame: bytes) -> list[Any]:
    reader = unpacker(len(frame) + 1, raw=True)
    reader.feed(frame)
    try:
        found = reader.unpack()
    except (msgpack.exceptions.UnpackException, ValueError) as error:
        raise DecodeError(f"not msgpack: {error}") from None
    return found if isinstance(found, list) else []
