"""The many ways to write a severity → one of six words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEVEL_KEYS = ("level", "severity", "log.level", "log_level", "loglevel", "lvl", "PRIORITY")
"""Keys that hold a severity, the likeliest first."""

_WORDS = {
    "trace": ("trace", "trc", "verbose", "finest", "finer", "t"),
    "debug": ("debug", "dbg", "dbug", "fine", "d"),
    "info": ("info", "inf", "information", "informational", "notice", "log", "i"),
    "warn": ("warn", "warning", "wrn", "w"),
    "error": ("error", "err", "eror", "severe", "e"),
    "fatal": ("fatal", "ftl", "critical", "crit", "alert", "emerg", "emergency", "panic", "dpanic", "f", "c"),
}
_BY_WORD = {word: level for level, words in _WORDS.items() for word in words}
# bunyan's and pino's numbers, and syslog's
_BY_NUMBER = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
_SYSLOG = ("fatal", "fatal", "fatal", "error", "warn", "info", "info", "debug")


def normal_severity(value: Any) -> str:
    """trace, debug, info, warn, error or fatal for a word or number that means one, "" for anything else."""
    if type(value) is str:
        found = _BY_WORD.get(value)
        if found is not None:
            return found
        word = value.strip().lower()
        return _BY_WORD.get(word, "") or (normal_severity(int(word)) if word.isdecimal() and len(word) < 4 else "")
    if type(value) is int:
        return _SYSLOG[value] if 0 <= value < len(_SYSLOG) else _BY_NUMBER.get(value, "")
    return ""


def severity_of(record: Mapping[Any, Any], processed: Any = None) -> str:
    """The severity a record or its parsed line names, "" when neither does."""
    if type(processed) is dict:
        found = _first(processed)
        if found:
            return found
    return _first(record)


def _first(record: Mapping[Any, Any]) -> str:
    for key in LEVEL_KEYS:
        value = record.get(key)
        if value is not None:
            found = normal_severity(value)
            if found:
                return found
    nested = record.get("log")
    return normal_severity(nested.get("level")) if type(nested) is dict else ""
