"""label_replace, label_join, and orders by label."""

from __future__ import annotations

import re

import re2

from app.errors import QueryFailed
from app.labels import Labels, anchored, labels_from
from app.query.vector import Vector, merged

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def label_replace(vector: Vector, target: str, replacement: str, source: str, pattern: str) -> Vector:
    """Sets label `target` to the expanded replacement on each series whose `source` label the pattern matches whole."""
    try:
        compiled = anchored(pattern)
    except re2.error as error:
        raise QueryFailed(f"invalid regular expression in label_replace(): {pattern}") from error
    _check_name(target, "label_replace")
    results: dict[str, str | None] = {}

    def replaced(labels: Labels) -> Labels:
        own = dict(labels)
        value = own.get(source, "")
        if value not in results:
            match = compiled.search(value)
            results[value] = None if match is None else _expand(match, replacement)
        new = results[value]
        return labels if new is None else labels_from({**own, target: new})

    return merged(vector.relabelled([replaced(labels) for labels in vector.labels]))


def label_join(vector: Vector, target: str, separator: str, sources: tuple[str, ...]) -> Vector:
    """Sets label `target` to the values of the sources with the separator between."""
    _check_name(target, "label_join")

    def joined(labels: Labels) -> Labels:
        own = dict(labels)
        return labels_from({**own, target: separator.join(own.get(name, "") for name in sources)})

    return merged(vector.relabelled([joined(labels) for labels in vector.labels]))


def sorted_by_labels(vector: Vector, names: tuple[str, ...], descending: bool) -> Vector:
    """Ordered by some labels, digits in them as numbers; equals by the whole label set."""

    def key(i: int) -> tuple[object, ...]:
        own = dict(vector.labels[i])
        return (*(natural(own.get(name, "")) for name in names), vector.labels[i])

    return vector.take(sorted(range(len(vector)), key=key, reverse=descending))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key in which `a10` comes after `a9`."""
    parts = re.findall(r"\d+|\D+", text, re.ASCII)
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts)


def _expand(match: re.Match[str], template: str) -> str:
    """Go's regexp.Expand: $1, ${1}, $name, ${name}, $$; what does not exist is empty."""

    def value(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except (IndexError, KeyError, re2.error):
            return ""

    return _REFERENCE.sub(value, template)


def _check_name(name: str, function: str) -> None:
    if not name:
        raise QueryFailed(f"invalid destination label name in {function}(): {name}")
