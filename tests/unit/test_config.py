"""watchhouse.yaml: every mistake told with file, line and key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from app.cli import app
from app.config import Config, read_secret, resolve_files
from app.configfile import after_reload, changed_keys, dump_config, load_config
from app.errors import ConfigError
from app.files import check_file, load_all


def mistakes(folder: Path, text: str) -> list[str]:
    """What load_config says of a file, without the folder."""
    path = folder / "watchhouse.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def loaded(folder: Path, text: str) -> Config:
    """A configuration from a text."""
    path = folder / "watchhouse.yaml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("htp: {}", ["watchhouse.yaml:1: htp: unknown key; did you mean 'http'?"], id="unknown_top_key"),
        pytest.param(
            "store:\n  retention:\n    metric: 1d\n",
            ["watchhouse.yaml:3: store.retention.metric: unknown key; did you mean 'metrics'?"],
            id="unknown_deep_key",
        ),
        pytest.param(
            "store: {retention: {logs: 15x}}",
            ["watchhouse.yaml:1: store.retention.logs: not a duration: '15x' (write it like 30s, 5m, 1h30m)"],
            id="bad_duration",
        ),
        pytest.param(
            "store: {memory_limit: lots}",
            ["watchhouse.yaml:1: store.memory_limit: not a size: 'lots' (write it like 512MiB or 10GiB)"],
            id="bad_size",
        ),
        pytest.param(
            "http:\n  listen: localhost\n",
            ["watchhouse.yaml:2: http.listen: not an address: 'localhost' (write it like 127.0.0.1:9470)"],
            id="bad_address",
        ),
        pytest.param("http: [", ["watchhouse.yaml:1: not YAML: "], id="not_yaml"),
        pytest.param("- a\n", ["watchhouse.yaml:1: a mapping is wanted here"], id="a_list"),
        pytest.param("http: {}\nhttp: {}\n", ["watchhouse.yaml:2: http: given twice"], id="twice"),
        pytest.param("a: 1\n---\nb: 2\n", ["watchhouse.yaml:1: a: unknown key"], id="two_documents"),
        pytest.param(
            "store: {url: 'mysql://x'}",
            ["watchhouse.yaml:1: store.url: write `embedded`, or clickhouse://user@host:8123/database"],
            id="bad_store_url",
        ),
        pytest.param(
            "receivers: {kafka: {bootstrap_servers: [a:1], topics: [{name: t, format: avro}]}}",
            ["watchhouse.yaml:1: receivers.kafka.topics[0].format: Input should be 'fluentbit_json'"],
            id="bad_choice",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(tmp_path: Path, text: str, wanted: list[str]) -> None:
    """Each kind of mistake names where it is and what is wanted."""
    found = mistakes(tmp_path, text)
    assert len(found) >= len(wanted)
    for line, start in zip(found, wanted, strict=False):
        assert line.startswith(start)


def test_a_list_with_a_wrong_item_is_not_called_empty(tmp_path: Path) -> None:
    """One mistake in an item makes one message, in words for somebody who knows YAML."""
    (found,) = mistakes(tmp_path, "auth: {tokens: [{name: a, token_file: t, roles: [boss]}]}")
    assert "roles[0]" in found
    assert mistakes(tmp_path, "scrape: 3") == ["watchhouse.yaml:1: scrape: a mapping is wanted here"]
    assert mistakes(tmp_path, "slo: {files: a}") == ["watchhouse.yaml:1: slo.files: a list is wanted here"]
    assert mistakes(tmp_path, "data_dir: 3") == ["watchhouse.yaml:1: data_dir: a path is wanted here"]
    both = mistakes(tmp_path, "receivers: {kafka: {bootstrap_servers: [], topics: [3]}}")
    assert ["bootstrap_servers" in both[0], "topics[0]" in both[1], len(both)] == [True, True, 2]


@pytest.mark.parametrize("value", ["2020-13-45", "0x_", "!!int many", "!!bool perhaps", "!!timestamp soon"])
def test_a_value_that_is_not_what_it_looks_like_is_a_mistake(tmp_path: Path, value: str) -> None:
    """A date or number that is none is told by file and line, without its text, which may be a secret."""
    (found,) = mistakes(tmp_path, f"http: {{}}\ndata_dir: {value}\n")
    assert found.startswith("watchhouse.yaml:2: not YAML: written like a value of type ")
    assert value.split()[-1] not in found


def test_all_mistakes_are_told_at_once_in_file_order(tmp_path: Path) -> None:
    """Three mistakes make three messages, ordered by line."""
    found = mistakes(tmp_path, "htp: 1\nhttp: {listen: x}\nstore: {memory_limit: -3x}\nlimits: {commit_rows: 0}\n")
    assert [line.split(":")[1] for line in found] == ["1", "2", "3", "4"]


def test_an_open_door_is_refused(tmp_path: Path) -> None:
    """An address other machines can reach wants authentication, or the explicit word that none is wanted."""
    (found,) = mistakes(tmp_path, "http: {listen: 0.0.0.0:9470}")
    assert "http.listen is 0.0.0.0:9470" in found
    assert "auth.allow_anonymous" in found
    (found,) = mistakes(tmp_path, "receivers: {fluent_forward: {listen: '192.0.2.1:24224'}}")
    assert "receivers.fluent_forward.listen" in found
    (tmp_path / "t").write_text("secret")
    tokens = "auth: {tokens: [{name: g, token_file: t, roles: [query]}]}\n"
    (found,) = mistakes(tmp_path, tokens + "receivers: {fluent_forward: {listen: '192.0.2.1:24224'}}")
    assert "receivers.fluent_forward.shared_key_file" in found  # tokens do not guard that protocol
    assert loaded(tmp_path, "http: {listen: 0.0.0.0:9470}\nauth: {allow_anonymous: true}").http.listen.port == 9470


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any key can be set from the environment, with two underscores between levels."""
    monkeypatch.setenv("WATCHHOUSE_HTTP__LISTEN", "127.0.0.1:1234")
    monkeypatch.setenv("WATCHHOUSE_STORE__RETENTION__LOGS", "3d")
    config = loaded(tmp_path, "http: {listen: 127.0.0.1:1}\nstore: {retention: {metrics: 30d, logs: 1d}}")
    assert str(config.http.listen) == "127.0.0.1:1234"
    assert config.store.retention.logs == 3 * 86_400_000
    assert config.store.retention.metrics == 30 * 86_400_000


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be used names the variable it came from."""
    monkeypatch.setenv("WATCHHOUSE_HTTP__LISTEN", "nowhere")
    with pytest.raises(ConfigError, match="environment: WATCHHOUSE_HTTP__LISTEN: not an address"):
        load_config(None)


def test_paths_are_taken_from_the_file_s_folder(tmp_path: Path) -> None:
    """A relative path means the same wherever the service is started."""
    (tmp_path / "slos").mkdir()
    (tmp_path / "slos" / "a.yml").write_text("")
    config = loaded(tmp_path, "data_dir: d\nslo: {files: ['slos/*.yml', 'missing.yml']}\nscrape: {files: [p.yml]}")
    assert config.data_dir == tmp_path / "d"
    assert config.scrape.files == (tmp_path / "p.yml",)
    assert resolve_files(config.slo.files) == [tmp_path / "slos" / "a.yml", tmp_path / "missing.yml"]


def test_the_configuration_in_force_can_be_read_back(tmp_path: Path) -> None:
    """What status/config shows is a valid configuration that says the same."""
    config = loaded(tmp_path, "store: {retention: {logs: 36h}}\nhttp: {listen: '127.0.0.1:5'}")
    path = tmp_path / "again.yaml"
    path.write_text(dump_config(config))
    again = load_config(path)
    assert again.store == config.store
    assert again.http == config.http
    assert yaml.safe_load(dump_config(config))["store"]["retention"]["logs"] == "36h"


def test_secrets_are_in_no_text(tmp_path: Path) -> None:
    """A secret read from a file shows in no repr; an unreadable file is named without content."""
    (tmp_path / "token").write_text("hunter2\n")
    secret = read_secret(tmp_path / "token")
    assert secret.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{secret!r}{secret}"
    with pytest.raises(ConfigError, match="missing: cannot be read: No such file or directory"):
        read_secret(tmp_path / "missing")


def test_an_empty_secret_is_no_secret(tmp_path: Path) -> None:
    """An empty token file would open the door to whoever presents nothing."""
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ConfigError, match="holds no secret"):
        read_secret(tmp_path / "token")


def test_secrets_of_scrape_configs_are_not_shown(tmp_path: Path) -> None:
    """Passwords written into watchhouse.yaml in Prometheus's syntax are masked in what is shown of it."""
    config = loaded(tmp_path, "scrape: {scrape_configs: [{job_name: a, basic_auth: {username: u, password: hunter2}}]}")
    assert "hunter2" not in dump_config(config) + repr(config)
    assert "job_name: a" in dump_config(config)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("store: {cluster: c}", "store.cluster is not supported yet"),
        ("buffer: {kafka: {topic_prefix: x}}", "buffer.kafka is not supported yet"),
        ("slo: {interval: 0s}", "slo.interval"),
    ],
)
def test_what_would_be_ignored_is_refused(tmp_path: Path, text: str, key: str) -> None:
    """A setting that does nothing yet is no setting to accept."""
    (found,) = mistakes(tmp_path, text)
    assert key in found


