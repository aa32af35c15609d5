"""Short names for groups, as buttons and metadata carry them: a group's key may be longer than Slack takes."""

from __future__ import annotations

import hashlib


def group_id(receiver: str, group_key: str) -> str:
    """24 hex digits that name a group at one receiver, the same in every process."""
    return hashlib.blake2b(f"{receiver}|{group_key}".encode(), digest_size=12).hexdigest()
