"""Ports for the programs that tests start."""

from __future__ import annotations

import itertools
import os
import socket

# below the ports that connections are given (from 32768 on): one of those could take it before the program does
_FIRST, _LAST = 20_000, 32_000
_offsets = itertools.count(os.getpid() * 37)


def free_port() -> int:
    """A port nobody listens on now, and not the one given before; processes of a test run begin in different places."""
    for offset in _offsets:
        port = _FIRST + offset % (_LAST - _FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the count has no end")
