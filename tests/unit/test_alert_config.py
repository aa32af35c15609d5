"""Alertmanager's file: what is right is read, what is wrong is told with its place, and no secret gets out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alerting.config import load_alertmanager
from alerting.config_notices import check_alertmanager
from app.errors import ConfigError

FILES = Path(__file__).parent.parent / "fixtures" / "alertmanager"
GOOD = sorted((FILES / "good").glob("*.yml"))
NEWER = FILES / "newer" / "every_receiver.yml"
"""Right for the newest Alertmanager; Debian's amtool does not know all of it."""
BAD = sorted((FILES / "bad").glob("*.yml"))
SECRET = "HUSH"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_told_with_line_and_key(path: Path) -> None:
    """Each file has one mistake; the first line of the file says what is told, and nothing else is."""
    line, _, told = path.read_text().split("\n", 1)[0].removeprefix("# ").partition(": ")
    with pytest.raises(ConfigError) as caught:
        load_alertmanager(path)
    assert [str(p) for p in caught.value.problems] == [f"{path}:{line}: {told}"]


def test_every_wrong_matcher_of_a_list_is_told(tmp_path: Path) -> None:
    """Two wrong matchers of one list are two mistakes, each with its line; the right one between is none."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(
        "receivers: [{name: a}]\nroute:\n  receiver: a\n  routes:\n    - matchers:\n"
        '        - severity=~"("\n        - a=b\n        - nope\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_alertmanager(path)
    assert [(p.line, p.key) for p in caught.value.problems] == [
        (6, "route.routes[0].matchers[0]"),
        (8, "route.routes[0].matchers[2]"),
    ]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Mistakes of form and mistakes between parts come together, in the order of the file."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(
        "global: {resolve_timout: 5m}\n"
        "route:\n  receiver: tem\n  group_by: [a, a]\n  group_interval: 0s\n"
        "receivers:\n  - name: team\n    slack_configs: [{chanel: x}]\n  - name: team\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_alertmanager(path)
    assert [p.key for p in caught.value.problems] == [
        "global.resolve_timout",
        "route.receiver",
        "route.group_by[1]",
        "route.group_interval",
        "receivers[0].slack_configs[0]",
        "receivers[0].slack_configs[0].chanel",
        "receivers[1].name",
    ]


@pytest.mark.parametrize("path", [*GOOD, NEWER, *BAD], ids=lambda path: path.stem)
def test_no_secret_is_shown(path: Path) -> None:
    """Neither an error, a repr, a dump nor a notice holds what a file keeps secret."""
    try:
        config = load_alertmanager(path)
    except ConfigError as error:
        shown = f"{error} {error!r} {error.problems!r} {error.__cause__!r} {error.__context__!r}"
    else:
        shown = f"{config} {config!r} {config.model_dump()} {config.model_dump_json()} {config.redacted_yaml()}"
        shown += " ".join(check_alertmanager(path))
    assert SECRET not in shown


def test_what_is_read_and_not_used_is_told() -> None:
    """Receiver types that are not sent, and all else that is read and not acted upon, are named with their line."""
    path = NEWER
    told = [text.removeprefix(f"{path}:") for text in check_alertmanager(path) if "is not there" not in text]
    lines = path.read_text().splitlines()
    marked = [n for n, line in enumerate(lines, 1) if line.endswith("# told")]
    assert [int(text.partition(":")[0]) for text in told] == marked
    kinds = {text.split(" ")[1].split(".")[1].split("[")[0] for text in told if ": not sent: " in text}
    assert len(kinds) == 11
    assert not kinds & {"slack_configs", "webhook_configs", "email_configs", "opsgenie_configs"}


def test_files_of_secrets_that_are_not_there_are_told(tmp_path: Path) -> None:
    """Wherever such a file is named, with its line; one that is there, and one of a type that is not sent, are not."""
    path = tmp_path / "alertmanager.yml"
    (tmp_path / "there").write_text("https://hooks.example/HUSH")
    path.write_text(
        "global:\n  opsgenie_api_key_file: key\nroute: {receiver: a}\nreceivers:\n  - name: a\n"
        "    slack_configs:\n      - api_url_file: away\n      - api_url_file: there\n"
        "    webhook_configs:\n      - url: http://x/\n        http_config:\n          tls_config:\n"
        "            ca_file: ca.pem\n    discord_configs: [{webhook_url_file: away}]\n"
    )
    words = "is not there: nothing that needs it can be sent"
    assert [text for text in check_alertmanager(path) if "not sent" not in text] == [
        f"{path}:2: global.opsgenie_api_key_file: {tmp_path}/key {words}",
        f"{path}:7: receivers[0].slack_configs[0].api_url_file: {tmp_path}/away {words}",
        f"{path}:13: receivers[0].webhook_configs[0].http_config.tls_config.ca_file: {tmp_path}/ca.pem {words}",
    ]
    for name in ("key", "away", "ca.pem"):
        (tmp_path / name).write_text("x")
    assert len(check_alertmanager(path)) == 1


def test_templates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """A file of templates with a mistake is wrong; a text of a receiver with one is told, with its line."""
    path = tmp_path / "alertmanager.yml"
    (tmp_path / "own.tmpl").write_text('{{ define "own" }}x{{ end }}')
    path.write_text(
        "templates: ['*.tmpl']\nroute: {receiver: a, labels: {owner: '{{ nothing }}'}}\nreceivers:\n  - name: a\n"
        "    webhook_configs:\n      - url: http://x/HUSH\n        payload: {a: ['{{ template \"own\" . }}']}\n"
        "    pagerduty_configs:\n      - routing_key: k\n        images:\n          - src: '{{ if }}'\n"
    )
    told = check_alertmanager(path)
    assert [text.removeprefix(f"{path}:").split(": ")[:2] for text in told] == [
        ["2", "route.labels.owner"],
        ["11", "receivers[0].pagerduty_configs[0].images[0].src"],
    ]
    assert "HUSH" not in str(told)
    (tmp_path / "bad.tmpl").write_text('{{ define "own" }}\n{{ nothing }}{{ end }}')
    with pytest.raises(ConfigError) as caught:
        check_alertmanager(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(tmp_path / "bad.tmpl"), 2)
    assert 'function "nothing" not defined' in problem.message


def test_a_classic_matcher_has_advice(tmp_path: Path) -> None:
    """A matcher that only the classic syntax takes works, and is told how to be written."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(
        'route:\n  receiver: a\n  routes:\n    - matchers:\n        - a=b c\n        - "\\"x y\\"=b"\n'
        "receivers: [{name: a, webhook_configs: [{url: http://x, payload: {matchers: ['a b']}}]}]\n"
    )
    assert check_alertmanager(path) == [
        f'{path}:5: route.routes[0].matchers[0]: read by the classic syntax of matchers; better written a="b c"'
    ]


