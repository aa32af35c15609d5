"""Exemplars on their way in: which are taken, and which are news."""

from __future__ import annotations

from ingest.exemplars import Exemplars


def test_exemplar_labels_are_bounded() -> None:
    """128 characters of names and values are taken, one more is counted; empty values do not count."""
    found = Exemplars()
    found.add(0, 1, 1.0, [("trace_id", "é" * 120), ("empty", "")])
    found.add(0, 1, 1.0, [("trace_id", "é" * 121)])
    assert found.too_long == 1
    assert list(found.rows().labels) == [(("trace_id", "é" * 120),)]
