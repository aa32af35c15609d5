"""Rules over a real store, with a clock turned by hand and a sink that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from alerting.rules.engine import RuleEngine
from alerting.rules.model import load_rule_file
from alerting.rules.slots import slot_after
from alerting.rules.spec import Group, Language
from app.alert import Alert
from app.config import Limits
from app.errors import StoreUnavailable
from app.labels import Labels
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.state import StateStore
from app.telemetry import REGISTRY
from ingest.derived import RecordedSamples
from ingest.writer import Writer
from tests.integration.promql_world import put, series

T0 = 1_700_000_000_000
INTERVAL = 15_000


class RememberingSink:
    """An `AlertSink` that keeps what it was told; `away` makes it fail."""

    def __init__(self) -> None:
        self.told: list[Alert] = []
        self.away = False

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """Takes alerts."""
        if self.away:
            raise StoreUnavailable("the alert manager is away")
        self.told += alerts

    def take(self) -> list[tuple[str, int, int | None]]:
        """(alert's name, starts, ends) of what was told since the last time, in ms after T0."""
        told, self.told = self.told, []
        return [
            (
                alert.name,
                _ms(alert.starts_at.timestamp()),
                None if alert.ends_by_timeout or alert.ends_at is None else _ms(alert.ends_at.timestamp()),
            )
            for alert in told
        ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000) - T0


class RuleWorld:
    """An engine, its samples and its clock. `now_ms` is the present."""

    def __init__(self, pool: Pool, writer: Writer, folder: Path) -> None:
        self.pool = pool
        self.writer = writer
        self.folder = folder
        self.sink = RememberingSink()
        self.now_ms = T0
        self.promql = PromQLEngine(pool, Limits())
        self.engine = self._engine(())

    def groups(
        self, *rules: Mapping[str, object], language: Language = "promql", name: str = "g", **group: object
    ) -> list[Group]:
        """One group of these rules, every 15 s, as its file says."""
        path = self.folder / f"{name}.yml"
        whole = {"name": name, "interval": "15s", **group, "rules": list(rules)}
        path.write_text(yaml.safe_dump({"groups": [whole]}))
        return load_rule_file(path, language)[0]

    async def begin(self, groups: Sequence[Group]) -> None:
        """A new process with these groups; it knows what the one before kept."""
        self.engine = self._engine(groups)
        await self.engine.load()

    async def turn(self, group: Group) -> int:
        """Moves on to when the group's next slot is evaluated, evaluates it, and gives its time."""
        run = next(run for run in self.engine.runs() if run.group.key == group.key)
        wait_s = await self.engine.turn(group.key)
        if wait_s:
            self.now_ms += round(wait_s * 1000)
            assert await self.engine.turn(group.key) == 0
        return run.slot_ms

    async def catch_up(self, group: Group) -> list[int]:
        """Evaluates every slot that is due, and gives their times."""
        run = next(run for run in self.engine.runs() if run.group.key == group.key)
        slots = []
        while await self.engine.turn(group.key) == 0:
            slots.append(run.slot_ms)
        return slots

    def put(self, name: str, points: Sequence[tuple[int, float]], **labels: str) -> None:
        """Stores samples, as (ms, value)."""
        put(self.pool, {series(name, **labels): points})

    def vector(self, query: str, at_ms: int) -> dict[Labels, float]:
        """What the store answers."""
        found = self.promql.instant(query, at_ms)
        return dict(zip(found.labels, found.values[:, 0].tolist(), strict=True))

    def metric(self, name: str, group: Group) -> float:
        """One of the service's own metrics of a group."""
        return REGISTRY.get_sample_value(f"watchhouse_rule_{name}", {"rule_group": group.key}) or 0.0

    def _engine(self, groups: Sequence[Group]) -> RuleEngine:
        return RuleEngine(
            groups,
            self.promql,
            LogQLEngine(self.pool, Limits()),
            StateStore(self.pool),
            RecordedSamples(self.writer, "rules"),
            self.sink,
            external_url="http://watch.example",
            external_labels=lambda: {"cluster": "eu"},
            clock=lambda: self.now_ms / 1000,
        )


def slots(group: Group, n: int, after_ms: int = T0) -> list[int]:
    """The next n slots of a group."""
    found = [slot_after(group, after_ms)]
    while len(found) < n:
        found.append(slot_after(group, found[-1]))
    return found


async def settled() -> None:
    """Lets callbacks of what has just ended run."""
    await asyncio.sleep(0)
