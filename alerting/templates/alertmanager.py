"""Templates of notifications: Alertmanager's functions and default templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from alerting.templates.encodings import base64_decoded, base64_encoded, query_unescaped
from alerting.templates.texts import humanize_duration, lower, safe_html, title, upper
from alerting.templates.values import Data
from app.gotemplate import CallError, Duration, Limits, TemplateSet, Time
from app.gotemplate.expressions import matches, replace_all
from app.gotemplate.html.types import URL
from app.gotemplate.jsontext import json_of
from app.gotemplate.meter import charge
from app.gotemplate.timeparse import parse_time
from app.gotemplate.times import ZERO_TIME
from app.gotemplate.values import StringSlice

# enough for a message that lists the labels of 10,000 alerts
_LIMITS = Limits(steps=2_000_000, output=16 << 20)
_SPACES = "\t\n\v\f\r \x85\xa0"


class AlertTemplates:
    """Alertmanager's `template.Template`: the default templates and those of files, as text and as HTML.

    A missing key is the zero value of its map. A file's templates take the place of earlier ones of their names.
    """

    def __init__(self, texts: Sequence[tuple[str, str]] = ()) -> None:
        """`texts`: (file name, text) of the files that `templates:` names. Raises TemplateError."""
        self._text = TemplateSet(FUNCTIONS, missing_key="zero", limits=_LIMITS)
        self._html = TemplateSet(FUNCTIONS, missing_key="zero", limits=_LIMITS, html=True)
        for templates in (self._text, self._html):
            for name, text in (*_defaults(), *texts):
                templates.parse(name, text)

    def text(self, template: str, data: object) -> str:
        """What a template makes of a notification (`ExecuteTextString`). Raises TemplateError."""
        return _expanded(self._text, template, data)

    def html(self, template: str, data: object) -> str:
        """The same, with what it puts in escaped for where it stands in the HTML (`ExecuteHTMLString`)."""
        return _expanded(self._html, template, data)

    def check(self, template: str) -> None:
        """Raises TemplateError for a template that cannot be read."""
        self._text.check(template)


@cache
def _defaults() -> tuple[tuple[str, str], ...]:
    here = files(__package__)
    return tuple((name, (here / name).read_text(encoding="utf-8")) for name in ("default.tmpl", "email.tmpl"))


def _expanded(templates: TemplateSet, template: str, data: object) -> str:
    if template == "":
        return ""
    labels = _RouteLabels(templates, data)

    def route_labels(name: str) -> str:
        return labels.of(name)

    return templates.expand(template, data, routeLabels=route_labels)


class _RouteLabels:
    """Labels of a route, which are templates that may use one another; each is expanded once."""

    def __init__(self, templates: TemplateSet, data: object) -> None:
        self._templates = templates
        self._data = data
        self._known: dict[str, str] = {}
        self._open: list[str] = []

    def of(self, name: str) -> str:
        """A label's value, "" if there is none of the name. Raises CallError where one needs itself."""
        data = self._data
        if not isinstance(data, Data) or name not in data.route_labels:
            return ""
        raw = data.route_labels[name]
        if data.route_labels_rendered:
            return raw
        if name in self._known:
            return self._known[name]
        if name in self._open:
            raise CallError(f"route label cycle detected: {' -> '.join((*self._open, name))}")
        self._open.append(name)
        try:
            made = self._templates.expand(raw, data, routeLabels=self.of) if raw else ""
        finally:
            self._open.pop()
        self._known[name] = made
        return made


def _title(text: str) -> str:
    return title(text, lowered=True)


def _trim_space(text: str) -> str:
    return text.strip(
        _SPACES
        + "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
    )


def _join(separator: str, texts: list[str]) -> str:
    return separator.join(texts or ())


def _safe_url(text: str) -> URL:
    return URL(text)


def _string_slice(*texts: str) -> StringSlice:
    return StringSlice(texts)


def _no_route_label(name: str) -> str:
    return ""


def _date(layout: str, time: Time) -> str:
    return time.format(layout)


def _in_zone(name: str, time: Time) -> Time:
    if name in ("", "UTC"):
        return time.utc()
    if ".." in name or name[0] in "/\\" or "\\" in name:
        raise CallError("time: invalid location name")
    try:
        return time.in_zone(ZoneInfo(name))
    except (KeyError, OSError, ValueError):
        raise CallError(f"unknown time zone {name}") from None


def _now() -> Time:
    return Time.of(datetime.now(UTC).astimezone())


def _since(time: Time) -> Duration:
    return _now().sub(time)


def _to_date(layout: str, text: str) -> Time:
    try:
        return parse_time(layout, text)
    except ValueError:
        return ZERO_TIME


def _must_to_date(layout: str, text: str) -> Time:
    try:
        return parse_time(layout, text)
    except ValueError as problem:
        raise CallError(str(problem)) from None


def _to_json(value: object) -> str:
    return json_of(value)


def _list(*values: object) -> list[object]:
    return list(values)


def _append(items: list[object], *values: object) -> list[object]:
    charge(len(items or ()) >> 6)
    return [*(items or ()), *values]


def _dict(*values: object) -> dict[str, object]:
    if len(values) % 2:
        raise CallError("dict requires an even number of arguments")
    made: dict[str, object] = {}
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) is not str:
            raise CallError("dict keys must be strings")
        made[key] = value
    return made


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "toUpper": upper,
    "toLower": lower,
    "title": _title,
    "trimSpace": _trim_space,
    "join": _join,
    "match": matches,
    "safeHtml": safe_html,
    "safeUrl": _safe_url,
    "urlUnescape": query_unescaped,
    "reReplaceAll": replace_all,
    "stringSlice": _string_slice,
    "routeLabels": _no_route_label,
    "date": _date,
    "tz": _in_zone,
    "now": _now,
    "since": _since,
    "humanizeDuration": humanize_duration,
    "toDate": _to_date,
    "mustToDate": _must_to_date,
    "toJson": _to_json,
    "base64encode": base64_encoded,
    "base64decode": base64_decoded,
    "list": _list,
    "append": _append,
    "dict": _dict,
}
