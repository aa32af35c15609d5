"""`watchhouse alerts routes` leads labels where amtool does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

import app.commands.alerts.routes as command
from alerting.config import load_alertmanager
from app.cli import app

CONFIG = """
global: {slack_api_url: https://hooks.slack.example/HUSH}
route:
  receiver: team
  group_by: [alertname, cluster]
  routes:
    - matchers: [severity="page"]
      receiver: pager
      continue: true
      routes:
        - match: {region: eu}
          receiver: pager-eu
          mute_time_intervals: [always]
    - matchers: ['team=~"shop|pay"', region!=eu]
      group_by: ['...']
      receiver: shop
    - matchers: [severity="page"]
      receiver: archive
time_intervals: [{name: always, time_intervals: [{}]}]
receivers:
  - {name: team, slack_configs: [{send_resolved: true}]}
  - {name: pager, webhook_configs: [{url: 'https://example.org/HUSH'}]}
  - {name: pager-eu}
  - {name: shop}
  - {name: archive}
"""
ALERTS = [
    ["severity=page"],
    ["severity=page", "region=eu", "team=shop"],
    ["severity=page", "region=us", "team=shop"],
    ["severity=info", "team=pay"],
    ["severity=info", "region=eu", "team=pay"],
    ["nothing=here"],
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with some routes."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(CONFIG)
    return path


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and output."""
    result = CliRunner().invoke(app, ["alerts", "routes", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.mark.parametrize("labels", ALERTS, ids=" ".join)
def test_the_same_receivers_as_amtool(file: Path, labels: list[str]) -> None:
    """In the same order; a wanted list that differs is a failure."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    amtool = ["amtool", "config", "routes", "test", f"--config.file={file}", *labels]
    theirs = subprocess.run(amtool, capture_output=True, text=True, check=True).stdout.strip()
    status, text = run("--config", str(file), "--output", "json", *labels)
    assert status == 0
    assert ",".join(one["receiver"] for one in json.loads(text)) == theirs
    assert run("--config", str(file), "--receivers", theirs, *labels)[0] == 0
    assert run("--config", str(file), "--receivers", "nobody", *labels)[0] == 1


def test_where_an_alert_goes(file: Path) -> None:
    """Group, timers and what keeps a route quiet are told with the receiver."""
    status, text = run("--config", str(file), "severity=page", "region=eu", "alertname=Slow", "x=y")
    assert status == 0
    lines = [line.split() for line in text.splitlines()]
    assert lines[1][0] == "pager-eu"
    assert "alertname=Slow" in lines[1]
    assert lines[1][-1] == "always"
    assert lines[2][0] == "archive"


def test_the_tree(file: Path) -> None:
    """Without labels the whole tree is drawn; what is wrong is told."""
    status, text = run("--config", str(file))
    assert status == 0
    assert [line.strip("│├└─ ").split("  ")[1] for line in text.splitlines()] == [
        "→ team",
        "→ pager",
        "→ pager-eu",
        "→ shop",
        "→ archive",
    ]
    assert json.loads(run("--config", str(file), "--output", "json")[1])["routes"][1]["group_by"] == ["..."]
    assert run("--config", str(file), "severity")[0] == 2
    assert run("--config", str(file), "--receivers", "a")[0] == 2
    file.write_text("route: {}\n")
    status, text = run("--config", str(file))
    assert status == 1
    assert f"{file}:1: " in text


def test_the_service_is_asked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the configuration in force is the service's, whose secrets are hidden."""
    answer = {"config": {"original": load_alertmanager(file).redacted_yaml()}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    monkeypatch.setattr(command, "client", lambda *_: httpx.Client(base_url="http://x", transport=transport))
    status, text = run("severity=page", "--receivers", "pager,archive")
    assert (status, "HUSH" in text) == (0, False), text
