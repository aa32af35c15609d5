"""Templates in the labels and annotations of Prometheus's alerting rules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from alerting.templates.hosts import strip_domain, strip_port
from alerting.templates.texts import (
    four_digits,
    humanize_duration,
    humanize_timestamp,
    lower,
    number_of,
    safe_html,
    small,
    time_of,
    title,
    upper,
)
from app.gotemplate import (
    CallError,
    Duration,
    GoType,
    Limits,
    StringMap,
    TemplateError,
    TemplateSet,
    TemplateSyntaxError,
    Time,
)
from app.gotemplate.builtins import query_escaped
from app.gotemplate.expressions import matches, replace_all
from app.gotemplate.quoting import quoted
from app.gotemplate.values import DURATION, TIME, as_bytes

PRELUDE = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAMPLE = GoType("template.sample", "struct")
_DATA = GoType(
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
    "struct",
)
_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_BINARY = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_ORDER = ("y", "w", "d", "h", "m", "s", "ms")
_PART = re.compile(r"([0-9]+)([^0-9]+)", re.ASCII)


@dataclass
class Sample:
    """One series of what `query` gives: its labels, the metric's name among them, and its value."""

    __go__: ClassVar[Mapping[str, str]] = {"Labels": "labels", "Value": "value"}
    __go_type__: ClassVar[GoType] = GoType("*template.sample", "ptr", _SAMPLE)

    labels: Mapping[str, str]
    value: object

    def __post_init__(self) -> None:
        self.labels = StringMap(self.labels)


class QueryResult(list[Sample]):
    """What `query` gives."""

    __go_type__: ClassVar[GoType] = GoType("template.queryResult", "slice", Sample.__go_type__)


class _Moment(Time):
    """`*time.Time`, which toTime gives."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("*time.Time", "ptr", TIME)


class _Span(Duration):
    """`*time.Duration`, which toDuration gives."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("*time.Duration", "ptr", DURATION)


@dataclass
class _Data:
    __go__: ClassVar[Mapping[str, str]] = {
        "Labels": "labels",
        "ExternalLabels": "external_labels",
        "ExternalURL": "external_url",
        "Value": "value",
    }
    __go_type__: ClassVar[GoType] = _DATA

    labels: StringMap
    external_labels: StringMap
    external_url: str
    value: object


Query = Callable[[str, datetime], list[Sample]]


def expand(
    text: str,
    *,
    name: str,
    labels: Mapping[str, str],
    value: object,
    external_labels: Mapping[str, str],
    external_url: str,
    now: datetime,
    query: Query,
) -> str:
    """A label or annotation of an alert, as Prometheus expands it; `name` is `__alert_` and the rule's name.

    `value` is a float, or what is to print for a native histogram. `query` answers an instant query at `now`; what it
    raises is the template's error. Raises TemplateError: Prometheus puts `<error expanding template: …>` in its place.
    """
    if "{{" not in text:
        return text
    url = external_url
    data = _Data(StringMap(labels), StringMap(external_labels), url, value)
    seconds = (now - _EPOCH) // timedelta(milliseconds=1) / 1000.0

    def ask(expression: str) -> QueryResult:
        return QueryResult(query(expression, now))

    def moment() -> float:
        return seconds

    def whole_url() -> str:
        return url

    def path() -> str:
        return unquote(urlsplit(url).path)

    try:
        return _TEMPLATES.expand(
            PRELUDE + text, data, name=name, query=ask, now=moment, externalURL=whole_url, pathPrefix=path
        )
    except TemplateError as problem:
        word = "parsing" if isinstance(problem, TemplateSyntaxError) else "executing"
        raise type(problem)(f"error {word} template {name}: {problem}") from None


def check(text: str, *, name: str) -> None:
    """Raises TemplateError for a text that cannot be read, in Prometheus's words."""
    _TEMPLATES.check(PRELUDE + text, name=name)


def _without_query(expression: str) -> QueryResult:
    raise CallError(f"there is nothing to ask for {expression}")


def _nothing() -> str:
    return ""


def _never() -> float:
    return 0.0


def _first(result: QueryResult) -> Sample:
    if not result:
        raise CallError("first() called on vector with no elements")
    return result[0]


