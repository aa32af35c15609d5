"""`| unwrap duration(took)`: the label whose value is the sample of a line."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.logql.conversions import UNWRAPPED
from app.query.logql.rows import Rows
from app.query.logql.stages.label_filter import LabelFilter
from app.query.logql.stages.stage import Stage

_FAILED = "SampleExtractionErr"


@dataclass(frozen=True, slots=True)
class Unwrap(Stage):
    """Leaves out lines without the label. One whose label cannot be read is an error, which `filters` may leave out."""

    label: str
    conversion: str = ""
    filters: tuple[LabelFilter, ...] = ()

    def reads(self) -> frozenset[str]:
        """The label, and those compared after it."""
        names = {self.label}
        for label_filter in self.filters:
            names |= label_filter.reads()
        return frozenset(names)

    def apply(self, rows: Rows) -> None:
        """Adds the sample as a column."""
        text = rows.add_one("text", rows.value(self.label))
        rows.where(f"{text} != ''")
        conversion = UNWRAPPED[self.conversion]
        number = rows.add_one("number", conversion.value(text))
        rows.sample = rows.add_one("sample", f"ifNull({number}, 0.)")
        rows.fail(f"isNull({number})", _FAILED, conversion.problem(text))
        for label_filter in self.filters:
            label_filter.apply(rows)

    def __str__(self) -> str:
        wanted = f"{self.conversion}({self.label})" if self.conversion else self.label
        return " ".join([f"| unwrap {wanted}", *map(str, self.filters)])
