"""Native histograms as Prometheus has them: what every source decodes to, the store keeps and PromQL computes with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

CUSTOM_BUCKETS_SCHEMA = -53
"""The schema of native histograms with custom bucket bounds (NHCB)."""

ResetHint = Literal["unknown", "reset", "not_reset", "gauge"]
"""What the sender knows about counter resets between the sample before and this one."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of one side: strictly ascending `index` (int32) and `count` (float64, absolute, not cumulative).

    With an exponential schema the bucket of index i holds what is in (base^(i-1), base^i], base = 2^(2^-schema); with
    custom bounds index i is the bucket below `custom_values[i]`. Buckets that are not listed are empty.
    """

    index: npt.NDArray[np.int32]
    count: npt.NDArray[np.float64]


def no_buckets() -> Buckets:
    """A side without buckets."""
    return Buckets(np.empty(0, np.int32), np.empty(0))


@dataclass(frozen=True, slots=True)
class Histogram:
    """One native histogram sample; counts are floats, as in Prometheus's FloatHistogram.

    `schema` is -4 to 8, or CUSTOM_BUCKETS_SCHEMA. A `sum` that is the stale marker marks the series as ended.
    """

    schema: int
    count: float
    sum: float
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: Buckets = field(default_factory=no_buckets)
    negative: Buckets = field(default_factory=no_buckets)
    custom_values: tuple[float, ...] = ()
    hint: ResetHint = "unknown"
