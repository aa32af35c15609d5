"""Runs unit tests of rules on samples in memory, as promtool runs them (cmd/promtool/unittest.go)."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from alerting.rules.evaluate import ALERT_NAME, Sample, vector_of
from alerting.rules.expand import expander, reason
from alerting.rules.group import GroupRun
from alerting.rules.model import load_rule_file
from alerting.rules.testing.files import AlertTest, ExprTest, TestCase, TestFile, load_test_file, rule_files
from alerting.rules.testing.notation import read_metric, read_points, write_histogram
from alerting.rules.testing.report import (
    ShownAlert,
    ShownSample,
    alert_difference,
    duration_text,
    go_duration,
    sample_difference,
)
from app.config import Limits
from app.errors import BadQuery, ConfigError, WatchhouseError
from app.histogram import Histogram
from app.labels import Labels
from app.query.promql.ast import Node
from app.query.promql.context import Context
from app.query.promql.engine import DEFAULT_LOOKBACK_MS, evaluated
from app.query.promql.memory import MemorySamples
from app.query.promql.parse import parse
from app.query.promql.quote import quoted
from app.query.result import QueryResult

DEFAULT_INTERVAL_MS = 60_000
_TIMEOUT_S = 600.0


@dataclass(slots=True)
class FileResult:
    """What came of a file of tests."""

    file: str
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cases: list[tuple[str, list[str]]] = field(default_factory=list)
    """(name, errors) of each test that was run."""


def run_file(path: Path, only: re.Pattern[str] | None = None) -> FileResult:
    """Runs the tests of a file; of those with names that match `only`, if that is given."""
    result = FileResult(str(path))
    try:
        tests = load_test_file(path)
    except ConfigError as error:
        result.errors = [str(problem) for problem in error.problems]
        return result
    files, nothing = rule_files(path, tests)
    result.warnings = [f"  WARNING: no file match pattern {pattern}" for pattern in nothing]
    repeated = next((name for name in tests.group_eval_order if tests.group_eval_order.count(name) > 1), None)
    if repeated is not None:
        result.errors = [f"group name repeated in evaluation order: {repeated}"]
        return result
    for number, case in enumerate(tests.tests):
        if only is not None and not only.search(case.name):
            continue
        try:
            errors = list(_Case(tests, case, files).run())
        except WatchhouseError as error:
            errors = [reason(error)]
        result.cases.append((case.name or f"unnamed#{number}", errors))
        result.errors += errors
    return result


class _Case:
    """One test under way."""

    def __init__(self, tests: TestFile, case: TestCase, files: Sequence[Path]) -> None:
        self._case = case
        self._step_ms = tests.evaluation_interval or DEFAULT_INTERVAL_MS
        self._same = _nearly if tests.fuzzy_compare else _equal
        interval_ms = case.interval or self._step_ms
        self._world = _World(case, interval_ms, self._step_ms)
        groups = [group for file in files for group in load_rule_file(file, interval_ms=interval_ms)[0]]
        order = {name: n for n, name in enumerate(tests.group_eval_order)}
        # a group that is not named there is among the first, as in promtool
        self._runs = [GroupRun(group) for group in sorted(groups, key=lambda group: order.get(group.name, 0))]

    def run(self) -> Iterator[str]:
        """What is wrong, a text each."""
        case, start_ms = self._case, self._case.start_timestamp
        nameless = next((test for test in case.alert_rule_test if not test.alertname), None)
        if nameless is not None:
            where = f" (in TestGroup {case.name})" if case.name else ""
            yield (
                "an item under alert_rule_test misses required attribute alertname at eval_time"
                f" {duration_text(nameless.eval_time)}{where}"
            )
            return
        times = [alert.eval_time for alert in case.alert_rule_test]
        times += [expression.eval_time for expression in case.promql_expr_test]
        for at_ms in range(0, max(times, default=0) + 1, self._step_ms):
            failed = list(self._evaluate(start_ms + at_ms))
            yield from failed
            if failed:
                return
            due = [t for t in case.alert_rule_test if at_ms <= t.eval_time < at_ms + self._step_ms]
            for test in sorted(due, key=lambda test: test.eval_time):
                yield from self._alerts(test)
        for expression in case.promql_expr_test:
            yield from self._samples(expression, start_ms + expression.eval_time)

    def _evaluate(self, at_ms: int) -> Iterator[str]:
        for run in self._runs:
            samples = _SamplesAt(self._world, at_ms - run.group.query_offset_ms)
            expand = expander(self._case.external_labels, self._case.external_url, at_ms, samples.ask)
            run.settle(run.evaluate(at_ms, samples, expand))
            for rule in run.rules:
                if rule.error:
                    yield f"    rule: {rule.rule.name}, time: {go_duration(at_ms)}, err: {rule.error}"

    def _alerts(self, test: AlertTest) -> Iterator[str]:
        firing = [
            ShownAlert(labels, alert.annotations)
            for run in self._runs
            for rule, labels, alert in run.alerts()
            if rule.rule.name == test.alertname and rule.rule.kind == "alerting" and alert.state == "firing"
        ]
        expected = [
            ShownAlert(
                tuple(sorted({**alert.exp_labels, ALERT_NAME: test.alertname}.items())),
                tuple(sorted(alert.exp_annotations.items())),
            )
            for alert in test.exp_alerts
        ]
        if sorted(firing) != sorted(expected):
            named = f"    name: {self._case.name},\n" if self._case.name else ""
            yield named + alert_difference(
                test.alertname, duration_text(test.eval_time), sorted(expected), sorted(firing)
            )

    def _samples(self, test: ExprTest, at_ms: int) -> Iterator[str]:
        where = f"expr: {quoted(test.expr)}"
        try:
            found = [_shown(sample) for sample in vector_of(self._world.instant(test.expr, at_ms))]
        except WatchhouseError as error:
            yield f"    {where}, time: {duration_text(test.eval_time)}, err: {reason(error)}"
            return
        expected: list[ShownSample] = []
        for sample in test.exp_samples:
            try:
                labels = read_metric(sample.labels)
                told = _histogram_of(sample.histogram)
            except BadQuery as error:
                yield (
                    f"    {where}, time: {duration_text(test.eval_time)}, err:"
                    f" labels {quoted(sample.labels)}: {reason(error)}"
                )
                return
            expected.append(ShownSample(labels, 0.0 if told else sample.value, told))
        if not self._alike(sorted(expected, key=_by_labels), sorted(found, key=_by_labels)):
            yield sample_difference(
                test.expr,
                duration_text(test.eval_time),
                sorted(expected, key=_by_labels),
                sorted(found, key=_by_labels),
            )

    def _alike(self, expected: Sequence[ShownSample], found: Sequence[ShownSample]) -> bool:
        return len(expected) == len(found) and all(
            a.labels == b.labels and a.histogram == b.histogram and self._same(a.value, b.value)
            for a, b in zip(expected, found, strict=True)
        )


class _World:
    """The samples of one test, in memory."""

    def __init__(self, case: TestCase, interval_ms: int, step_ms: int) -> None:
        self.samples = MemorySamples(compiled=False)
        self._step_ms = step_ms
        self._trees: dict[str, Node] = {}
        for line in case.input_series:
            labels = read_metric(line.series)
            for n, value in enumerate(read_points(line.values)):
                if value is not None:
                    self.samples.add(labels, case.start_timestamp + n * interval_ms, value)

    def instant(self, query: str, at_ms: int) -> QueryResult:
        """The answer to a query. Raises WatchhouseError."""
        node = self._trees.get(query)
        if node is None:
            node = self._trees[query] = parse(query)
        context = Context(_LIMITS, time.monotonic() + _TIMEOUT_S, _TIMEOUT_S, at_ms, at_ms, DEFAULT_LOOKBACK_MS)
        # subqueries have the interval of evaluations as promtool has it
        context.subquery_step_ms = self._step_ms
        return evaluated(node, query, self.samples, context)


_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class _SamplesAt:
    """What a group reads and writes at one time."""

    world: _World
    at_ms: int

    def instant(self, query: str) -> QueryResult:
        return self.world.instant(query, self.at_ms)

    def ask(self, query: str) -> list[tuple[Labels, float | Histogram]]:
        return [(sample.labels, sample.value) for sample in vector_of(self.instant(query))]

    def record(self, samples: Sequence[Sample]) -> Future[None]:
        for sample in samples:
            self.world.samples.add(sample.labels, self.at_ms, sample.value)
        return self.flush()

    def flush(self) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        return done


def _shown(sample: Sample) -> ShownSample:
    if isinstance(sample.value, Histogram):
        return ShownSample(sample.labels, 0.0, write_histogram(sample.value))
    return ShownSample(sample.labels, sample.value, "")


def _histogram_of(text: str) -> str:
    """The histogram of an expected sample in its one form, "" for none."""
    if not text:
        return ""
    values = read_points(text)
    if len(values) != 1 or not isinstance(values[0], Histogram):
        raise BadQuery(f"a histogram is wanted, not {text!r}")
    return write_histogram(values[0])


def _by_labels(sample: ShownSample) -> Labels:
    return sample.labels


def _equal(a: float, b: float) -> bool:
    return a == b


def _nearly(a: float, b: float) -> bool:
    """Equal, or next to each other among floats."""
    return a == b or math.nextafter(a, -math.inf) == b or math.nextafter(a, math.inf) == b