def test_every_configuration_we_ship_is_right() -> None:
    """check-config takes the files of the compose stack for what they are."""
    folder = Path(__file__).parents[2] / "deploy" / "compose"
    for name in ("prometheus.yml", "alertmanager.yml", "slos/example.yml"):
        check_file(folder / name)


@pytest.mark.parametrize(
    ("text", "waiting"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(
            "{scrape: {files: [p.yml]}, rules: {interval: 5s, builtin: false}, alerting: {config: a.yml}}",
            [],
            id="what_a_reload_takes_up",
        ),
        pytest.param(
            "{slo: {files: [s.yml], windows: pyrra, series: false}, alerting: {silences: {retention: 1h}}}",
            ["slo.series", "alerting.silences.retention"],
            id="some_of_a_section",
        ),
        pytest.param(
            "{slack: {charts: 'off', grafana: {url: 'http://g'}}, receivers: {fluent_forward: null}}",
            ["receivers.fluent_forward", "slack.charts", "slack.grafana"],
            id="whole_sections",
        ),
    ],
)
def test_what_a_reload_leaves_for_the_next_start(text: str, waiting: list[str], tmp_path: Path) -> None:
    """The keys that wait have their old values until then, all others the new ones."""
    old, new = loaded(tmp_path, ""), loaded(tmp_path, text)
    in_force = after_reload(old, new)
    assert list(changed_keys(in_force, new)) == waiting
    changed = set(changed_keys(old, new))
    assert set(changed_keys(old, in_force)) == changed - set(waiting)


