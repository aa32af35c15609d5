"""Record keys → names that LogQL can say."""

from __future__ import annotations

import re
from typing import Any

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_CACHED = 50_000


class NameParts(dict[Any, str]):
    """Record keys to the later part of a name, where a digit may come first. May be asked from any thread."""

    def __missing__(self, key: Any) -> str:
        name = self._made(key)
        # True and 1 are one key of a dictionary, so only strings are remembered
        if type(key) is str and len(self) < _CACHED:
            self[key] = name
        return name

    def _made(self, key: Any) -> str:
        text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
        return _NOT_IN_A_NAME.sub("_", text)


class LabelNames(NameParts):
    """Record keys to label names, as Loki's parsers make them: what a name may not hold becomes `_`."""

    def _made(self, key: Any) -> str:
        name = super()._made(key)
        return name if name and not name[0].isdigit() else "_" + name


NAME_PARTS = NameParts()
LABEL_NAMES = LabelNames()
"""The names met by this process."""
