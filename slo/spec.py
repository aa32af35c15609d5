"""An SLO as the engine knows it, whichever file format it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from app.labels import Labels

DAY_MS = 86_400_000
Severity = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = ("page", "ticket")


@dataclass(frozen=True, slots=True)
class EventsSli:
    """Bad and total events, each a PromQL query over `{{.window}}`."""

    error_query: str
    total_query: str


@dataclass(frozen=True, slots=True)
class RatioSli:
    """A ready-made error ratio (0 to 1) over `{{.window}}`. It knows no events: each interval weighs 1."""

    error_ratio_query: str


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """What the alert of one severity carries beside what the engine adds."""

    name: str
    labels: Labels = ()
    annotations: Labels = ()


@dataclass(frozen=True, slots=True)
class SloSpec:
    """One objective over a rolling period. `objective` is in per cent, above 0 and at most 100.

    An alert that is None is disabled. `labels` are those of the service and of the SLO together.
    """

    name: str
    service: str
    objective: float
    sli: EventsSli | RatioSli
    description: str = ""
    labels: Labels = ()
    period_ms: int = 30 * DAY_MS
    page: AlertSpec | None = None
    ticket: AlertSpec | None = None
    file: str = field(default="", compare=False)
    line: int | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """`<service>-<slo>`, unique among all files."""
        return f"{self.service}-{self.name}"

    @property
    def events_key(self) -> str:
        """The name its counts are kept under: another one as soon as a query changes, as old counts are void then."""
        queries = (
            ("ratio", self.sli.error_ratio_query)
            if isinstance(self.sli, RatioSli)
            else ("events", self.sli.error_query, self.sli.total_query)
        )
        digest = hashlib.blake2b("\0".join(queries).encode(), digest_size=6).hexdigest()
        return f"{self.id}#{digest}"

    def alert(self, severity: Severity) -> AlertSpec | None:
        """The alert of a severity, None when it is disabled."""
        return self.page if severity == "page" else self.ticket
