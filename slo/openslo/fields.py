"""Types of OpenSLO's fields and what every object has.

Each has the standard's own rule: OpenSLO's README, and go-sdk's pkg/openslo/v1 where the two differ.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict
from pydantic.alias_generators import to_camel

from app.yamlfile import GoModel
from slo.period import CalendarUnit, nominal_length_ms

VERSION = "openslo/v1"
Version = Literal["openslo/v1"]
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_DURATION = re.compile(r"([0-9]{1,9})([mhdwMQY])")
_START = "%Y-%m-%d %H:%M:%S"
_LONGEST_MS = nominal_length_ms("Y", 100)


class OpenSloModel(GoModel):
    """Base of the objects' models: camelCase keys only."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False)


def is_name(text: str) -> bool:
    """Whether a text is a name an object can have."""
    return _NAME.fullmatch(text) is not None


def duration_of(text: str) -> tuple[int, CalendarUnit]:
    """(number, unit) of a duration shorthand. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("not a duration: a whole number and one of m h d w M Q Y are wanted, like 5m, 4w, 1Q")
    unit: CalendarUnit = match[2]  # type: ignore[assignment]
    return int(match[1]), unit


def duration_ms(text: str) -> int:
    """Milliseconds of a duration shorthand; a month has 30 days, a quarter 90, a year 365. Raises ValueError."""
    count, unit = duration_of(text)
    return nominal_length_ms(unit, count)


def start_of(text: str) -> datetime:
    """A calendar's startTime, without a zone. Raises ValueError."""
    return datetime.strptime(text, _START)


def label_name(key: str) -> str:
    """The Prometheus label name of a label or annotation: everything but letters, digits and `_` becomes `_`."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return f"_{name}" if name[0].isdigit() else name


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError(
            "must be an RFC 1123 label: 1 to 63 lower case letters, digits and '-',"
            " beginning and ending with a letter or digit"
        )
    return value


def _label_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError(
            "a key has 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
        )
    return value


def _annotation_key(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        raise ValueError("the prefix of a key is a DNS subdomain of at most 253 characters, like my-domain.org/my-key")
    return prefix + slash + _label_key(name)


def _label_values(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _duration(value: str) -> str:
    if not 0 < duration_ms(value) <= _LONGEST_MS:
        raise ValueError("must be above 0 and at most 100 years")
    return value


def _delay(value: str) -> str:
    return value if duration_ms(value) == 0 else _duration(value)


def _minutes(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value != int(value):
        raise ValueError("a number here is one of whole minutes")
    return f"{int(value)}m"


def _start(value: object) -> object:
    # YAML reads an unquoted date and time as such
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.strftime(_START) if value.year >= 1000 else str(value)
    return str(value) if isinstance(value, date) else value


def _start_text(value: str) -> str:
    try:
        start_of(value)
    except ValueError:
        raise ValueError("write it as YYYY-MM-DD hh:mm:ss, without a time zone") from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    # a name such as "America" is a folder, one such as "../x" is refused with a ValueError
    except (KeyError, ValueError, OSError):
        raise ValueError("not a name of the IANA Time Zone Database, like Europe/Berlin") from None
    return value


Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1)]
Description = Annotated[str, Field(max_length=1050)]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Labels = dict[Annotated[str, AfterValidator(_label_key)], Annotated[tuple[str, ...], BeforeValidator(_label_values)]]
Annotations = dict[Annotated[str, AfterValidator(_annotation_key)], str]
Duration = Annotated[str, AfterValidator(_duration)]
Delay = Annotated[str, AfterValidator(_delay)]
SliceWindow = Annotated[str, BeforeValidator(_minutes), AfterValidator(_duration)]
StartTime = Annotated[str, BeforeValidator(_start), AfterValidator(_start_text)]
Zone = Annotated[str, AfterValidator(_zone)]


class Metadata(OpenSloModel):
    """What every object has."""

    name: Name
    display_name: str = Field("", max_length=63)
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)
