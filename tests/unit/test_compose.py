"""docker-compose.yml and what it mounts: pinned, healthy, closed to others, read by the loaders that will read it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from packaging.requirements import Requirement

from alerting.config import load_alertmanager
from app.config import Config, read_secret
from app.configfile import load_config
from ingest.scrape.config import load_scrape_file
from slo.files import check_slo, load_slos

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy/compose"
COMPOSE: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILES = (ROOT / "deploy/Dockerfile", FILES / "fluent-bit/Dockerfile")
NOT_ROOT_BY_IMAGE = {"watchhouse"}  # its Dockerfile names the user
ROOT_BY_NEED = {"fluent-bit", "cadvisor"}
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")

each_service = pytest.mark.parametrize("name", SERVICES)


def filled(text: str) -> str:
    """A text with the defaults of its variables."""
    return _VARIABLE.sub(lambda match: match[2] or "", text)


def strings(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document, with its place."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from strings(value, f"{path}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from strings(value, f"{path}[{i}]")
    elif isinstance(node, str):
        yield path, node


def moved(name: str, folder: Path) -> Path:
    """A copy of a configuration whose secrets lie in `folder` and not in /run/secrets."""
    copy = folder / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text((FILES / name).read_text().replace("/run/secrets/", f"{folder}/secrets/"))
    return copy


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The secrets as deploy/make-secrets writes them, below tmp_path."""
    (tmp_path / "make-secrets").write_text((ROOT / "deploy/make-secrets").read_text())
    environment = {"PATH": os.environ["PATH"], "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x"}
    subprocess.run(["sh", tmp_path / "make-secrets"], check=True, env=environment, capture_output=True)
    return tmp_path / "secrets"


@pytest.fixture
def config(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """watchhouse.yaml of the stack, loaded."""
    monkeypatch.delenv("WATCHHOUSE_ALERTING__CONFIG", raising=False)
    for name in ("prometheus.yml", "alertmanager.yml", "alertmanager-quiet.yml", "slos/example.yml"):
        moved(name, secrets.parent)
    return load_config(moved("watchhouse.yaml", secrets.parent))


@each_service
def test_images_are_pinned_to_a_release(name: str) -> None:
    """An image is built here, or its tag is the full number of a release."""
    service = SERVICES[name]
    if "build" in service:
        assert service["pull_policy"] == "build"
        assert service["image"].endswith(":local")
    else:
        assert re.search(r":v?\d+\.\d+\.\d+(\.\d+)?$", service["image"])


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_base_images_are_pinned_to_a_release(path: Path) -> None:
    """What an image is built on has the full number of a release too."""
    text = path.read_text()
    images = re.findall(r"^(?:FROM|ARG PYTHON_IMAGE=|COPY --from=)\s*=?([a-z0-9./-]+:\S+)", text, re.MULTILINE)
    assert images
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images)


