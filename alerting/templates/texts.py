"""Functions on texts that Prometheus's and Alertmanager's templates have alike."""

from __future__ import annotations

import math
import unicodedata

from app.gotemplate import CallError, Duration, Time
from app.gotemplate.floats import format_float, parse_float
from app.gotemplate.html.types import HTML
from app.gotemplate.quoting import quoted
from app.gotemplate.values import type_of

_MIDDLES = frozenset("'.:·‘’․‧·՟״︓︰﹒﹕＇．：")
# scripts without spaces between words: each letter stands for itself
_WITHOUT_SPACES = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
_LONGEST_NS = 2**63


def upper(text: str) -> str:
    """Upper case, character by character: strings.ToUpper."""
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def lower(text: str) -> str:
    """Lower case, character by character: strings.ToLower."""
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def _upper(character: str) -> str:
    made = character.upper()
    return made if len(made) == 1 else character


def _lower(character: str) -> str:
    return "i" if character == "\u0130" else character.lower()


def title(text: str, *, lowered: bool) -> str:
    """The first letter of each word in title case; with `lowered` the others in lower case.

    Words are those of golang.org/x/text/cases: letters, digits, underscores, and one of `'.:` between them.
    """
    parts: list[str] = []
    in_word, before_is_middle, start = False, False, 0
    for at, character in enumerate(text):
        middle = character in _MIDDLES
        if before_is_middle and middle:
            in_word = False
        if _cased(character):
            if not in_word:
                parts.append(character.title())
                in_word, start = True, at
            else:
                parts.append(_lowered(text, start, at) if lowered else character)
        else:
            parts.append(character)
            if not middle and not _part_of_word(character):
                in_word = False
        before_is_middle = middle
    return "".join(parts)


def _cased(character: str) -> bool:
    return character.lower() != character or character.upper() != character or character.islower()


def _part_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Lo" and unicodedata.name(character, "").startswith(_WITHOUT_SPACES):
        return False
    return category[0] in "LM" or category in ("Nd", "Pc", "Cf")


def _lowered(text: str, start: int, at: int) -> str:
    if text[at] != "Σ":
        return text[at].lower()
    return text[start : at + 2].lower()[at - start]


def safe_html(text: str) -> HTML:
    """The text as HTML that needs no escaping."""
    return HTML(text)


def number_of(value: object) -> float:
    """A number of what a function of templates was given. Raises CallError."""
    if isinstance(value, Duration) and type_of(value).kind == "int":
        return value.seconds()
    if value is None:
        raise CallError("can't convert <nil> to float")
    kind = type_of(value)
    if kind.name in ("float64", "int") and isinstance(value, float | int):
        return float(value)
    if kind.name == "string" and isinstance(value, str):
        try:
            return parse_float(value)
        except ValueError as problem:
            raise CallError(f"strconv.ParseFloat: parsing {quoted(value)}: {problem}") from None
    raise CallError(f"can't convert {kind} to float")


def four_digits(value: float) -> str:
    """Go's `%.4g`."""
    return format_float(value, "g", 4)


def small(value: float) -> tuple[float, str]:
    """A number below 1 as one of a thousandth, a millionth … and the unit's prefix."""
    prefix = ""
    for name in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = name, value * 1000
    return value, prefix


def humanize_duration(value: object) -> str:
    """Seconds as `1d 2h 3m 4s`, below a minute with four digits."""
    seconds = number_of(value)
    if not math.isfinite(seconds):
        return four_digits(seconds)
    if abs(seconds) < 1 and seconds != 0:
        seconds, prefix = small(seconds)
        return f"{four_digits(seconds)}{prefix}s"
    sign, whole = "-" if seconds < 0 else "", _whole(abs(seconds))
    if abs(whole) < 60:
        return f"{sign}{four_digits(abs(seconds))}s" if seconds else f"{four_digits(seconds)}s"
    minutes, second = _divided(whole, 60)
    hours, minute = _divided(minutes, 60)
    days, hour = _divided(hours, 24)
    shown = f"{minute}m {second}s"
    if days or hour:
        shown = f"{hour}h {shown}"
    return f"{sign}{days}d {shown}" if days else sign + shown


def _divided(number: int, by: int) -> tuple[int, int]:
    """Quotient and rest, both towards 0."""
    whole, rest = divmod(abs(number), by)
    return (whole, rest) if number >= 0 else (-whole, -rest)


def _whole(value: float) -> int:
    """A float as int64; one that is too large is the smallest, as processors of Intel's kind make it."""
    return int(value) if value < 2.0**63 else -(2**63)


def time_of(seconds: float) -> Time:
    """A moment by seconds since 1970, in whole milliseconds. Raises CallError."""
    nanoseconds = seconds * 1e9
    if abs(nanoseconds) > _LONGEST_NS:
        raise CallError(
            f"{format_float(seconds, 'g')} cannot be represented as a nanoseconds timestamp since it overflows int64"
        )
    return Time(int(int(nanoseconds) / 1_000_000) * 1_000_000)


def humanize_timestamp(value: object) -> str:
    """Seconds since 1970 as a date and time in UTC."""
    seconds = number_of(value)
    return time_of(seconds).text() if math.isfinite(seconds) else four_digits(seconds)