def test_a_small_file_has_no_notices() -> None:
    """A file of which everything is used is told nothing about."""
    assert check_alertmanager(FILES / "good" / "small.yml") == []


def test_repeating_faster_than_the_group_is_told(tmp_path: Path) -> None:
    """A repeat_interval below the group_interval is right, and told."""
    path = tmp_path / "alertmanager.yml"
    path.write_text("route: {receiver: a, repeat_interval: 1m}\nreceivers: [{name: a}]\n")
    assert "route.repeat_interval: is less than group_interval" in check_alertmanager(path)[0]


def test_files_are_taken_from_the_folder(tmp_path: Path) -> None:
    """A relative path of a secret is relative to the file that names it."""
    path = tmp_path / "alertmanager.yml"
    path.write_text("global: {slack_api_url_file: slack}\nroute: {receiver: a}\nreceivers: [{name: a}]\n")
    assert load_alertmanager(path).global_.slack_api_url_file == tmp_path / "slack"


def test_what_the_status_shows_can_be_read(tmp_path: Path) -> None:
    """The configuration in force, with its secrets hidden, is a file that is right and says the same."""
    shown = load_alertmanager(NEWER).redacted_yaml()
    path = tmp_path / "alertmanager.yml"
    path.write_text(re.sub("(http://)?<secret>", "https://example.org", shown))
    again = load_alertmanager(path).redacted_yaml()
    assert again == shown


def test_texts_are_as_they_are_written(tmp_path: Path) -> None:
    """Where a text is wanted, what YAML takes for a number, a truth or a date is what is written."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(
        "route: {receiver: a, routes: [{match: {a: 007, b: yes, c: 1.10, d: 2026-01-02, e: 1:30, f: ~}}]}\n"
        "receivers: [{name: a, pagerduty_configs: [{routing_key: 0123, details: {a: 007, b: yes, c: 1.10}}]}]\n"
    )
    config = load_alertmanager(path)
    match = {"a": "007", "b": "yes", "c": "1.10", "d": "2026-01-02", "e": "1:30", "f": ""}
    assert config.route.routes[0].match == match
    pager = config.receivers[0].pagerduty_configs[0]
    assert pager.routing_key is not None
    assert pager.routing_key.get_secret_value() == "0123"
    assert pager.details == {"a": 7, "b": True, "c": 1.1}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_amtool_takes_what_the_status_shows(path: Path, tmp_path: Path) -> None:
    """`amtool config routes` reads the status's configuration, secrets hidden."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    shown = tmp_path / "alertmanager.yml"
    shown.write_text(load_alertmanager(path).redacted_yaml())
    told = subprocess.run(["amtool", "check-config", str(shown)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_amtool_takes_what_we_take(path: Path) -> None:
    """Alertmanager's own checker accepts the same files."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    assert subprocess.run(["amtool", "check-config", str(path)], capture_output=True).returncode == 0


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_amtool_refuses_what_we_refuse(path: Path) -> None:
    """Alertmanager's own checker refuses the same files."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    assert subprocess.run(["amtool", "check-config", str(path)], capture_output=True).returncode != 0