@each_service
def test_services_are_watched_bounded_and_started_again(name: str) -> None:
    """A service has a health check, bounds on CPU, memory and processes, short logs, and is started again."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["tag"] == "{{.Name}}"
    assert service["logging"]["options"]["max-size"]


@each_service
def test_services_have_no_more_rights_than_they_need(name: str) -> None:
    """No service is privileged or gains privileges, and only those that read what is root's run as root."""
    service = SERVICES[name]
    assert not service.get("privileged")
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.get("network_mode") is None
    user = service.get("user", "")
    if name in ROOT_BY_NEED:
        assert user in ("", "0:0")
    else:
        assert name in NOT_ROOT_BY_IMAGE or user.split(":")[0] not in ("", "0")
        assert "cap_add" not in service


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    """Every published port is bound to 127.0.0.1."""
    assert all(filled(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_only_those_who_must_be_reached_publish_ports() -> None:
    """The store, Kafka and the exporters publish nothing, and have no network with a way out."""
    networks = COMPOSE["networks"]
    for name, service in SERVICES.items():
        outside = [n for n in service["networks"] if not networks[n].get("internal")]
        assert bool(outside) == bool(service.get("ports")) == (name in ("watchhouse", "grafana"))


def test_no_secret_is_written_down() -> None:
    """Passwords, tokens and keys are files of deploy/secrets; nowhere is one given in place or by default."""
    for path, text in strings(COMPOSE):
        if re.search(r"pass|token|secret|key", path.rsplit(".", 1)[-1], re.IGNORECASE) and ".secrets" not in path:
            assert text.startswith("/run/secrets/"), path
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")
    ignored = (ROOT / "deploy/secrets/.gitignore").read_text().split()
    assert ignored == ["*", "!.gitignore"]


@each_service
def test_what_is_named_is_declared(name: str) -> None:
    """Volumes, networks, secrets and dependencies are declared, and what is mounted from here is there."""
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for secret in service.get("secrets", []):
        assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]
    for other, condition in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert condition == {"condition": "service_healthy"}
    for volume in map(filled, service.get("volumes", [])):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        elif not source.startswith("/"):
            assert source in COMPOSE["volumes"]


def test_every_variable_is_explained() -> None:
    """.env.example names each variable of docker-compose.yml with the default it has there."""
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = dict(_VARIABLE.findall((ROOT / "docker-compose.yml").read_text()))
    assert given == used


def test_the_secrets_are_made_once_and_fit_each_other(secrets: Path) -> None:
    """make-secrets writes every secret, keeps those that are there, and closes their folder to others."""
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == set(made)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert len(set(made.values())) == len(made)
    users = ElementTree.fromstring(made["clickhouse_users.xml"])
    digest = subprocess.run(
        ["sha256sum"], input=made["clickhouse_password"].encode(), capture_output=True, check=True
    ).stdout.split()[0]
    assert users.findtext("users/watchhouse/password_sha256_hex") == digest.decode()
    subprocess.run(["sh", secrets.parent / "make-secrets"], check=True, env={"PATH": os.environ["PATH"]})
    assert made == {path.name: path.read_text() for path in secrets.iterdir()}


def test_the_configuration_of_the_stack_loads(config: Config) -> None:
    """watchhouse.yaml loads, its secrets can be read, and it listens where docker-compose.yml publishes."""
    assert config.store.url == "clickhouse://watchhouse@clickhouse:8123/watchhouse"
    assert config.store.password_file
    for file in (config.store.password_file, *(token.token_file for token in config.auth.tokens)):
        assert len(read_secret(file).get_secret_value()) == 64
    listening = {address.port for address in config.listeners().values()}
    assert listening == {int(port.rsplit(":", 1)[1]) for port in SERVICES["watchhouse"]["ports"]}
    assert not any(address.is_loopback for address in config.listeners().values())


def test_secrets_are_given_to_those_who_read_them() -> None:
    """Every file of /run/secrets that a configuration names is given to the container that reads it."""
    reads = {
        "watchhouse": [*FILES.glob("*.yaml"), *FILES.glob("*.yml")],
        "fluent-bit": [FILES / "fluent-bit/fluent-bit.yaml"],
        "grafana": list((ROOT / "grafana/provisioning").rglob("*.yaml")),
    }
    for name, paths in reads.items():
        named = {s for path in paths for s in re.findall(r"/run/secrets/([a-z_]+)", path.read_text())}
        assert named
        assert named <= set(SERVICES[name]["secrets"])


def test_scrape_targets_are_services_of_the_stack(config: Config) -> None:
    """prometheus.yml loads without a notice, and each of its targets is a service."""
    scrape, notices = load_scrape_file(config.scrape.files[0])
    assert not notices
    targets = [t for job in scrape.jobs for group in job.static_configs for t in group.targets]
    assert {target.rsplit(":", 1)[0] for target in targets} <= set(SERVICES)
    assert {job.job_name for job in scrape.jobs} == {"watchhouse", "node", "cadvisor", "fluent-bit"}


@pytest.mark.parametrize("name", ["alertmanager.yml", "alertmanager-quiet.yml"])
def test_alertmanager_files_load(config: Config, secrets: Path, name: str) -> None:
    """Both files that ALERTMANAGER_FILE may name load."""
    assert load_alertmanager(secrets.parent / name).receivers


def test_the_example_slos_load(config: Config) -> None:
    """The SLO files load with the default windows and without a notice, and ask for our own metrics."""
    setup = load_slos(config.slo)
    assert [spec.name for spec in setup.specs] == ["ingest-accepted", "commits-kept"]
    assert not check_slo([FILES / "slos/example.yml"])


def test_logs_take_one_way_each() -> None:
    """Fluent Bit sends to the addresses Watchhouse and Kafka have, and no line by both ways."""
    pipeline = yaml.safe_load((FILES / "fluent-bit/fluent-bit.yaml").read_text())["pipeline"]
    forward, kafka = pipeline["outputs"]
    assert (forward["host"], forward["port"]) == ("watchhouse", 24224)
    assert kafka["brokers"] == "kafka:9092"
    assert (forward["match"], kafka["match"]) == ("docker.*", "kafka.*")
    topics = yaml.safe_load((FILES / "watchhouse.yaml").read_text())["receivers"]["kafka"]["topics"]
    assert [topic["name"] for topic in topics] == [kafka["topics"]]


def test_the_image_runs_as_nobody_special_and_starts_without_a_shell() -> None:
    """The Dockerfile ends as a user with a number, with exec-form commands, a health check and the data volume."""
    last = (ROOT / "deploy/Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["watchhouse"\]$', last, re.MULTILINE)
    assert re.search(r'^\s+CMD \["python", "-c", ".*/-/ready', last, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", last, re.MULTILINE)
    assert re.search(r'^VOLUME \["/var/lib/watchhouse"\]$', last, re.MULTILINE)


def test_the_image_has_every_package_and_no_secret() -> None:
    """What pyproject.toml packs is copied and let through by .dockerignore, and nothing below deploy/secrets is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    passed = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} {package}\n" in dockerfile
        assert package in passed
    assert not any(name.startswith("deploy/") and name != "deploy/constraints.txt" for name in passed)


def test_the_versions_in_the_image_fit_the_project() -> None:
    """constraints.txt has one version for each dependency, and pyproject.toml allows it."""
    lines = [line for line in (ROOT / "deploy/constraints.txt").read_text().splitlines() if line[:1] != "#"]
    pinned = {Requirement(line).name.lower().replace("_", "-"): line.split("==")[1] for line in lines}
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pinned[wanted.name.lower().replace("_", "-")]), text


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/agents").glob("*.y*ml")), ids=lambda path: path.name)
def test_agent_configurations_send_to_the_default_ports(path: Path) -> None:
    """A ready-made agent configuration is YAML, and sends to a port Watchhouse listens on by default, or to Kafka."""
    document = yaml.safe_load(path.read_text())
    ports = {address.port for address in Config().listeners().values()} | {9092}
    sent = [o for o in document.get("pipeline", {}).get("outputs", [])]
    addresses = [str(o.get("brokers") or f"{o['host']}:{o['port']}") for o in sent]
    addresses += [
        text for where, text in strings(document) if re.search(r"exporters.*endpoint|remote_write.*url", where)
    ]
    assert addresses
    for address in addresses:
        match = re.search(r"127\.0\.0\.1:(\d+)", address)
        assert match
        assert int(match[1]) in ports


def test_the_collector_uses_what_it_defines() -> None:
    """Each pipeline of the Collector's configuration names receivers, processors and exporters that are defined."""
    document = yaml.safe_load((ROOT / "deploy/agents/otel-collector.yaml").read_text())
    for pipeline in document["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(document[kind])
