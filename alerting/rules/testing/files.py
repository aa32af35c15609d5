"""promtool's unit-test files (cmd/promtool/unittest.go, `unitTestFile`)."""

from __future__ import annotations

import glob
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from alerting.rules.model import Texts
from app.durations import DurationMs
from app.yamlfile import GoModel, load_model

_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")


def _number(value: object) -> object:
    """A number as Go's YAML library reads it: `.inf` and `.nan`, not `Inf` and `NaN`."""
    if not isinstance(value, str):
        return value
    if match := _SPECIAL.fullmatch(value):
        return float(match[1] + match[2])
    if _FLOAT.fullmatch(value) and not re.fullmatch(r"[-+]?0[0-7_]+", value):
        return float(value.replace("_", ""))
    if _INTEGER.fullmatch(value):
        digits = value.replace("_", "")
        octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
        return float(int(octal[1] + octal[2], 8) if octal else int(digits, 0))
    raise ValueError(f"not a number: {value!r}")


def _moment(value: object) -> object:
    """Milliseconds of a time that is RFC 3339, or seconds since the epoch."""
    if not isinstance(value, str):
        return value
    try:
        return round(float(value) * 1000)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"not a time: {value!r} (write RFC 3339, or seconds since 1970)") from None
    if at.tzinfo is None:
        raise ValueError(f"not a time: {value!r} (it has no time zone)")
    return round(at.timestamp() * 1000)


Number = Annotated[float, BeforeValidator(_number)]
Moment = Annotated[int, BeforeValidator(_moment)]


class InputSeries(GoModel):
    """A series and its samples, one an interval."""

    series: str = ""
    values: str = ""


class ExpectedAlert(GoModel):
    """An alert that must be there."""

    exp_labels: Texts = Field(default_factory=dict)
    exp_annotations: Texts = Field(default_factory=dict)


class AlertTest(GoModel):
    """The alerts of a name that fire at a time."""

    eval_time: DurationMs = 0
    alertname: str = ""
    exp_alerts: tuple[ExpectedAlert, ...] = ()


class ExpectedSample(GoModel):
    """A sample that a query must give."""

    labels: str = ""
    value: Number = 0.0
    histogram: str = ""


class ExprTest(GoModel):
    """What a query gives at a time."""

    expr: str = ""
    eval_time: DurationMs = 0
    exp_samples: tuple[ExpectedSample, ...] = ()


class TestCase(GoModel):
    """A world of series, and what must hold in it."""

    __test__ = False

    name: str = ""
    interval: DurationMs = 0
    input_series: tuple[InputSeries, ...] = ()
    alert_rule_test: tuple[AlertTest, ...] = ()
    promql_expr_test: tuple[ExprTest, ...] = ()
    external_labels: Texts = Field(default_factory=dict)
    external_url: str = ""
    start_timestamp: Moment = 0


class TestFile(GoModel):
    """A file of unit tests."""

    __test__ = False

    rule_files: tuple[str, ...] = ()
    evaluation_interval: DurationMs = 0
    group_eval_order: tuple[str, ...] = ()
    tests: tuple[TestCase, ...] = ()
    fuzzy_compare: bool = False


def load_test_file(path: Path) -> TestFile:
    """A file of unit tests. Raises ConfigError with every mistake."""
    return load_model(path, TestFile, as_written=True)


def rule_files(path: Path, tests: TestFile) -> tuple[list[Path], list[str]]:
    """(the rule files that a file of tests names, by patterns from its folder; the patterns that no file matches)."""
    found: list[Path] = []
    nothing: list[str] = []
    for pattern in tests.rule_files:
        whole = str(path.parent / pattern)
        matching = sorted(glob.glob(whole))
        found += map(Path, matching)
        if not matching:
            nothing.append(whole)
    return found, nothing