def _label(name: str, sample: Sample) -> str:
    return _there(sample).labels.get(name, "")


def _value(sample: Sample) -> object:
    return _there(sample).value


def _text_value(sample: Sample) -> str:
    return _there(sample).labels.get("__value__", "")


def _there(sample: Sample | None) -> Sample:
    if sample is None:
        raise CallError("runtime error: invalid memory address or nil pointer dereference")
    return sample


def _args(*values: object) -> dict[str, object]:
    return {f"arg{at}": value for at, value in enumerate(values)}


def _title(text: str) -> str:
    return title(text, lowered=False)


def _graph_link(expression: str) -> str:
    return f"/graph?g0.expr={query_escaped(expression)}&g0.tab=0"


def _table_link(expression: str) -> str:
    return f"/graph?g0.expr={query_escaped(expression)}&g0.tab=1"


def _sort_by_label(name: str, result: QueryResult) -> QueryResult:
    found = QueryResult() if result is None else result
    found.sort(key=lambda sample: as_bytes(sample.labels.get(name, "")))
    return found


def _humanize(number: object) -> str:
    value = number_of(number)
    if value == 0 or not math.isfinite(value):
        return four_digits(value)
    if abs(value) >= 1:
        return _scaled(value, 1000, _LARGE)
    value, prefix = small(value)
    return four_digits(value) + prefix


def _humanize_1024(number: object) -> str:
    value = number_of(number)
    if abs(value) <= 1 or not math.isfinite(value):
        return four_digits(value)
    return _scaled(value, 1024, _BINARY)


def _scaled(value: float, step: int, prefixes: tuple[str, ...]) -> str:
    shown = ""
    for prefix in prefixes:
        if abs(value) < step:
            break
        shown, value = prefix, value / step
    return four_digits(value) + shown


def _humanize_percentage(number: object) -> str:
    return four_digits(number_of(number) * 100) + "%"


def _to_time(number: object) -> _Moment:
    value = number_of(number)
    if not math.isfinite(value):
        raise CallError("value is NaN or Inf")
    return _Moment(time_of(value).unix_ns)


def _to_duration(number: object) -> _Span:
    value = number_of(number) * 1e9
    return _Span(int(value) if abs(value) < 2.0**63 else -(2**63))


def _parse_duration(text: str) -> float:
    if text == "":
        raise CallError("empty duration string")
    return (-_positive(text[1:]) if text[0] == "-" else _positive(text)) / 1000


def _positive(text: str) -> int:
    """Milliseconds of a duration, with model.ParseDuration's messages."""
    if text == "0":
        return 0
    if text == "":
        raise CallError("empty duration string")
    total, at, before = 0, 0, -1
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise CallError(f"not a valid duration string: {quoted(text)}")
        if match[2] not in _UNITS:
            raise CallError(f"unknown unit {quoted(match[2])} in duration {quoted(text)}")
        place = _ORDER.index(match[2])
        if place <= before:
            raise CallError(f"not a valid duration string: {quoted(text)}")
        number = int(match[1])
        if number >= 2**64:
            raise CallError(f"not a valid duration string: {quoted(text)}")
        total += number * _UNITS[match[2]]
        before, at = place, match.end()
        if total >= 2**63 // 1_000_000:
            raise CallError("duration out of range")
    return total


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "query": _without_query,
    "first": _first,
    "label": _label,
    "value": _value,
    "strvalue": _text_value,
    "args": _args,
    "reReplaceAll": replace_all,
    "safeHtml": safe_html,
    "match": matches,
    "title": _title,
    "toUpper": upper,
    "toLower": lower,
    "graphLink": _graph_link,
    "tableLink": _table_link,
    "sortByLabel": _sort_by_label,
    "stripPort": strip_port,
    "stripDomain": strip_domain,
    "humanize": _humanize,
    "humanize1024": _humanize_1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": _humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
    "toTime": _to_time,
    "toDuration": _to_duration,
    "now": _never,
    "pathPrefix": _nothing,
    "externalURL": _nothing,
    "parseDuration": _parse_duration,
    "urlQueryEscape": query_escaped,
}
_TEMPLATES = TemplateSet(FUNCTIONS, missing_key="zero", limits=Limits(steps=200_000, output=1 << 20))
