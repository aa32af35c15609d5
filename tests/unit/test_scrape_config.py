"""Prometheus's own file is taken unchanged, and every mistake in it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.config import Limits
from app.errors import ConfigError
from app.labels import labels_from
from app.yamlfile import read_documents
from ingest.scrape.config import ScrapeJob, load_scrape_file, scrape_set_from_inline
from ingest.scrape.discovery import FileDiscovery, static_groups
from ingest.scrape.headers import FetchError, request_headers
from ingest.scrape.target import Target, TargetList, resolver, targets_of

FULL = """\
global:
  scrape_interval: 15s
  evaluation_interval: 30s
  external_labels: {cluster: one, zone: 1}
  sample_limit: 1000
rule_files: [rules.yml]
alerting:
  alertmanagers: [{static_configs: [{targets: [am]}]}]
remote_write: [{url: http://x}]
storage: {tsdb: {out_of_order_time_window: 5m}}
scrape_configs:
- job_name: node
  static_configs:
  - targets: [a:9100, "b:9100"]
    labels: {env: prod, shard: 1}
- job_name: fast
  scrape_interval: 5s
  metrics_path: /probe
  scheme: https
  params: {module: [http_2xx], target: [x, y]}
  honor_labels: true
  honor_timestamps: false
  track_timestamps_staleness: true
  body_size_limit: 10MB
  sample_limit: 5
  basic_auth: {username: u, password_file: secrets/pw}
  tls_config: {ca_file: ca.pem, insecure_skip_verify: true}
  scrape_protocols: [OpenMetricsText1.0.0]
  static_configs: [{targets: ["c"]}]
  relabel_configs:
  - {source_labels: [__address__], regex: "(.*)", target_label: host, replacement: "$1"}
  metric_relabel_configs:
  - {source_labels: [__name__], regex: "go_.*", action: drop}
"""


def write(folder: Path, text: str) -> Path:
    """A scrape file."""
    path = folder / "prometheus.yml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    """Jobs inherit from `global`, paths are the file's folder's, other sections give a notice each."""
    found, notices = load_scrape_file(write(tmp_path, FULL))
    node, fast = found.jobs
    assert (node.scrape_interval, node.scrape_timeout, node.sample_limit) == (15_000, 10_000, 1000)
    assert (fast.scrape_interval, fast.scrape_timeout, fast.sample_limit) == (5_000, 5_000, 5)
    assert fast.body_size_limit == 10 * 2**20
    assert fast.basic_auth is not None
    assert fast.basic_auth.password_file == tmp_path / "secrets/pw"
    assert fast.tls_config.ca_file == tmp_path / "ca.pem"
    assert found.external_labels == {"cluster": "one", "zone": "1"}
    assert [notice.split(": ")[1] for notice in notices] == ["rule_files", "alerting", "remote_write", "storage"]


def test_defaults_are_prometheus_own(tmp_path: Path) -> None:
    """Without anything said: every minute, within ten seconds."""
    found, notices = load_scrape_file(write(tmp_path, "scrape_configs: [{job_name: a}]"))
    assert (found.jobs[0].scrape_interval, found.jobs[0].scrape_timeout) == (60_000, 10_000)
    assert not notices
    assert load_scrape_file(write(tmp_path, "global:\nscrape_configs:\n"))[0].jobs == ()


def test_every_mistake_is_told_with_line_and_key(tmp_path: Path) -> None:
    """All at once, in the order of the file, an unknown key with the nearest known one."""
    text = """\
global: {scrape_interval: 10s, scrape_timeout: 20s}
scrape_configs:
- job_name: a
  scrape_intervall: 5s
  kubernetes_sd_configs: [{role: node}]
- job_name: a
  scrape_timeout: 1h
  static_configs:
  - targets: ["http://x/metrics"]
    labels: {"a-b": x}
- static_configs: []
- job_name: c
  relabel_configs:
  - {action: keep, regexp: x}
  bearer_token: t0ps3cret
  authorization: {credentials: t0ps3cret}
  body_size_limit: many
scrape_config_files: [more.yml]
remote_wrte: []
"""
    with pytest.raises(ConfigError) as caught:
        load_scrape_file(write(tmp_path, text))
    told = [(p.line, p.key, p.message) for p in caught.value.problems]
    expected = [
        (1, "global.scrape_timeout", "longer than the scrape interval"),
        (4, "scrape_configs[0].scrape_intervall", "did you mean 'scrape_interval'?"),
        (5, "scrape_configs[0].kubernetes_sd_configs", "kubernetes_sd_configs: not supported yet"),
        (6, "scrape_configs[1].job_name", "already there, on line 3"),
        (7, "scrape_configs[1].scrape_timeout", "1h is longer than the scrape interval, 10s"),
        (9, "scrape_configs[1].static_configs[0].targets", "not a host"),
        (10, "scrape_configs[1].static_configs[0].labels", "not a label name: 'a-b'"),
        (11, "scrape_configs[2].job_name", "missing"),
        (14, "scrape_configs[3].relabel_configs[0].regexp", "did you mean 'regex'?"),
        (17, "scrape_configs[3].body_size_limit", "not a size"),
        (18, "scrape_config_files", "not supported yet"),
        (19, "remote_wrte", "unknown key"),
    ]
    assert [(line, key) for line, key, _ in told] == [(line, key) for line, key, _ in expected]
    for (_, _, message), (_, _, part) in zip(told, expected, strict=True):
        assert part in message
    assert "t0ps3cret" not in str(caught.value)


def test_credentials_are_given_one_way_only(tmp_path: Path) -> None:
    """Two ways in are a mistake, and no secret is shown."""
    text = "scrape_configs: [{job_name: c, bearer_token: t0ps3cret, basic_auth: {username: u}}]"
    with pytest.raises(ConfigError, match="at most one of basic_auth and bearer_token") as caught:
        load_scrape_file(write(tmp_path, text))
    assert "t0ps3cret" not in str(caught.value)


def test_inline_jobs_have_the_lines_of_watchhouse_yaml() -> None:
    """scrape.scrape_configs is the same syntax, and mistakes are told where they stand."""
    text = "scrape:\n  scrape_configs:\n  - job_name: a\n    static_configs: [{targets: [x]}]\n  - job_nam: b\n"
    document = read_documents("watchhouse.yaml", text)[0]
    configs: list[dict[str, Any]] = document.data["scrape"]["scrape_configs"]
    assert scrape_set_from_inline(configs[:1], document).jobs[0].job_name == "a"
    with pytest.raises(ConfigError) as caught:
        scrape_set_from_inline(configs, document)
    assert [(p.line, p.key) for p in caught.value.problems] == [
        (5, "scrape.scrape_configs[1].job_name"),
        (5, "scrape.scrape_configs[1].job_nam"),
    ]


def test_one_job_in_two_files_is_a_mistake(tmp_path: Path) -> None:
    """Sets join when their job names differ."""
    one, _ = load_scrape_file(write(tmp_path, "scrape_configs: [{job_name: a}]"))
    two, _ = load_scrape_file(write(tmp_path, "scrape_configs: [{job_name: b}]"))
    assert [job.job_name for job in (one + two).jobs] == ["a", "b"]
    with pytest.raises(ConfigError, match="'a' is in more than one"):
        one + one


# --- targets


def job_of(text: str) -> ScrapeJob:
    """The one job of a file."""
    document = read_documents("f", f"scrape: {{scrape_configs: [{text}]}}")[0]
    return scrape_set_from_inline(document.data["scrape"]["scrape_configs"], document).jobs[0]


def static(text: str) -> TargetList:
    """The targets of a job's static groups."""
    job = job_of(text)
    return targets_of(job, static_groups(job))


def test_static_targets() -> None:
    """Each address is a target with job, instance and the group's labels; one found twice is one."""
    found = static("{job_name: j, static_configs: [{targets: [a:1, b:2, a:1], labels: {env: x}}]}")
    assert [(t.url, dict(t.labels)) for t in found.active] == [
        ("http://a:1/metrics", {"job": "j", "instance": "a:1", "env": "x"}),
        ("http://b:2/metrics", {"job": "j", "instance": "b:2", "env": "x"}),
    ]
    assert found.active[0].discovered["__address__"] == "a:1"


def test_relabelling_makes_the_url_and_the_labels() -> None:
    """The blackbox idiom: the address moves into a parameter and the instance, and another address is asked."""
    found = static("""{job_name: j, metrics_path: /probe, params: {module: [m]}, scrape_interval: 10s,
      static_configs: [{targets: ["example.org:443"]}], relabel_configs: [
      {source_labels: [__address__], target_label: __param_target},
      {source_labels: [__param_target], target_label: instance},
      {target_label: __address__, replacement: "127.0.0.1:9115"},
      {target_label: __scrape_interval__, replacement: 5s},
      {target_label: __scrape_timeout__, replacement: 2s},
      {target_label: __tmp, replacement: x}]}""")
    target = found.active[0]
    assert target.url == "http://127.0.0.1:9115/probe?module=m&target=example.org%3A443"
    assert dict(target.labels) == {"job": "j", "instance": "example.org:443"}
    assert (target.interval_ms, target.timeout_ms) == (5_000, 2_000)


def test_dropped_and_impossible_targets() -> None:
    """A dropped target is listed with its discovered labels; one without an address is a problem."""
    found = static("""{job_name: j, static_configs: [{targets: [a, b, c]}], relabel_configs: [
      {source_labels: [__address__], regex: a, action: drop},
      {source_labels: [__address__], regex: b, target_label: __address__, replacement: ""}]}""")
    bad = static("{job_name: j, static_configs: [{targets: ['a:port', 'a b:1', 'a:1']}]}")
    assert [t.url for t in bad.active] == ["http://a:1/metrics"]
    assert len(bad.problems) == 2
    assert [t.url for t in found.active] == ["http://c/metrics"]
    assert [d["__address__"] for d in found.dropped] == ["a"]
    assert "no address" in found.problems[0]


def target_of(text: str) -> Target:
    """The first target of a job."""
    return static(text).active[0]


def test_page_labels_that_clash_are_exported() -> None:
    """The target's labels win and the page's are renamed, again if that is taken too."""
    resolve = resolver(target_of("{job_name: j, static_configs: [{targets: [a]}]}"), Limits())
    found = resolve([("__name__", "m"), ("job", "x"), ("exported_job", "y"), ("instance", ""), ("l", "v")])
    assert found == labels_from(
        {
            "__name__": "m",
            "job": "j",
            "instance": "a",
            "exported_exported_job": "x",
            "exported_job": "y",
            "l": "v",
        }
    )


def test_honor_labels() -> None:
    """The page's labels win, and one that is empty there takes the target's away."""
    resolve = resolver(target_of("{job_name: j, honor_labels: true, static_configs: [{targets: [a]}]}"), Limits())
    assert resolve([("__name__", "m"), ("job", "x")]) == labels_from({"__name__": "m", "job": "x", "instance": "a"})
    assert resolve([("__name__", "m"), ("instance", "")]) == labels_from({"__name__": "m", "job": "j"})


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("label_limit: 3", "4 labels"),
        ("label_name_length_limit: 7", "too long"),
        ("label_value_length_limit: 2", "too long"),
    ],
)
def test_label_limits_refuse(option: str, reason: str) -> None:
    """A series over a label limit refuses the page."""
    resolve = resolver(target_of(f"{{job_name: j, {option}, static_configs: [{{targets: [a]}}]}}"), Limits())
    with pytest.raises(ValueError, match=reason):
        resolve([("__name__", "m"), ("label", "abc")])


