"""Pages that go stale fail: what they say is compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

from app.config import Limits, parse_size
from app.durations import parse_duration_ms

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_limits_has_every_limit_with_its_default() -> None:
    """docs/limits.md lists exactly the limits there are, each with the default in force."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", (DOCS / "limits.md").read_text(), re.MULTILINE))
    defaults = Limits()
    assert list(rows) == list(Limits.model_fields)
    for name, text in rows.items():
        value = parse_duration_ms(text) if text[-1] in "sm" and "iB" not in text else parse_size(text)
        assert value == getattr(defaults, name), name
