"""The text exposition formats line by line: Prometheus 0.0.4 and OpenMetrics 1.0.

Functions here read one line and raise ValueError with a reason; who reads a page (`page.PageReader`) adds the line's
number. Carriage returns at line ends are tolerated, all else is as strict as Prometheus.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from app.labels import METRIC_NAME
from app.store.metrics import Metadata

# a quoted text may hold braces, so the end of the labels is found over whole strings; `(?s:.)` is an escaped character
_BRACES = rb'\{(?:[^"}]|"(?:[^"\\]|\\(?s:.))*")*\}'
_SERIES = re.compile(
    rb"[ \t]*(?:[a-zA-Z_:][a-zA-Z0-9_:]*(?:[ \t]*" + _BRACES + rb"[ \t]*|[ \t]+)|" + _BRACES + rb"[ \t]*)"
)
_NAME = re.compile(rb"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)?[ \t]*")
_LABEL = re.compile(
    rb'[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|"((?:[^"\\]|\\(?s:.))*)")[ \t]*'
    rb'(?:=[ \t]*"((?:[^"\\]|\\(?s:.))*)"[ \t]*)?(?:(,)[ \t]*|(?=\}))'
)
_COMMENT = re.compile(
    rb'#[ \t]+(HELP|TYPE|UNIT)[ \t]+(?:([a-zA-Z_:][a-zA-Z0-9_:]*)|"((?:[^"\\]|\\.)*)")(?:[ \t]+(.*?))?\r?', re.DOTALL
)
_META_WORD = re.compile(rb"#[ \t]+(HELP|TYPE|UNIT)(?:[ \t]|$)")
_ESCAPE = re.compile(rb'\\([\\"n])')
_ESCAPED = {b"\\": b"\\", b'"': b'"', b"n": b"\n"}
_EXEMPLAR = re.compile(rb"#[ \t]*(" + _BRACES + rb")[ \t]*([^ \t\r]+)(?:[ \t]+([^ \t\r]+))?[ \t\r]*")
_TYPES = {
    b"counter": "counter",
    b"gauge": "gauge",
    b"histogram": "histogram",
    b"summary": "summary",
    b"untyped": "unknown",
    b"unknown": "unknown",
    b"gaugehistogram": "gaugehistogram",
    b"stateset": "stateset",
    b"info": "info",
}
OM_EOF = b"# EOF"


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An exemplar with its labels as written; `ts_ms` is None when it tells no time."""

    labels: list[tuple[str, str]]
    value: float
    ts_ms: int | None


def series_end(line: bytes) -> int:
    """Where the value of a sample line starts: after name, labels and the white space behind them."""
    match = _SERIES.match(line)
    if match is None:
        raise ValueError("a metric name with its labels and a value is wanted here")
    return match.end()


def read_series(text: bytes) -> list[tuple[str, str]]:
    """Label pairs of the part of a line before the value, as written; the metric's name is `__name__`.

    `{"a.b", x="y"}` names the metric in the braces. A label given twice raises.
    """
    start = _NAME.match(text)
    assert start is not None  # every part of the pattern may be empty
    pairs = [(METRIC_NAME, start[1].decode())] if start[1] else []
    pos = start.end()
    if text[pos : pos + 1] == b"{":
        _add_labels(text, pos + 1, pairs, may_name=True)
    names = [name for name, _ in pairs]
    if METRIC_NAME not in names:
        raise ValueError("a metric name is missing")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"label {twice!r} is given twice")
    return pairs


def read_value(text: bytes) -> float:
    """A sample value: decimal, or NaN and Inf in any case. No hexadecimal and no `_`, as in Prometheus."""
    try:
        if b"_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise ValueError(f"not a number: {_shown(text)}") from None


def split_tail(text: bytes) -> tuple[bytes, bytes]:
    """The part of an OpenMetrics line behind the series: what is before an exemplar, and the exemplar, or ""."""
    hash_at = text.find(b"#")
    if hash_at < 0:
        return text, b""
    before = text[:hash_at].rstrip(b" \t")
    if len(before) == hash_at:
        raise ValueError(f"not an exemplar: {_shown(text[hash_at:])}")
    return before, text[hash_at:]


