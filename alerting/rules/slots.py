"""When groups are evaluated: on slots an interval apart, each group's at an offset of its own."""

from __future__ import annotations

import xxhash

from alerting.rules.spec import Group

_NS = 1_000_000


def offset_ns(group: Group) -> int:
    """How long after a whole interval a group's slots are, in nanoseconds: Prometheus's own (rules/group.go, hash).

    Its hash of the labels `file` and `name` is the one that builds without stringlabels use, as Debian's.
    """
    text = b"".join(part.encode() + b"\xff" for part in ("file", group.file, "name", group.name))
    return int(xxhash.xxh64_intdigest(text)) % (group.interval_ms * _NS)


def slot_before(group: Group, at_ms: int) -> int:
    """The last slot of a group at or before a time, in milliseconds."""
    offset, interval = offset_ns(group), group.interval_ms * _NS
    # the end of the millisecond: a slot is at most that much later than its time in milliseconds says
    now = at_ms * _NS + _NS - 1 - offset
    return (now - now % interval + offset) // _NS


def slot_after(group: Group, at_ms: int) -> int:
    """The first slot of a group after a time."""
    offset, interval = offset_ns(group), group.interval_ms * _NS
    now = at_ms * _NS + _NS - 1 - offset
    return (now - now % interval + interval + offset) // _NS
