"""All that amtool does, against Alertmanager and against Watchhouse: the same output but for ids and times."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.alertmanager_peer import amtool, running_alertmanager, serving

CONFIG = """
global: {resolve_timeout: 2m}
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1h
  routes: [{matchers: [severity=page], receiver: pager}, {matchers: ['team=~"a|b"'], receiver: ab, continue: true}]
receivers: [{name: team}, {name: pager}, {name: ab}]
inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket], equal: [slo]}]
"""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|Z)?")
_FINGERPRINT = re.compile(r"\b[0-9a-f]{16}\b")
ADD = [
    ["alert", "add", "Burn", "severity=page", "slo=x", "--annotation=summary=burning", "--generator-url=http://p.example/"],
    ["alert", "add", "alertname=Slow", "severity=ticket", "slo=x", "--end=2099-01-01T00:00:00Z"],
    ["alert", "add", "Slow", "severity=ticket", "slo=y"],
    ["alert", "add", "Over", "--start=2020-01-01T00:00:00Z", "--end=2020-01-02T00:00:00Z"],
]  # fmt: skip
QUERIES = [
    ["alert", "query"],
    ["alert", "query", "Slow"],
    ["alert", "query", "severity=page"],
    ["alert", "query", 'slo=~"x|z"', "severity!=page"],
    ["alert", "query", "--receiver=pag.*"],
    ["alert", "query", "-i"],
    ["alert", "query", "-s"],
    ["alert", "query", "-a"],
    ["-o", "extended", "alert", "query", "-i", "-a", "-s"],
    ["-o", "json", "alert", "query", "severity=page"],
    ["alert", "query", "slo=~("],
]
SILENCES = [
    ["silence", "query"],
    ["silence", "query", "-q"],
    ["silence", "query", "--id=ID"],
    ["silence", "query", "slo=y"],
    ["silence", "query", "--within=3h"],
    ["silence", "query", "--expired"],
    ["silence", "query", "--expired", "--within=1h"],
    ["silence", "query", "--created-by=ann"],
    ["-o", "extended", "silence", "query"],
    ["-o", "json", "silence", "query"],
    ["alert", "query", "-s"],
]
ROUTES = [
    ["config", "routes", "test", "severity=page"],
    ["config", "routes", "test", "team=a"],
    ["config", "routes", "test", "team=c", "--verify.receivers=team"],
    ["config", "routes", "test", "team=c", "--verify.receivers=pager"],
    ["config", "routes", "show"],
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Alertmanager's address."""
    with running_alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIG) as url:
        yield url


