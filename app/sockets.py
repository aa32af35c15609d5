"""Taking addresses to listen on."""

from __future__ import annotations

import errno
import os
import socket

from app.config import Address
from app.errors import WatchhouseError


class CannotListen(WatchhouseError):
    """An address cannot be listened on; the message names the setting to change."""


def bind(address: Address, setting: str) -> socket.socket:
    """A bound TCP socket. Raises CannotListen naming the address, the reason and the setting."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address.host, address.port))
    except (OSError, OverflowError) as error:
        sock.close()
        code = getattr(error, "errno", None)
        reason = (
            "is taken by another process" if code == errno.EADDRINUSE else os.strerror(code) if code else str(error)
        )
        raise CannotListen(
            f"{address} {reason}; change {setting} (or set WATCHHOUSE_{setting.upper().replace('.', '__')})"
        ) from None
    return sock