def read_exemplar(text: bytes) -> Exemplar:
    """An exemplar from its `#` on."""
    match = _EXEMPLAR.fullmatch(text)
    if match is None:
        raise ValueError(f"not an exemplar: {_shown(text)}")
    labels: list[tuple[str, str]] = []
    _add_labels(match[1], 1, labels, may_name=False)
    return Exemplar(labels, read_value(match[2]), None if match[3] is None else _timestamp_ms(match[3], True))


def read_tail(text: bytes, openmetrics: bool) -> tuple[float, int | None]:
    """Value and timestamp (milliseconds) of the part of a line behind the series, without an exemplar."""
    fields = text.split()
    if len(fields) == 2 and not openmetrics and b"_" not in text and fields[1].isdigit():
        return read_value(fields[0]), _bounded(int(fields[1]), fields[1])
    if not fields:
        raise ValueError("the value is missing")
    if len(fields) > 2:
        raise ValueError(f"nothing is wanted behind the timestamp: {_shown(fields[2])}")
    value = read_value(fields[0])
    return value, None if len(fields) == 1 else _timestamp_ms(fields[1], openmetrics)


def _timestamp_ms(text: bytes, openmetrics: bool) -> int:
    try:
        if b"_" in text:
            raise ValueError
        ts_ms = float(text) * 1000 if openmetrics else int(text)
        if not math.isfinite(ts_ms):
            raise ValueError
    except ValueError:
        raise ValueError(f"not a timestamp: {_shown(text)}") from None
    return _bounded(math.floor(ts_ms + 0.5) if openmetrics else int(ts_ms), text)


def _bounded(ts_ms: int, text: bytes) -> int:
    if abs(ts_ms) >= 2**62:
        raise ValueError(f"not a timestamp: {_shown(text)}")
    return ts_ms


def read_comment(line: bytes, known: Metadata | None) -> Metadata | None:
    """What a # HELP, # TYPE or # UNIT line adds to what is known of its family; None for any other comment.

    `known` is used when it is of the same family; call `comment_family` to find it.
    """
    match = _COMMENT.fullmatch(line)
    if match is None:
        if _META_WORD.match(line):
            raise ValueError(f"a metric name is wanted in {_shown(line)}")
        return None
    word, text = match[1], match[4] or b""
    base = known or Metadata(_family(match), "unknown")
    if word == b"TYPE":
        kind = _TYPES.get(text.strip())
        if kind is None:
            raise ValueError(f"invalid metric type {_shown(text)}")
        return replace(base, type=kind)
    if word == b"UNIT":
        return replace(base, unit=_text(text))
    return replace(base, help=_text(text))


def comment_family(line: bytes) -> str | None:
    """The family a # HELP, # TYPE or # UNIT line speaks of, None for any other comment."""
    match = _COMMENT.fullmatch(line)
    return _family(match) if match else None


def _family(match: re.Match[bytes]) -> str:
    return _text(match[3]) if match[2] is None else match[2].decode()


def _add_labels(text: bytes, pos: int, pairs: list[tuple[str, str]], may_name: bool) -> None:
    """Adds the labels between braces, of which `pos` is behind the first; `may_name`: one can be the metric's name."""
    while (blank := _blank(text, pos)) < len(text) and text[blank : blank + 1] != b"}":
        match = _LABEL.match(text, pos)
        if match is None:
            raise ValueError(f"labels cannot be read from {_shown(text[pos:])}")
        pairs.append(_pair(match, first=may_name and not pairs))
        pos = match.end()


def _pair(match: re.Match[bytes], first: bool) -> tuple[str, str]:
    bare, quoted, value = match[1], match[2], match[3]
    if value is not None:
        return (bare.decode() if bare is not None else _text(quoted)), _text(value)
    if quoted is None:
        raise ValueError(f"label {bare.decode()!r} has no value")
    if not first:
        raise ValueError(f"{_shown(quoted)} has no value, and a metric is named only once and first")
    return METRIC_NAME, _text(quoted)


def _text(raw: bytes) -> str:
    if b"\\" in raw:
        raw = _ESCAPE.sub(lambda m: _ESCAPED[m[1]], raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValueError(f"not UTF-8: {_shown(raw)}") from None


def _blank(text: bytes, pos: int) -> int:
    while text[pos : pos + 1] in (b" ", b"\t"):
        pos += 1
    return pos


def _shown(text: bytes) -> str:
    shown = text[:80].decode(errors="replace")
    return repr(shown + ("…" if len(text) > 80 else ""))
