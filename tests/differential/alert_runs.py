"""The same cases given to Alertmanager, in real time, and to Watchhouse, with a clock that is turned."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import orjson
import yaml
from aiohttp import web

from alerting.notify.base import Notification, Notifier
from app.api.alertmanager import alertmanager_router
from app.config import Auth
from app.web import TokenCheck, create_app
from tests.alert_world import HandClock, MemoryStore, manager_of
from tests.differential.alert_cases import STEP_S, AlertLabels, Case, Step, whole_config
from tests.integration.alertmanager_peer import running_alertmanager

AT_ONCE = 20
"""Cases whose alerts are posted together."""
SETTLE_S = 1.2
"""After a step everything has been told; the state is looked at then."""
Told = tuple[tuple[AlertLabels, str], ...]
Way = tuple[str, str, str]
"""Receiver, number of its notifier, group key."""


class Run:
    """What was seen: by way the notifications in order, and after each step the groups and what is suppressed."""

    def __init__(self) -> None:
        self.told: dict[Way, list[Told]] = {}
        self.groups: list[list[Any]] = []

    def tell(self, way: Way, body: Mapping[str, Any]) -> None:
        """Notes a notification, given as a webhook's body."""
        told = tuple((tuple(sorted(a["labels"].items())), a["status"]) for a in body["alerts"])
        self.told.setdefault(way, []).append(told)

    def of(self, case: Case) -> tuple[dict[Way, list[Told]], list[Any]]:
        """What concerns one case."""
        names = {receiver["name"] for receiver in case.receivers}
        told = {way: notifications for way, notifications in self.told.items() if way[0] in names}
        # groups of one receiver with the same labels come in any order
        return told, [sorted((group for group in step if group[0] in names), key=str) for step in self.groups]


def _batched(cases: Sequence[Case]) -> list[Sequence[Case]]:
    return [cases[i : i + AT_ONCE] for i in range(0, len(cases), AT_ONCE)]


Ask = Callable[[str, str, Any], Awaitable[Any]]
"""Sends a request (method, path below /api/v2, JSON body) and gives the JSON of the answer; None for a refusal."""


class _Client:
    """Does the steps of cases by API."""

    def __init__(self, ask: Ask, now: Callable[[], datetime]) -> None:
        self._ask = ask
        self._now = now
        self._since: dict[AlertLabels, str] = {}
        self._silences: dict[tuple[int, int], str] = {}

    async def step(self, cases: Sequence[Case], number: int) -> None:
        """One step of some cases: their silences, and then their alerts in one request."""
        posted = []
        for case in cases:
            step, now = case.steps[number], self._now().isoformat()
            for silence, matchers in step.silences:
                await self._silence(case, silence, matchers, now)
            for silence in step.expiring:
                # one whose matchers match the empty text is refused by both
                if (case.number, silence) in self._silences:
                    await self._ask("DELETE", f"/silence/{self._silences[case.number, silence]}", None)
            posted += self._alerts(step, now)
        if posted:
            await self._ask("POST", "/alerts", posted)

    async def _silence(self, case: Case, silence: int, matchers: tuple[str, ...], now: str) -> None:
        body = {
            "matchers": [_matcher(text) for text in matchers],
            "startsAt": now,
            "endsAt": datetime(2099, 1, 1, tzinfo=UTC).isoformat(),
            "createdBy": "ann",
            "comment": f"{case.number}/{silence}",
        }
        answer = await self._ask("POST", "/silences", body)
        if answer is not None:
            self._silences[case.number, silence] = answer["silenceID"]

    def _alerts(self, step: Step, now: str) -> list[dict[str, Any]]:
        firing = [{"labels": dict(labels), "startsAt": self._since.setdefault(labels, now)} for labels in step.firing]
        ending = [
            {"labels": dict(labels), "startsAt": self._since.pop(labels), "endsAt": now} for labels in step.ending
        ]
        return firing + ending

    async def groups(self) -> list[Any]:
        """Every group: receiver, labels, and each alert with its receivers, state and what suppresses it."""
        groups = await self._ask("GET", "/alerts/groups", None)
        comments = {s["id"]: s["comment"] for s in await self._ask("GET", "/silences", None)}
        return [
            (group["receiver"]["name"], group["labels"], [_alert(alert, comments) for alert in group["alerts"]])
            for group in groups
        ]


def _alert(alert: dict[str, Any], comments: dict[str, str]) -> Any:
    status = alert["status"]
    suppressed = bool(status["silencedBy"] or status["inhibitedBy"])
    return (
        alert["labels"],
        # alerts that no group has looked at yet have no state in a 0.25, and muted ones are active there
        status["state"] if suppressed else "",
        sorted(comments[silence] for silence in status["silencedBy"]),
        bool(status["inhibitedBy"]),
        sorted({receiver["name"] for receiver in alert["receivers"]}),
    )


def _matcher(text: str) -> dict[str, Any]:
    for op, regex, equal in (("=~", True, True), ("!~", True, False), ("!=", False, False), ("=", False, True)):
        name, found, value = text.partition(op)
        if found and name.isidentifier():
            return {"name": name, "value": value.strip('"'), "isRegex": regex, "isEqual": equal}
    raise AssertionError(text)


