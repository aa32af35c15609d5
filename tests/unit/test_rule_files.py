"""Rule files: what promtool takes is taken, and every mistake is told with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerting.rules.builtin import builtin_files, builtin_groups, builtin_names, runbook
from alerting.rules.files import check_rules, load_rules
from alerting.rules.model import load_rule_file
from alerting.rules.testing.run import run_file
from app.config import RulesConfig
from app.errors import ConfigError
from app.files import check_file

TESTS = Path(__file__).parent / "rule_tests"


def mistakes(tmp_path: Path, text: str, language: str = "promql") -> list[str]:
    """What is told about a file."""
    path = tmp_path / "r.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_rule_file(path, language)  # type: ignore[arg-type]
    return [str(problem).removeprefix(str(path)) for problem in raised.value.problems]


def test_a_wrong_key_hides_no_other_mistake(tmp_path: Path) -> None:
    """Expressions and templates are read in a file with unknown keys and wrong durations too, all told at once."""
    told = mistakes(
        tmp_path,
        """groups:
  - name: g
    intervall: 30s
    rules:
      - alert: A
        expr: sum by (job (up)
        fro: 5m
      - alert: B
        expr: up == 0
        for: soon
        labels: {severity: [page], team: '{{ .Nothing'}
        annotations:
          summary: '{{ $labels.instance'
      - alrt: C
        expr: up ==
      - record: d
      - 5
      -
  - 7
  - name: g
    limit: many
    rules: {a: b}
  - rules: [{record: e, expr: 'up{', annotations: {a: b}}]
""",
    )
    where = [problem.split(": ")[1] for problem in told]
    assert where == [
        "groups[0].intervall",
        "groups[0].rules[0].expr",
        "groups[0].rules[0].fro",
        "groups[0].rules[1].for",
        "groups[0].rules[1].labels.severity",
        "groups[0].rules[1].labels.team",
        "groups[0].rules[1].annotations.summary",
        "groups[0].rules[2].alrt",
        "groups[0].rules[2].expr",
        "groups[0].rules[3]",
        "groups[0].rules[4]",
        "groups[0].rules[5]",
        "groups[1]",
        "groups[2].name",
        "groups[2].limit",
        "groups[2].rules",
        "groups[3].name",
        "groups[3].rules[0].expr",
        "groups[3].rules[0].annotations",
    ], told


def test_a_key_given_twice_hides_no_other_mistake(tmp_path: Path) -> None:
    """Its last value counts for what is checked further."""
    text = "groups:\n- name: g\n  name: h\n  rules:\n  - {record: a, expr: 'up{'}\n"
    assert [problem.split(": ")[1] for problem in mistakes(tmp_path, text)] == [
        "groups[0].name",
        "groups[0].rules[0].expr",
    ]
    assert len(mistakes(tmp_path, "groups: 5\n")) == 1
    assert len(mistakes(tmp_path, "- 5\n")) == 1


def test_every_key_is_read(tmp_path: Path) -> None:
    """Group and rule keys, with labels of the group below those of the rule."""
    path = tmp_path / "r.yml"
    path.write_text(
        """
groups:
  - name: g
    interval: 30s
    query_offset: 1m
    limit: 7
    labels: {team: infra, severity: none}
    rules:
      - {record: 'job:up:sum', expr: sum by (job) (up), labels: {a: b}}
      - alert: Down
        expr: up == 0
        for: 1h30m
        keep_firing_for: 5m
        labels: {severity: page}
        annotations: {summary: '{{ $labels.instance }}'}
  - {name: h, rules: []}
  - {name: empty}
"""
    )
    groups, notices = load_rule_file(path, interval_ms=45_000, query_offset_ms=2_000)
    assert notices == []
    first, second, third = groups
    assert (first.interval_ms, first.query_offset_ms, first.limit) == (30_000, 60_000, 7)
    assert (second.interval_ms, second.query_offset_ms, third.rules) == (45_000, 2_000, ())
    record, alert = first.rules
    assert record.labels == (("a", "b"), ("severity", "none"), ("team", "infra"))
    assert (alert.kind, alert.for_ms, alert.keep_firing_ms) == ("alerting", 5_400_000, 300_000)
    assert alert.labels == (("severity", "page"), ("team", "infra"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("groups: [{rules: []}]", [":1: groups[0].name: a group must have a name"]),
        ("groups:\n- {name: g}\n- {name: g}", [":3: groups[1].name: the group 'g' is in this file twice"]),
        ("groups:\n- name: g\n  intervall: 5m", [":3: groups[0].intervall: unknown key; did you mean 'interval'?"]),
        ("groups:\n- {name: g, interval: 5 minutes}", [":2: groups[0].interval: not a duration: '5 minutes'"]),
        ("groups:\n- {name: g, limit: many}", [":2: groups[0].limit:"]),
        ("groups:\n- {name: g, limit: -1}", [":2: groups[0].limit: must not be negative"]),
        ("groups:\n- name: g\n  rules:\n  - expr: up", [":4: groups[0].rules[0]: one of record and alert must be set"]),
        (
            "groups:\n- name: g\n  rules:\n  - alert: A\n    record: b\n    expr: up",
            [":5: groups[0].rules[0].record: only one of record and alert may be set"],
        ),
        ("groups:\n- name: g\n  rules:\n  - alert: A", [":4: groups[0].rules[0]: expr must be set"]),
        (
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: |-\n      up >\n      sum(",
            [":5: groups[0].rules[0].expr: 2:5: parse error: unclosed left parenthesis"],
        ),
        (
            "groups:\n- name: g\n  rules:\n  - {record: a, expr: b, for: 5m, keep_firing_for: 1m, annotations: {b: c}}",
            [
                f":4: groups[0].rules[0].{key}: only an alerting rule has this"
                for key in ("for", "keep_firing_for", "annotations")
            ],
        ),
        (
            "groups:\n- name: g\n  rules:\n  - {record: 'a{b=\"c\"}', expr: up}",
            [":4: groups[0].rules[0].record: not a name of a metric:"],
        ),
        (
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n    labels:\n      __name__: x",
            [":7: groups[0].rules[0].labels.__name__: not a label name: '__name__'"],
        ),
        (
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n    annotations:\n      a: b\n      c: '{{ .x'",
            [":8: groups[0].rules[0].annotations.c: "],
        ),
        (
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n    labels: {a: '{{ nofunc }}'}",
            [":6: groups[0].rules[0].labels.a: "],
        ),
        ("groups: {}", [":1: groups: a list is wanted here"]),
        ("groups: [\n", [":2: not YAML:"]),
        ("groupss: []", [":1: groupss: unknown key; did you mean 'groups'?"]),
    ],
)
def test_mistakes(tmp_path: Path, text: str, told: list[str]) -> None:
    """Each with the line and the key, all of a file at once."""
    found = mistakes(tmp_path, text)
    assert len(found) == len(told), found
    for one, beginning in zip(found, told, strict=True):
        assert one.startswith(beginning)


def test_values_are_taken_as_they_are_written(tmp_path: Path) -> None:
    """A label 1.0 or 010 is a text, as in Go; a label without a value is empty."""
    path = tmp_path / "r.yml"
    path.write_text("groups:\n- name: 1\n  rules:\n  - {alert: 2, expr: 3, labels: {a: 1.0, b: 010, c: yes, d: }}")
    ((group,), _) = load_rule_file(path)
    assert (group.name, group.rules[0].name, group.rules[0].expr) == ("1", "2", "3")
    assert group.rules[0].labels == (("a", "1.0"), ("b", "010"), ("c", "yes"), ("d", ""))


def test_what_may_surprise_is_told(tmp_path: Path) -> None:
    """The same name and labels twice, and a second document."""
    path = tmp_path / "r.yml"
    path.write_text("groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  - {record: a, expr: up}\n---\nx: 1\n")
    assert [str(notice).removeprefix(str(path)) for notice in check_rules(path)] == [
        ":7: only the first document of a rule file is read, as in Prometheus",
        ":5: groups[0].rules[1]: a rule with the name 'a' and the same labels is in group 'g' already",
    ]


def test_logql_rules(tmp_path: Path) -> None:
    """LogQL is checked as LogQL, and check-config sees which of the two a file is."""
    path = tmp_path / "r.yml"
    path.write_text('groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum(rate({app="a"} |= `x` [1m])) > 1\n')
    assert load_rule_file(path, "logql")[0][0].language == "logql"
    assert check_file(path) == [f"{path}: read as LogQL: name it in rules.logql_files"]
    assert mistakes(tmp_path, "groups: [{name: g, rules: [{alert: A, expr: 'sum(rate({a'}]}]", "logql")


def test_the_configuration_names_files(tmp_path: Path) -> None:
    """Patterns, both languages, defaults of groups, mistakes of several files at once, and a file for both."""
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text("groups: [{name: g, rules: [{record: r, expr: up}]}]")
    (tmp_path / "l.yaml").write_text("groups: [{name: l, rules: [{record: r, expr: 'rate({a=\"b\"}[1m])'}]}]")
    config = RulesConfig(
        files=(f"{tmp_path}/*.yml", f"{tmp_path}/a.yml"),
        logql_files=(f"{tmp_path}/l.yaml",),
        interval="30s",
        builtin=False,
    )
    groups = load_rules(config).groups
    assert [(Path(g.file).name, g.name, g.language, g.interval_ms) for g in groups] == [
        ("a.yml", "g", "promql", 30_000),
        ("b.yml", "g", "promql", 30_000),
        ("l.yaml", "l", "logql", 30_000),
    ]
    (tmp_path / "a.yml").write_text("groups: [{name: g, rules: [{record: r}]}]")
    with pytest.raises(ConfigError) as raised:
        load_rules(RulesConfig(files=(f"{tmp_path}/*.yml", "/nowhere.yml"), builtin_off=("NodeDwn",)))
    assert [problem.key for problem in raised.value.problems] == ["rules.builtin_off", "groups[0].rules[0]", ""]
    assert "did you mean 'NodeDown'?" in str(raised.value)
    (tmp_path / "b.yml").write_text("groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]")
    with pytest.raises(ConfigError, match=r"in rules\.files and in rules\.logql_files"):
        load_rules(RulesConfig(files=(f"{tmp_path}/b.yml",), logql_files=(f"{tmp_path}/b.yml",)))


def test_shipped_rules_can_be_turned_off() -> None:
    """All of them, or each by its name."""
    names = builtin_names()
    assert len(names) == len(set(names)) == 15
    for name in names:
        left = [rule.name for group in builtin_groups(60_000, (name,)) for rule in group.rules]
        assert left == [one for one in names if one != name]
    assert load_rules(RulesConfig(builtin=False)).groups == ()


@pytest.mark.parametrize("name", builtin_names())
def test_a_shipped_rule_says_what_it_is_and_what_to_do(name: str) -> None:
    """Summary, description, severity, and a runbook that is there."""
    (rule,) = [rule for group in builtin_groups(60_000) for rule in group.rules if rule.name == name]
    annotations = dict(rule.annotations)
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert dict(rule.labels)["severity"] in ("warning", "critical")
    assert annotations["runbook_url"] == f"{{{{ $externalURL }}}}/runbooks/{name}"
    text = runbook(name)
    assert text is not None
    assert text.startswith(f"# {name}\n")
    assert len(text) > 300


def test_no_runbook_outside_of_the_folder() -> None:
    """A name is a name, not a path."""
    assert runbook("../slo") is None
    assert runbook("Nothing") is None


@pytest.mark.parametrize("path", builtin_files(), ids=lambda path: path.stem)
def test_shipped_rules_do_what_they_promise(path: Path) -> None:
    """Each file's unit tests pass, and each of its rules fires in one and is silent in one."""
    tests = TESTS / path.name
    result = run_file(tests)
    assert result.errors == []
    names = [rule.name for group in load_rule_file(path)[0] for rule in group.rules]
    text = tests.read_text()
    for name in names:
        parts = text.split(f"alertname: {name}\n")[1:]
        assert any("exp_alerts" in part.split("alertname:")[0] for part in parts), f"{name} never fires"
        assert any("exp_alerts" not in part.split("- eval_time")[0] for part in parts), f"{name} is never silent"
