"""Unit tests of rules: `watchhouse test-rules` and promtool say the same of the same files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.rules.testing.run import run_file
from tests.differential.rules import RuleGenerator

CASES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "fixtures" / "promtool" / "cases.yml").read_text(encoding="utf-8")
)


def promtool() -> str:
    """The promtool on PATH; without one the test is skipped."""
    binary = shutil.which("promtool")
    if binary is None:
        pytest.skip("no promtool on PATH (Debian's package prometheus)")
    return binary


def written(folder: Path, name: str, rules: Any, test: Any) -> Path:
    """A folder with rules.yml and the file of tests in it."""
    own = folder / name
    own.mkdir()
    (own / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False))
    path = own / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], **test}, sort_keys=False))
    return path


def told_by_promtool(paths: list[Path]) -> dict[str, str]:
    """What promtool says of each file: nothing where all its tests pass."""
    done = subprocess.run(
        [promtool(), "test", "rules", *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    told: dict[str, str] = {}
    for part in re.split(r"^Unit Testing:  ", done.stdout, flags=re.MULTILINE)[1:]:
        name, _, text = part.partition("\n")
        assert ("  FAILED:" in text) != ("  SUCCESS" in text), text
        told[name] = tidied(text.partition("  FAILED:")[2])
    assert done.returncode == int(any(told.values()))
    return told


def tidied(text: str) -> str:
    """Without empty lines: promtool writes them on another stream."""
    return "\n".join(line for line in text.splitlines() if line.strip())


def told_by_us(path: Path) -> str:
    """What we say of a file."""
    return tidied("\n".join(run_file(path).errors))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Each case's file, and what promtool says of it."""
    folder = tmp_path_factory.mktemp("promtool")
    paths = {name: written(folder, name, case["rules"], case["test"]) for name, case in CASES.items()}
    told = told_by_promtool(list(paths.values()))
    return {name: (path, told[str(path)]) for name, path in paths.items()}


@pytest.mark.parametrize("name", CASES)
def test_both_say_the_same_of_a_file(judged: dict[str, tuple[Path, str]], name: str) -> None:
    """Passing files pass, failing ones fail for the same reasons, told in the same words where those are promtool's."""
    path, theirs = judged[name]
    ours = told_by_us(path)
    assert bool(ours) == bool(theirs) == CASES[name].get("fails", False), f"{ours}\n---\n{theirs}"
    if "words" not in CASES[name] and "newer" not in CASES[name]:
        assert ours == theirs


def test_random_rules_give_the_same(tmp_path: Path) -> None:
    """A hundred random rule files: the same alerts, annotations, recorded series, ALERTS and ALERTS_FOR_STATE."""
    paths = []
    for seed in range(100):
        rules, test = RuleGenerator(seed).files()
        paths.append(written(tmp_path, str(seed), rules, test))
    told = told_by_promtool(paths)
    wrong = [
        f"{path}:\n{ours}\n--- promtool:\n{told[str(path)]}"
        for path in paths
        if (ours := told_by_us(path)) != told[str(path)]
    ]
    assert sum(map(bool, told.values())) > 50
    assert not wrong, "\n".join(wrong[:3])
