"""Label sets and matchers, shared by ingestion, the query languages and alerting."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import re2

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, no name twice, no empty value: an empty label is an absent one."""

METRIC_NAME = "__name__"


def labels_from(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """The canonical form of a label set: sorted by name, empty values dropped; of a name given twice the last wins."""
    mapping = dict(pairs)
    return tuple(sorted((name, value) for name, value in mapping.items() if value != ""))


class MatchOp(StrEnum):
    """The four label matchers."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


_QUIET = re2.Options()
# a pattern that is wrong is an error to its writer, not a line on our stderr
_QUIET.log_errors = False


@functools.lru_cache(maxsize=4096)
def anchored(pattern: str) -> Any:
    """A compiled RE2 pattern that must match the whole text, with `.` matching newlines, as Prometheus has it.

    Raises `re2.error` on a pattern RE2 does not take.
    """
    return re2.compile(f"^(?s:{pattern})$", _QUIET)


@dataclass(frozen=True, slots=True)
class Matcher:
    """`name op "value"`. A missing label has the value ""."""

    name: str
    op: MatchOp
    value: str

    def matches(self, value: str) -> bool:
        """Whether a label with this value satisfies the matcher."""
        if self.op is MatchOp.EQUAL:
            return value == self.value
        if self.op is MatchOp.NOT_EQUAL:
            return value != self.value
        found = anchored(self.value).search(value) is not None
        return found if self.op is MatchOp.REGEX else not found

    def matches_labels(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set satisfies the matcher."""
        return self.matches(labels.get(self.name, ""))

    def __str__(self) -> str:
        name = f'"{_escaped(self.name)}"' if _RESERVED.search(self.name) else self.name
        return f'{name}{self.op.value}"{_escaped(self.value)}"'


_RESERVED = re.compile(r"""[\s{}!=~,\\"'`]""")
"""What a label name cannot hold without quotes in Alertmanager's syntax of matchers."""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
