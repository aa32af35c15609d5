"""Good and total of intervals, from PromQL and LogQL."""

from slo.counting.answers import LogQueries, MetricQueries
from slo.counting.counter import Counter
from slo.counting.wants import Counting, Counts, Want

__all__ = ["Counter", "Counting", "Counts", "LogQueries", "MetricQueries", "Want"]
