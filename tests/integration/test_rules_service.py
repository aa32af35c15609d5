"""Rules of a running service: evaluated, reloaded, kept when the new ones are wrong; and the commands about them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import httpx
from typer.testing import CliRunner

from app.cli import app
from tests.integration.service import ServiceProcess

RULES = """
groups:
  - name: g
    interval: 200ms
    rules:
      - {{alert: {name}, expr: vector(1), labels: {{severity: page}}}}
"""


def names(service: ServiceProcess) -> list[str]:
    """The rules that are evaluated, without the shipped ones."""
    groups = httpx.get(f"{service.url}/api/v1/rules", params={"rule_group[]": "g"}).json()["data"]["groups"]
    return [rule["name"] for group in groups for rule in group["rules"]]


def waited(holds: Callable[[], bool]) -> None:
    """Returns when it holds; another process has nothing to wait on but its answers."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_evaluates_and_reloads(tmp_path: Path) -> None:
    """An alert reaches the manager; a wrong file is refused and changes nothing; SIGHUP takes a good one."""
    path = tmp_path / "rules.yml"
    path.write_text(RULES.format(name="First"))

    with ServiceProcess(
        tmp_path / "service", {"rules": {"files": [str(path)], "builtin_off": ["NodeDown"]}}
    ) as service:

        def alerts() -> dict[str, bool]:
            found = httpx.get(f"{service.url}/api/v2/alerts").json()
            return {alert["labels"]["alertname"]: alert["endsAt"] > datetime.now(UTC).isoformat() for alert in found}

        waited(lambda: alerts() == {"First": True})
        shipped = httpx.get(f"{service.url}/api/v1/rules", params={"file[]": "builtin/node.yml"}).json()
        assert [rule["name"] for rule in shipped["data"]["groups"][0]["rules"]] == ["DiskWillFill"]
        path.write_text(RULES.format(name="Wrong").replace("vector(1)", "vector("))
        answer = httpx.post(f"{service.url}/-/reload")
        assert answer.status_code >= 400
        assert f"{path}:6: groups[0].rules[0].expr: 1:" in answer.text
        assert names(service) == ["First"]
        path.write_text(RULES.format(name="Second"))
        assert service.process is not None
        service.process.send_signal(signal.SIGHUP)
        waited(lambda: names(service) == ["Second"])
        waited(lambda: alerts().get("Second", False) and not alerts().get("First", False))
        page = httpx.get(f"{service.url}/metrics").text
        assert f'watchhouse_rules{{rule_group="{path};g"}} 1.0' in page


def test_check_config_knows_rule_files(tmp_path: Path) -> None:
    """A good file is ok, a wrong one is told with line and key, through a watchhouse.yaml too."""
    path = tmp_path / "rules.yml"
    config = tmp_path / "watchhouse.yaml"
    config.write_text("rules: {files: ['*.yml'], builtin_off: [NodeDown]}")
    path.write_text(RULES.format(name="A"))
    found = CliRunner().invoke(app, ["check-config", str(path), str(config)])
    assert (found.exit_code, found.stdout) == (0, f"{path}: ok\n{config}: ok\n")
    path.write_text(RULES.format(name="A").replace("expr", "exprr"))
    for file in (path, config):
        found = CliRunner().invoke(app, ["check-config", str(file)])
        assert found.exit_code == 1
        assert f"{path}:6: groups[0].rules[0].exprr: unknown key; did you mean 'expr'?" in found.stderr


PASSES = """
tests:
  - {name: good, interval: 1m, promql_expr_test: [{expr: vector(1), exp_samples: [{labels: '{}', value: 1}]}]}
  - {name: bad, interval: 1m, promql_expr_test: [{expr: vector(1), exp_samples: [{labels: '{}', value: 2}]}]}
"""


def test_test_rules_as_a_command(tmp_path: Path) -> None:
    """promtool's output and exit status; `--run` chooses tests by name, `--junit` writes the results for CI."""
    path, junit = tmp_path / "test.yml", tmp_path / "junit.xml"
    path.write_text(PASSES)
    run = CliRunner().invoke
    good = run(app, ["test-rules", str(path), "--run", "goo"])
    assert (good.exit_code, good.stdout) == (0, f"Unit Testing:  {path}\n  SUCCESS\n\n")
    bad = run(app, ["test-rules", str(path), "--junit", str(junit)])
    assert bad.exit_code == 1
    assert bad.stderr == ('  FAILED:\n    expr: "vector(1)", time: 0s,\n        exp: {} 2E+00\n        got: {} 1E+00\n')
    (suite,) = ElementTree.parse(junit).getroot()
    assert suite.attrib == {"name": str(path), "tests": "2", "failures": "1", "errors": "0"}
    assert run(app, ["test-rules", str(tmp_path / "none.yml")]).exit_code == 2
    assert run(app, ["test-rules", str(path), "--run", "("]).exit_code == 2
