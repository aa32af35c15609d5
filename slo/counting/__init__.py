"""Good and total of intervals, from PromQL and LogQL."""

from slo.counting.counter import Counter, LogQueries, MetricQueries
from slo.counting.wants import Counting, Counts, Want

__all__ = ["Counter", "Counting", "Counts", "LogQueries", "MetricQueries", "Want"]
