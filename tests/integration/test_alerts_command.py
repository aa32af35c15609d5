"""`watchhouse alerts …` against the API over a real socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.integration.alertmanager_peer import Served, serving

CONFIG = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 0s
  routes:
    - {matchers: [team=night], mute_time_intervals: [always]}
    - {matchers: [team=both], mute_time_intervals: [always], continue: true}
    - {matchers: [team=both]}
receivers: [{name: team}]
time_intervals: [{name: always, time_intervals: [{}]}]
inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket], equal: [slo]}]
"""
ALERTS = [
    {"labels": {"alertname": "Burn", "severity": "page", "slo": "x"}, "annotations": {"summary": "burning"}},
    {"labels": {"alertname": "Slow", "severity": "ticket", "slo": "x"}},
    {"labels": {"alertname": "Slow", "severity": "ticket", "slo": "y"}},
]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The API on a free port, with three alerts."""
    async with serving(CONFIG) as world:
        (await world.http.post("/api/v2/alerts", json=ALERTS)).raise_for_status()
        yield world


async def run(served: Served, *arguments: str) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of `watchhouse alerts …`."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["alerts", *arguments, "--url", served.url])
    return result.exit_code, result.stdout, result.stderr


async def ok(served: Served, *arguments: str) -> str:
    """The output of a command that must not fail."""
    status, out, err = await run(served, *arguments)
    assert status == 0, err
    return out


async def listed(served: Served, *arguments: str) -> list[str]:
    """Names and SLOs of the alerts that `list` shows."""
    found: list[dict[str, Any]] = json.loads(await ok(served, "list", "--output", "json", *arguments))
    return sorted(f"{a['labels']['alertname']}/{a['labels']['slo']}" for a in found)


async def test_list(served: Served) -> None:
    """Alerts by matchers; those that are kept back only when asked for."""
    assert await listed(served) == ["Burn/x", "Slow/y"]
    assert await listed(served, "--inhibited") == ["Burn/x", "Slow/x", "Slow/y"]
    assert await listed(served, "Slow", "slo!=x") == ["Slow/y"]
    table = await ok(served, "list", "severity=page")
    head, row = table.splitlines()
    assert head.split() == ["ALERT", "STATE", "SINCE", "FINGERPRINT", "LABELS", "SUMMARY"]
    assert row.endswith("  severity=page slo=x  burning")
    shared, _, _, *rows = (await ok(served, "list", "--inhibited", "Slow")).splitlines()
    assert shared == "all of them have severity=ticket"
    assert sorted(row.split()[-1] for row in rows) == ["slo=x", "slo=y"]


async def test_what_a_time_interval_keeps_back_is_muted(served: Served) -> None:
    """By its name, and only when asked for; an alert that another route tells is none."""
    alerts = [{"labels": {"alertname": "Quiet", "slo": "z", "team": team}} for team in ("night", "both")]
    (await served.http.post("/api/v2/alerts", json=alerts)).raise_for_status()
    (told,) = json.loads(await ok(served, "list", "Quiet", "-o", "json"))
    assert (told["labels"]["team"], told["status"]["mutedBy"]) == ("both", [])
    rows = (await ok(served, "list", "Quiet", "--muted")).splitlines()[3:]
    assert sorted((row.split()[-1], row[len("Quiet") :].strip().split("  ")[0]) for row in rows) == [
        ("team=both", "active"),
        ("team=night", "muted (always)"),
    ]


async def test_silences(served: Served) -> None:
    """Added, listed, holding, expired; also one that comes again and again."""
    one = (await ok(served, "silence", "add", "Burn", 'slo=~"x|z"', "--for", "2h", "-c", "patching")).strip()
    silence = served.manager.silences.get(one)
    assert silence.comment == "patching"
    assert abs(silence.ends_at - silence.starts_at - timedelta(hours=2)) < timedelta(seconds=10)
    assert await listed(served) == ["Slow/y"]
    assert await listed(served, "--silenced") == ["Burn/x", "Slow/y"]
    rule = ["--rrule", "FREQ=WEEKLY;BYDAY=SU", "--dtstart", "2026-11-01T22:00", "--timezone", "Europe/Berlin"]
    again = (await ok(served, "silence", "add", "slo=y", "--for", "30m", *rule)).strip()
    found = json.loads(await ok(served, "silence", "list", "-o", "json"))
    assert [s["id"] for s in found["silences"]] == [one]
    assert [(r["id"], r["timezone"], len(r["next"])) for r in found["recurring"]] == [(again, "Europe/Berlin", 3)]
    _, first, second = (await ok(served, "silence", "list")).splitlines()
    assert first.split()[0] == one
    assert first.split()[-3:] == ['alertname="Burn"', 'slo=~"x|z"', "patching"]
    assert second.split()[:2] == [again, "recurring"]
    assert second.split()[-2:] == ['slo="y"', "FREQ=WEEKLY;BYDAY=SU"]
    await ok(served, "silence", "expire", one, again)
    found = json.loads(await ok(served, "silence", "list", "-o", "json"))
    assert found == {"silences": [], "recurring": []}
    assert len(json.loads(await ok(served, "silence", "list", "--expired", "-o", "json"))["silences"]) == 1


async def test_explain_and_acknowledge(served: Served) -> None:
    """By name or by fingerprint: why nobody was told, and who looks after it."""
    assert "acknowledged by ann" in await ok(served, "ack", "Burn", "--by", "ann")
    told = await ok(served, "explain", "Burn")
    first, second, *_ = told.splitlines()
    assert first.split("  ")[1] == '{alertname="Burn", severity="page", slo="x"}'
    assert re.fullmatch(r"firing since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", second)
    assert "route {} → team" in told
    assert "not told at" in told
    assert "acknowledged by ann" in told
    (slow, _) = sorted(
        (k.alert for k in served.manager.alerts() if k.alert.name == "Slow"), key=lambda a: dict(a.labels)["slo"]
    )
    named = 'suppressed now by the alert {alertname="Burn", severity="page", slo="x"}'
    assert named in await ok(served, "explain", slow.fingerprint)
    status, _, err = await run(served, "explain", "Slow")
    assert (status, f'  {slow.fingerprint}  {{alertname="Slow", severity="ticket", slo="x"}}' in err) == (2, True)
    assert json.loads(await ok(served, "list", "Burn", "-o", "json"))[0]["acknowledgedBy"] == "ann"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["list", "slo=~("], 2, "not a regular expression"),
        (["explain", "Slow"], 2, "2 alerts are named 'Slow'"),
        (["explain", "Nothing"], 1, "no alert named 'Nothing' fires"),
        (["explain", "0" * 16], 1, "nothing is known of an alert"),
        (["ack", "0" * 16], 1, "no firing alert"),
        (["silence", "add", "slo=~("], 2, "missing"),
        (["silence", "add", "a=b", "--for", "soon"], 2, "--for: "),
        (["silence", "add", "a=b", "--rrule", "FREQ=DAILY"], 2, "--rrule and --dtstart go together"),
        (["silence", "add", "a=b", "--rrule", "NO", "--dtstart", "2026-11-01T22:00"], 2, "rrule: "),
        (["silence", "add", 'a=""'], 2, "must not match the empty string"),
        (["silence", "expire", "x"], 2, "must be of type uuid"),
        (["silence", "expire", "11111111-1111-4111-8111-111111111111"], 1, "HTTP 404"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_misuse(served: Served, arguments: list[str], status: int, told: str) -> None:
    """What cannot be meant so ends with 2, what failed with 1, each with the reason."""
    found, _, err = await run(served, *arguments)
    assert (found, told in err) == (status, True), err
