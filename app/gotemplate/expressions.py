"""Go's regular expressions in templates: RE2, with Go's words for what is wrong and Go's `$1` in replacements."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any

import re2

from app.gotemplate.errors import CallError, TooLong
from app.gotemplate.meter import charge
from app.gotemplate.printing import MOST_CHARACTERS
from app.gotemplate.quoting import quoted

# what finding and replacing one match costs in steps
_MATCH = 4
_QUIET = re2.Options()
_QUIET.log_errors = False
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")
# how RE2 names a mistake, and how Go does
_MISTAKES = (
    ("missing ]", "missing closing ]"),
    ("missing )", "missing closing )"),
    ("unexpected )", "unexpected )"),
    ("no argument for repetition operator", "missing argument to repetition operator"),
    ("bad repetition operator", "invalid nested repetition operator"),
    ("invalid repetition size", "invalid repeat count"),
    ("invalid character class range", "invalid character class range"),
    ("invalid character class", "invalid character class"),
    ("invalid escape sequence", "invalid escape sequence"),
    ("trailing \\", "trailing backslash at end of expression"),
    ("invalid perl operator", "invalid or unsupported Perl syntax"),
    ("invalid named capture group", "invalid named capture"),
    ("invalid UTF-8", "invalid UTF-8"),
)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """A pattern ready to search. Raises CallError as regexp.Compile says it."""
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as problem:
        message = problem.args[0] if problem.args else ""
        text = message.decode() if isinstance(message, bytes) else str(message)
        for known, said in _MISTAKES:
            if text.startswith(known):
                part = text.removeprefix(known).removeprefix(": ")
                raise CallError(f"error parsing regexp: {said}: `{part}`") from None
        raise CallError(f"error parsing regexp: {text}") from None


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text: regexp.MatchString."""
    return compiled(pattern).search(text) is not None


def replace_all(pattern: str, replacement: str, text: str) -> str:
    """Every match replaced, `$1` and `${name}` by what the groups matched: Regexp.ReplaceAllString."""
    try:
        expression = compiled(pattern)
    except CallError as problem:
        shown = quoted(pattern) if "`" in pattern or not pattern.isprintable() else f"`{pattern}`"
        raise CallError(f"regexp: Compile({shown}): {problem}") from None
    parts: list[str] = []
    size, end, matched_to = 0, 0, -1
    for match in expression.finditer(text):
        start = match.start()
        if start == match.end() == matched_to:
            continue
        charge(_MATCH)
        made = _REFERENCE.sub(partial(_group, match), replacement)
        parts += (text[end:start], made)
        size += len(made)
        if size > MOST_CHARACTERS:
            raise TooLong
        end = matched_to = match.end()
    return "".join((*parts, text[end:]))


def _group(match: Any, reference: re.Match[str]) -> str:
    name = reference[1] or reference[2]
    if name is None:
        return "$"
    if name.isdecimal() and (name == "0" or name[0] != "0"):
        return (match.group(int(name)) or "") if len(name) < 9 and int(name) <= match.re.groups else ""
    return (match.group(name) or "") if name in match.re.groupindex else ""