async def run_theirs(cases: Sequence[Case], folder: Path) -> Run:
    """Gives the cases to a real Alertmanager."""
    run = Run()

    async def take(request: web.Request) -> web.Response:
        body = await request.json()
        run.tell((request.match_info["receiver"], request.match_info["number"], body["groupKey"]), body)
        return web.Response()

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{receiver}/{number}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        hook = f"http://127.0.0.1:{runner.addresses[0][1]}"
        config = yaml.safe_dump(whole_config(list(cases), hook))
        with running_alertmanager(folder, config) as url:
            async with aiohttp.ClientSession(url) as http:
                client = _Client(functools.partial(_ask_theirs, http), lambda: datetime.now(UTC))
                started = asyncio.get_running_loop().time()
                for number in range(len(cases[0].steps)):
                    await _until(started + number * STEP_S)
                    for some in _batched(cases):
                        await client.step(some, number)
                    await _until(started + number * STEP_S + SETTLE_S)
                    run.groups.append(await client.groups())
                await _until(started + len(cases[0].steps) * STEP_S)
    finally:
        await runner.cleanup()
    return run


async def _ask_theirs(http: aiohttp.ClientSession, method: str, path: str, body: Any) -> Any:
    async with http.request(method, f"/api/v2{path}", json=body) as answer:
        text = await answer.read()
        return orjson.loads(text or b"null") if answer.status == 200 else None


async def _ask_ours(http: httpx.AsyncClient, method: str, path: str, body: Any) -> Any:
    answer = await http.request(method, f"/api/v2{path}", json=body)
    return orjson.loads(answer.content or b"null") if answer.status_code == 200 else None


async def _until(at: float) -> None:
    # another process in real time: there is nothing else to wait on
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))


class _Noting:
    """A notifier that notes what a webhook would be sent."""

    integration = "webhook"

    def __init__(self, run: Run, number: int, *, send_resolved: bool) -> None:
        self.send_resolved = send_resolved
        self._run = run
        self._number = str(number)

    async def notify(self, notification: Notification) -> None:
        alerts = [
            {"labels": dict(a.labels), "status": "resolved" if a.resolved_at(notification.now) else "firing"}
            for a in notification.alerts
        ]
        self._run.tell((notification.receiver, self._number, notification.group_key), {"alerts": alerts})

    async def close(self) -> None:
        return


async def run_ours(cases: Sequence[Case]) -> Run:
    """Gives the cases to a manager by the same API, with a clock that is turned."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    run, clock = Run(), HandClock()
    notifiers: dict[str, list[Notifier]] = {
        receiver["name"]: [
            _Noting(run, i, send_resolved=send_resolved) for i, send_resolved in enumerate(receiver["send_resolved"])
        ]
        for case in cases
        for receiver in case.receivers
    }
    config = yaml.safe_dump(whole_config(list(cases), "http://unused.example"))
    manager = manager_of(config, MemoryStore(clock), clock, notifiers)
    await manager.start()
    app = create_app([alertmanager_router(manager)], {}, TokenCheck(Auth()), "test")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        client = _Client(functools.partial(_ask_ours, http), clock.now)
        for number in range(len(cases[0].steps)):
            for some in _batched(cases):
                await client.step(some, number)
            await clock.turn(manager, SETTLE_S)
            run.groups.append(await client.groups())
            await clock.turn(manager, STEP_S - SETTLE_S)
    await manager.stop()
    return run


def differences(cases: Sequence[Case], theirs: Run, ours: Run) -> dict[int, str]:
    """What differs, by the number of the case."""
    found = {}
    for case in cases:
        (told, groups), (our_told, our_groups) = theirs.of(case), ours.of(case)
        way = next(
            (w for w in sorted({*told, *our_told}) if not _same(case, told.get(w, []), our_told.get(w, []))), None
        )
        if way is not None:
            found[case.number] = f"{way}: Alertmanager {_shown(told.get(way))}\n  ours {_shown(our_told.get(way))}"
        elif groups != our_groups:
            step = next(i for i, pair in enumerate(zip(groups, our_groups, strict=True)) if pair[0] != pair[1])
            found[case.number] = f"groups after step {step}: Alertmanager {groups[step]}\n  ours {our_groups[step]}"
    return found


def _same(case: Case, theirs: list[Told], ours: list[Told]) -> bool:
    """Whether the notifications are the same in the same order.

    Where a case repeats what goes on, how often it does in real time may differ by some.
    """
    if case.route["repeat_interval"] == "1h":
        return theirs == ours
    runs = [[(told, len(list(many))) for told, many in itertools.groupby(side)] for side in (theirs, ours)]
    return [told for told, _ in runs[0]] == [told for told, _ in runs[1]] and all(
        abs(a - b) <= 1 + max(a, b) // 3 for (_, a), (_, b) in zip(*runs, strict=True)
    )


def _shown(told: list[Told] | None) -> str:
    if told is None:
        return "nothing"
    return "; ".join(" ".join(f"{status}{dict(labels)}" for labels, status in notification) for notification in told)


async def unlike(cases: Sequence[Case], folder: Path, again: int = 2) -> dict[int, str]:
    """What differs. A case that does is run again by itself: a timer of real time may have met a step."""
    left: dict[int, str] = {}
    for attempt in range(again + 1):
        (folder / str(attempt)).mkdir(parents=True)
        theirs, ours = await run_theirs(cases, folder / str(attempt)), await run_ours(cases)
        left = differences(cases, theirs, ours)
        cases = [case for case in cases if case.number in left]
        if not cases:
            break
    return left
