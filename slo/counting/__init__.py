"""Good and total of intervals, from PromQL and LogQL."""

from slo.counting.counter import Counter, LogQueryEngine, QueryEngine
from slo.counting.events import Counts
from slo.counting.want import Want

__all__ = ["Counter", "Counts", "LogQueryEngine", "QueryEngine", "Want"]