def test_metric_relabelling_drops_and_renames() -> None:
    """Rules see page and target labels; a series without a name is refused."""
    resolve = resolver(
        target_of("""{job_name: j, static_configs: [{targets: [a]}], metric_relabel_configs: [
        {source_labels: [job, __name__], regex: "j;go_.*", action: drop},
        {source_labels: [__name__], regex: "old_(.*)", target_label: __name__, replacement: "new_$1"},
        {source_labels: [__name__], regex: "nameless", target_label: __name__, replacement: ""}]}"""),
        Limits(),
    )
    assert resolve([("__name__", "go_x")]) is None
    renamed = resolve([("__name__", "old_x")])
    assert renamed is not None
    assert dict(renamed)["__name__"] == "new_x"
    with pytest.raises(ValueError, match="no metric name"):
        resolve([("__name__", "nameless")])


def test_target_files(tmp_path: Path) -> None:
    """Groups of YAML and JSON files are targets; a file that turns bad keeps its last good groups."""
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"], "labels": {"x": "y"}}]')
    (tmp_path / "b.yml").write_text("- targets: [b:1]\n")
    job = job_of(f"{{job_name: j, file_sd_configs: [{{files: ['{tmp_path}/*.json', '{tmp_path}/*.yml']}}]}}")
    files = FileDiscovery()
    found = targets_of(job, files.groups(job)).active
    assert [(t.url, dict(t.labels).get("x")) for t in found] == [
        ("http://a:1/metrics", "y"),
        ("http://b:1/metrics", None),
    ]
    assert found[0].discovered["__meta_filepath"] == str(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"targets": 3}')
    (tmp_path / "b.yml").unlink()
    assert [t.url for t in targets_of(job, files.groups(job)).active] == ["http://a:1/metrics"]


def test_credentials_become_headers(tmp_path: Path) -> None:
    """Each way of saying who asks gives its header; a secret that cannot be read names its file only."""
    (tmp_path / "t").write_text("from-file\n")

    def headers(options: str) -> dict[str, str]:
        job = job_of(f"{{job_name: j, {options}}}")
        return dict(request_headers(job, "http://example.org/metrics", 10_000))

    assert headers("basic_auth: {username: u, password: p}")["Authorization"] == "Basic dTpw"
    assert headers("bearer_token: abc")["Authorization"] == "Bearer abc"
    assert headers(f"bearer_token_file: {tmp_path}/t")["Authorization"] == "Bearer from-file"
    assert headers("authorization: {type: Token, credentials: abc}")["Authorization"] == "Token abc"
    assert headers("http_headers: {X-Scope: {values: [a]}}")["X-Scope"] == "a"
    assert headers("enable_compression: true")["Accept-Encoding"] == "gzip"
    assert headers("enable_compression: false")["Accept-Encoding"] == "identity"
    assert headers("honor_labels: true")["X-Prometheus-Scrape-Timeout-Seconds"] == "10"
    with pytest.raises(FetchError, match="missing cannot be read"):
        headers(f"bearer_token_file: {tmp_path}/missing")
