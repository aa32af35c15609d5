"""What Slack may ask of the service, and do in it: an `alerting.slack.desk.World` over the parts of the process."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from alerting.manager.manager import AlertManager
from alerting.manager.silences import Silence
from alerting.slack.desk import Group, LogAnswer, LogLine, Person, SloView, Status
from app.alert import Alert
from app.api.gate import QueryGate
from app.api.health import Health
from app.api.health import Status as Worst
from app.api.slack.slos import SlackSlos
from app.errors import BadQuery
from app.labels import Labels, Matcher
from app.query.logql.engine import LogQLEngine
from app.query.logql.result import LogResult

LOOK_BACK = timedelta(hours=1)
_QUERY_S = 20.0
_STREAM_LABELS = (
    "namespace", "pod", "container", "app", "service", "service_name", "job", "instance", "host", "node", "unit",
)  # fmt: skip
"""Labels that tell whose lines are wanted, when streams have them."""
_MOST_VALUES = 10
_SLOTH = {"sloth_service": "service"}


class SlackWorld:
    """The service, for Slack."""

    def __init__(
        self,
        manager: Callable[[], AlertManager],
        slos: SlackSlos,
        logql: LogQLEngine,
        gate: QueryGate,
        health: Callable[[], Awaitable[list[Health]]],
    ) -> None:
        self._manager = manager
        self._slos = slos
        self._logql = logql
        self._gate = gate
        self._health = health

    def groups(self) -> list[Group]:
        """As `World.groups`."""
        manager = self._manager()
        now, found = manager.clock.now(), []
        for view in manager.groups():
            alerts = tuple(known.alert for known in view.alerts if not known.alert.resolved_at(now))
            if alerts:
                silenced = all(manager.status_of(alert).suppressed for alert in alerts)
                found.append(Group(view.key, view.receiver, view.labels, alerts, silenced, view.matchers))
        return found

    async def acknowledge(self, group: Group, by: Person) -> int:
        """As `World.acknowledge`."""
        fingerprints = [alert.fingerprint for alert in group.alerts]
        return len(await self._manager().acknowledge(fingerprints=fingerprints, by=by.shown, who=by.audited))

    async def silence(self, matchers: Sequence[Matcher], length: timedelta, by: Person, comment: str) -> datetime:
        """As `World.silence`."""
        manager = self._manager()
        now = manager.clock.now()
        wanted = Silence(
            id="",
            matchers=tuple(matchers),
            starts_at=now,
            ends_at=now + length,
            updated_at=now,
            created_by=by.shown,
            comment=comment,
        )
        await manager.silences.set(wanted, by.audited)
        return wanted.ends_at

    async def slos(self) -> list[SloView]:
        """As `World.slos`."""
        return await self._slos.views()

    async def logs_of(self, alerts: Sequence[Alert], limit: int) -> LogAnswer:
        """As `World.logs_of`: the streams that have the alerts' own values of labels that tell whose lines they are."""
        end = datetime.now(UTC)
        start_ns, end_ns = _ns(end - LOOK_BACK), _ns(end)
        streams = await self._gate.run(lambda: self._logql.streams([], start_ns, end_ns, _QUERY_S))
        selector = selector_of(alerts, streams)
        if not selector:
            raise BadQuery("the labels of these alerts are none that a stream of logs has")
        return await self.logs(selector, limit)

    async def logs(self, query: str, limit: int) -> LogAnswer:
        """As `World.logs`, of the last hour."""
        end = datetime.now(UTC)
        start_ns, end_ns = _ns(end - LOOK_BACK), _ns(end)

        def read() -> LogResult:
            found = self._logql.range(query, start_ns, end_ns, step_ms=0, limit=limit, timeout_s=_QUERY_S)
            if not isinstance(found, LogResult):
                raise BadQuery("that query gives numbers: ask for lines")
            return found

        result = await self._gate.run(read)
        lines = [LogLine(datetime.fromtimestamp(one.ts_ns / 1e9, UTC), one.stream, one.text) for one in result.lines]
        return LogAnswer(query, lines[::-1])

    async def status(self) -> Status:
        """As `World.status`."""
        found = await self._health()
        statuses = {health.status for health in found}
        worst: Worst = "red" if "red" in statuses else "yellow" if "yellow" in statuses else "green"
        return Status(worst, [f"{h.component}: {h.detail}" for h in found if h.status != "green"])


def selector_of(alerts: Sequence[Alert], streams: Sequence[Labels]) -> str:
    """A stream selector for what some alerts are about; "" where no stream has anything of them."""
    own = [dict(alert.labels) for alert in alerts]
    own = [{**labels, **{ours: labels[name] for name, ours in _SLOTH.items() if name in labels}} for labels in own]
    there: dict[str, set[str]] = {}
    for labels in streams:
        for name, value in labels:
            there.setdefault(name, set()).add(value)
    matchers = []
    for name in _STREAM_LABELS:
        values = sorted({labels[name] for labels in own if labels.get(name)} & there.get(name, set()))
        # a label that only some of the alerts have would leave the others' lines out
        if not values or not all(labels.get(name) in there[name] for labels in own) or len(values) > _MOST_VALUES:
            continue
        if len(values) == 1:
            matchers.append(f'{name}="{_quoted(values[0])}"')
        else:
            matchers.append(f'{name}=~"{_quoted("|".join(map(re.escape, values)))}"')
    return "{" + ", ".join(matchers) + "}" if matchers else ""


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000_000)
