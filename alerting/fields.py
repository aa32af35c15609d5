"""Types of the fields of an Alertmanager file: what YAML may hold for a text, a truth, a file, a URL or a secret.

Values are those a program in Go reads: where a text is wanted, `007` and `yes` are texts as they are written; an empty
text is one that is not there.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr, ValidationInfo

from alerting.templates.alertmanager import FUNCTIONS
from app.gotemplate import TemplateError, TemplateSet
from app.yamlfile import Written, plain

T = TypeVar("T")
_TEMPLATES = TemplateSet(FUNCTIONS)


def _no_null(value: object) -> object:
    return () if value is None else value


Many = Annotated[tuple[T, ...], BeforeValidator(_no_null)]
"""A list; a key without a value is an empty one, as in Alertmanager."""


def _text(value: object) -> object:
    if value is None or isinstance(value, str):
        return str(value or "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float | date | datetime) else value


Text = Annotated[str, BeforeValidator(_text)]
"""A text; a number without quotes is taken as it is written, null as an empty one."""

Texts = Annotated[dict[Text, Text], BeforeValidator(lambda value: {} if value is None else value)]
"""Names and texts."""


def _flag(value: object) -> object:
    found = plain(value)
    if not isinstance(found, bool):
        raise ValueError("true or false is wanted here")
    return found


Flag = Annotated[bool, BeforeValidator(_flag)]
"""true or false, as YAML 1.1 writes them; not in quotes."""


def _number(value: object) -> int | float:
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError("a number is wanted here")
    return found


Number = Annotated[int, BeforeValidator(lambda value: int(_number(value)))]
Fraction = Annotated[float, BeforeValidator(_number)]


def _count(value: object) -> int:
    found = int(_number(value))
    if found < 0:
        raise ValueError("a number from 0 is wanted here")
    return found


Count = Annotated[int, BeforeValidator(_count)]

Anything = Annotated[Any, BeforeValidator(plain)]
"""Whatever YAML holds, numbers as numbers."""


def _none_if_empty(value: object) -> object:
    found = _text(value)
    return None if found == "" else found


Secret = Annotated[SecretStr | None, BeforeValidator(_none_if_empty)]
"""A text that cannot be printed; None when it is empty."""


def _in_folder(value: Path | None, info: ValidationInfo) -> Path | None:
    folder = info.context.get("folder") if isinstance(info.context, dict) else None
    return value if value is None or folder is None else folder / value


File = Annotated[Path | None, BeforeValidator(_none_if_empty), AfterValidator(_in_folder)]
"""A path, relative to the file that names it; None when it is empty."""


def is_http_url(text: str) -> bool:
    """Whether a text is a URL with a host, to be fetched by HTTP."""
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.netloc) and (url.port or 0) >= 0
    except ValueError:
        return False


def _http_url(value: str) -> str:
    if not is_http_url(value):
        raise ValueError("not a URL (it must start with https:// or http://, followed by a host)")
    return value


def _secret_http_url(value: SecretStr) -> SecretStr:
    _http_url(value.get_secret_value())  # the value stays out of the message: it is a credential
    return value


Url = Annotated[str, BeforeValidator(_text), AfterValidator(_http_url)]
SecretUrl = Annotated[SecretStr, BeforeValidator(_text), AfterValidator(_secret_http_url)]
"""A URL that is a credential: it cannot be printed."""

ShownUrl = Annotated[SecretUrl, PlainSerializer(lambda value: value.get_secret_value(), when_used="json")]
"""A URL that is used where a `SecretUrl` may be and is none: a dump shows it."""

HIDDEN_URL = "http://<secret>"
"""What a dump shows of a URL where programs that read it want a URL."""


def _template_url(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    if "{{" not in value.get_secret_value():
        return _secret_http_url(value)
    check_template(value.get_secret_value())
    return value


def check_template(text: str) -> None:
    """Raises ValueError, without the text, which may be a secret, for a template that cannot be read."""
    try:
        _TEMPLATES.check(text)
    except TemplateError:
        raise ValueError("not a template that can be read") from None


SecretTemplateUrl = Annotated[
    SecretStr | None,
    BeforeValidator(_none_if_empty),
    AfterValidator(_template_url),
    PlainSerializer(lambda value: value and HIDDEN_URL, when_used="json"),
]
"""A URL that is a credential, or a template of one; None when it is empty."""

_GO_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+|[+-]?0")
_GO_PART = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)")
_GO_UNITS_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}


def _go_duration(value: object) -> int:
    if isinstance(value, Written) or not isinstance(value, str):
        found = plain(value)
        if isinstance(found, int) and not isinstance(found, bool):
            return max(1, found // 1_000_000) if found > 0 else 0  # a plain number is one of nanoseconds
        raise ValueError("not a duration (write it with a unit, like 30s, 1m30s)")
    if not _GO_DURATION.fullmatch(value):
        raise ValueError(f"not a duration: {value!r} (write it with a unit, like 30s, 1m30s)")
    ms = sum(float(number) * _GO_UNITS_MS[unit] for number, unit in _GO_PART.findall(value))
    return 0 if value.startswith("-") else max(1, round(ms)) if ms else 0


def _as_go_writes(ms: int) -> str:
    return f"{ms}ms" if ms % 1000 else f"{ms // 1000}s"


GoDurationMs = Annotated[int, BeforeValidator(_go_duration), PlainSerializer(_as_go_writes, when_used="json")]
"""A duration as Go's time.ParseDuration reads it, in milliseconds; 0 for none and for a negative one."""


def _with_unit(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("not a duration (write it with a unit, like 30s, 1m30s)")
    return _go_duration(str(value))


GoDurationTextMs = Annotated[int, BeforeValidator(_with_unit), PlainSerializer(_as_go_writes, when_used="json")]
"""As `GoDurationMs`, where a number without a unit is none."""


def at_most_one(**given: object) -> None:
    """Raises ValueError naming all when more than one of the values is there."""
    if sum(value is not None and value != "" for value in given.values()) > 1:
        raise ValueError(f"at most one of {' & '.join(given)} must be configured")


def one_of(**given: object) -> None:
    """Raises ValueError unless exactly one of the values is there."""
    if not any(value is not None and value != "" for value in given.values()):
        raise ValueError(f"one of {' or '.join(given)} must be configured")
    at_most_one(**given)
