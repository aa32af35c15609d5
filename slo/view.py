"""What was known after a cycle. It never changes, so requests read it while the next cycle runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from slo.board import Batch, Watched
from slo.judge import Policy
from slo.spec import SloSpec
from slo.state import INACTIVE, AlertState
from slo.status import SloStatus, assess, unknown, with_alerts


@dataclass(frozen=True, slots=True)
class View:
    """SLOs as they were measured, why some could not be counted, and how far their alerts are."""

    batches: Sequence[Batch] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    """By SLO id."""
    states: Mapping[str, Mapping[str, AlertState]] = field(default_factory=dict)
    """Of the alerts that are pending or firing, by SLO id and key."""
    failure: str = ""
    """Why the last cycle failed as a whole."""
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The batch and the point in it of each SLO."""

    @classmethod
    def of(
        cls, batches: Sequence[Batch], watched: Iterable[Watched], states: Mapping[str, Mapping[str, AlertState]]
    ) -> View:
        """What is known now."""
        places = {spec.id: (b, n) for b, batch in enumerate(batches) for n, spec in enumerate(batch.specs)}
        return cls(batches, {one.spec.id: one.error for one in watched if one.error}, states, places=places)

    def failed(self, error: str) -> View:
        """The same, after a cycle that could not be done."""
        return replace(self, failure=error)

    def state(self, slo: str, alert: str) -> AlertState:
        """How far an alert is."""
        return self.states.get(slo, {}).get(alert, INACTIVE)

    def firing(self) -> dict[str, set[str]]:
        """The keys of the alerts that fire, by the id of their SLO."""
        found = {
            slo: {key for key, state in alerts.items() if state.firing_ms is not None}
            for slo, alerts in self.states.items()
        }
        return {slo: keys for slo, keys in found.items() if keys}

    def statuses(self, specs: Sequence[SloSpec], policy: Policy) -> list[SloStatus]:
        """The status of each, in order; of one that was not measured yet nothing is known. Takes a while for many."""
        points: dict[int, list[int]] = {}
        for spec in specs:
            if spec.id in self.places:
                number, n = self.places[spec.id]
                points.setdefault(number, []).append(n)
        found: dict[str, SloStatus] = {}
        for number, at in points.items():
            batch = self.batches[number]
            chosen = [batch.watched[n].spec for n in at]
            for status in assess(chosen, batch.measured.at(np.array(at)), policy):
                found[status.spec.id] = with_alerts(status, self)
        return [self._told(found.get(spec.id) or unknown(spec)) for spec in specs]

    def _told(self, status: SloStatus) -> SloStatus:
        error = self.errors.get(status.spec.id) or self.failure
        return status.failed(error) if error else status
