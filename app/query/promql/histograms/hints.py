"""Which histogram samples continue the counter of the one before them, as Prometheus's storage tells when read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint
from app.query.promql.histograms.arithmetic import is_reset
from app.query.vector import Bools, Histograms, Ints

REACH_MS = 300_000
"""How far before a window the sample before its first is looked for."""


def hinted(histograms: Histograms, offsets: Ints, stale: Bools, which: Ints, detect: bool) -> Histograms:
    """The same with hints of their own for the samples at `which`; series i begins at `offsets[i]`.

    A sample is `not_reset` where it goes on with the same layout, `gauge` where its sender says so, otherwise
    `unknown`; with `detect`, a reset seen between two samples is `reset`.
    """
    found, items = histograms.copy(), histograms.tolist()
    first = np.zeros(len(items) + 1, bool)
    first[offsets] = True
    for i in which.tolist():
        h = items[i]
        if h is None or stale[i]:
            continue
        before = None if i == 0 or first[i] or stale[i - 1] else items[i - 1]
        hint = _hint(h, before, detect)
        if hint != h.hint:
            found[i] = replace(h, hint=hint)
    return found


def _hint(h: Histogram, before: Histogram | None, detect: bool) -> ResetHint:
    if h.hint == "gauge":
        return "gauge"
    if before is None or before.hint == "gauge":
        return "unknown"
    if h.hint == "reset" or is_reset(replace(h, hint="unknown"), before):
        return "reset" if detect else "unknown"
    return "not_reset" if detect or _layout(h) == _layout(before) else "unknown"


def _layout(h: Histogram) -> tuple[object, ...]:
    return h.schema, h.zero_threshold, h.custom_values if h.schema == CUSTOM_BUCKETS_SCHEMA else ()