def test_files_of_secrets_that_cannot_be_read_are_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with file, line and key, or its variable, at check-config as at the start; relative to the file's folder."""
    path = tmp_path / "watchhouse.yaml"
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "there").write_text("secret\n")
    path.write_text(
        "auth:\n  tokens:\n    - {name: a, token_file: there, roles: [query]}\n"
        "    - {name: b, token_file: empty, roles: [admin]}\n"
        "slack:\n  signing_secret_file: signing\n  bot_token_file: token\n"
        "store: {password_file: unused}\n"
    )
    wanted = [
        f"{path}:4: auth.tokens[1].token_file: {tmp_path}/empty holds no secret: the file is empty",
        f"{path}:6: slack.signing_secret_file: {tmp_path}/signing cannot be read: No such file or directory",
        f"{path}:7: slack.bot_token_file: {tmp_path}/token cannot be read: No such file or directory",
    ]
    for load in (load_all, check_file):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert [str(problem) for problem in caught.value.problems] == wanted
    for command, status in ((["serve", "--config", str(path)], 2), (["check-config", str(path)], 1)):
        answer = CliRunner().invoke(app, command)
        assert (answer.exit_code, answer.stderr.splitlines()) == (status, wanted)
    assert not (tmp_path / "data").exists()
    for name in ("empty", "signing", "token"):
        (tmp_path / name).write_text("secret")
    assert load_all(path).config.slack.signing_secret_file == tmp_path / "signing"
    monkeypatch.setenv("WATCHHOUSE_SLACK__BOT_TOKEN_FILE", "/nowhere")
    with pytest.raises(ConfigError, match="environment: WATCHHOUSE_SLACK__BOT_TOKEN_FILE: /nowhere cannot be read"):
        load_all(path)