def same(text: str) -> str:
    """An output with ids and times made alike, and columns as wide as they then are."""
    for pattern, word in ((_UUID, "ID"), (_TIME, "TIME"), (_FINGERPRINT, "FINGERPRINT")):
        text = pattern.sub(word, text)
    try:
        return json.dumps(_plain(json.loads(text)), sort_keys=True)
    except ValueError:
        lines = sorted(" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _plain(value: object) -> object:
    """JSON without what newer versions added."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in ("annotations", "mutedBy")}
    return sorted((_plain(item) for item in value), key=str) if isinstance(value, list) else value


class Pair:
    """The two, asked the same. Ids of silences differ: each has its own by the same name."""

    def __init__(self, theirs: str, ours: str) -> None:
        self.urls = (theirs, ours)
        self.ids: list[dict[str, str]] = [{}, {}]

    async def ask(self, arguments: list[str], name: str = "ID") -> tuple[str, str]:
        """Both outputs (with the exit status), made alike."""

        async def one(side: int) -> str:
            given = [self.ids[side].get(a, a) if a in self.ids[side] else _with(a, self.ids[side]) for a in arguments]
            status, out, err = await amtool(self.urls[side], *given)
            found = _UUID.search(out)
            if (found and "add" in arguments) or (found and "update" in arguments):
                self.ids[side][name] = found[0]
            # the ports of the two are in messages
            err = re.sub(r"127\.0\.0\.1:\d+", "HOST", err)
            # ours answers as a newer version than Debian's amtool is of
            err = re.sub(r"(?m)^Warning: amtool version.*$", "", err)
            return f"{status}\n{same(out)}\n{same(err) if status else ''}"

        theirs, ours = await asyncio.gather(one(0), one(1))
        return theirs, ours

    async def wrong(self, commands: list[list[str]]) -> list[str]:
        """The commands with different outputs."""
        found = []
        for arguments in commands:
            theirs, ours = await self.ask(arguments)
            if theirs != ours:
                found.append(f"amtool {' '.join(arguments)}\n--- alertmanager\n{theirs}\n--- ours\n{ours}")
        return found


def _with(argument: str, ids: dict[str, str]) -> str:
    option, equals, value = argument.partition("=")
    return f"{option}={ids[value]}" if equals and value in ids else argument


async def test_alerts_silences_and_routes(theirs: str) -> None:
    """Alerts are added and queried, silences added, changed, queried and expired, routes tested."""
    async with serving(CONFIG) as ours:
        pair = Pair(theirs, ours.url)
        wrong = await pair.wrong(ADD)
        # an Alertmanager 0.25 takes alerts up in the background
        await asyncio.sleep(0.1)
        wrong += await pair.wrong(QUERIES)
        add = ["silence", "add", "--author=ann", "--comment=patching", "--duration=2h"]
        wrong += await pair.wrong([[*add, "slo=y", 'severity!~"page|x"']])
        wrong += await pair.wrong(SILENCES)
        wrong += await pair.wrong([["silence", "add", "slo=z", "--comment="], ["silence", "add", "--comment=c"]])
        await pair.ask([*add, "Slow", "--start=2098-01-01T00:00:00Z", "--end=2099-01-01T00:00:00Z"], "LATER")
        wrong += await pair.wrong([["silence", "update", "--comment=longer", "--duration=3h", "ID"]])
        wrong += await pair.wrong([["silence", "update", "--end=2099-02-01T00:00:00Z", "LATER"]])
        wrong += await pair.wrong(SILENCES)
        wrong += await pair.wrong([["silence", "expire", "ID"], ["silence", "expire", "ID"], *SILENCES])
        wrong += await pair.wrong(ROUTES)
    assert wrong == []


async def test_silences_are_exported_and_imported(theirs: str, tmp_path: Path) -> None:
    """What is exported from either is imported into either."""
    async with serving(CONFIG) as ours:
        await amtool(ours.url, "silence", "add", "a=b", 'c=~"d.*"', "--comment=c1", "--author=ann")
        await amtool(ours.url, "silence", "add", "e!=f", "g=h", "--comment=c2", "--author=bob")
        _, exported, _ = await amtool(ours.url, "-o", "json", "silence", "query")
        assert len(json.loads(exported)) == 2
        (tmp_path / "silences.json").write_text(exported)
        for url in (theirs, ours.url):
            status, _, err = await amtool(url, "silence", "import", "--force", str(tmp_path / "silences.json"))
            assert status == 0, err
        _, theirs_now, _ = await amtool(theirs, "-o", "json", "silence", "query", "--created-by=bob")
        _, ours_now, _ = await amtool(ours.url, "-o", "json", "silence", "query", "--created-by=bob")
        assert [s["matchers"] for s in json.loads(theirs_now)] == [s["matchers"] for s in json.loads(ours_now)][:1]
        assert len(json.loads(ours_now)) == 2


async def test_configuration_and_cluster(tmp_path: Path) -> None:
    """The configuration in force is shown so that amtool checks it, and the cluster is disabled."""
    async with serving(CONFIG) as ours:
        status, shown, err = await amtool(ours.url, "config", "show")
        assert (status, "resolve_timeout: 2m" in shown) == (0, True), err
        status, out, err = await amtool(ours.url, "cluster", "show")
        assert (status, "disabled" in out) == (0, True), err
        original = (await ours.http.get("/api/v2/status")).json()["config"]["original"]
    (tmp_path / "shown.yml").write_text(original)
    status, out, err = await amtool("http://unused.example", "check-config", str(tmp_path / "shown.yml"))
    assert status == 0, out + err
