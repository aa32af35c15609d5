"""limit_ratio: the series whose hash lies in a part of all hashes, the same ones in every query."""

from __future__ import annotations

import numpy as np
import xxhash

from app.errors import QueryFailed
from app.labels import Labels
from app.query.promql.context import Context
from app.query.promql.format import format_value
from app.query.vector import Floats, Vector


def limit_ratio(vector: Vector, ratio: Floats, context: Context) -> Vector:
    """The series below a ratio of all; of a negative one, the others. `ratio` has a value for each step.

    promql/engine.go, AddRatioSampleWithOffset. Raises QueryFailed where the ratio is NaN.
    """
    if not ratio.any() and not np.isnan(ratio).any():
        return vector.where(np.zeros_like(vector.present)).compact()
    if np.isnan(ratio).any():
        raise QueryFailed("Ratio value is NaN")
    for beyond, bound in ((ratio.max(), 1.0), (-ratio.min(), 1.0)):
        if beyond > bound:
            sign = 1.0 if beyond == ratio.max() else -1.0
            context.warn(
                f"ratio value should be between -1 and 1, got {format_value(float(sign * beyond))},"
                f" capping to {format_value(sign * bound)}"
            )
    ratio = np.clip(ratio, -1.0, 1.0)
    # float64(MaxUint64) is 2^64
    offsets = np.array([_hash(labels) / 2.0**64 for labels in vector.labels])[:, None]
    chosen = np.where(ratio >= 0, offsets < ratio, offsets >= 1.0 + ratio)
    return vector.where(vector.present & chosen).compact()


def _hash(labels: Labels) -> float:
    """model/labels/labels_stringlabels.go: XXH64 of lengths and texts of the names and values, in order."""
    data = bytearray()
    for pair in labels:
        for part in pair:
            text = part.encode()
            data += bytes([len(text)]) if len(text) < 255 else b"\xff" + len(text).to_bytes(3, "little")
            data += text
    return float(xxhash.xxh64_intdigest(bytes(data)))
