"""OpenSLO files: every mistake is named with file, line, key and the standard's reason, all of them at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.yamlfile import load_documents, read_documents
from slo.openslo import is_openslo, load_objects, openslo_notices, openslo_specs, to_yaml
from tests.unit.openslo_windows import Windows

FILES = Path(__file__).parent / "test_openslo_files"
MISTAKES = sorted((FILES / "mistakes").glob("*.yaml"))
MARK = re.compile(r"# ! (?P<key>[^|]*)\|(?P<message>.*)$")
HEAD = "apiVersion: openslo/v1\nkind: "


@pytest.mark.parametrize("path", MISTAKES, ids=lambda p: p.stem)
def test_a_mistake_is_named(path: Path) -> None:
    """The mistake marked in the file is the only one reported: at its line, by its key, with what is wrong."""
    marks = [(n, m) for n, text in enumerate(path.read_text().splitlines(), 1) if (m := MARK.search(text))]
    ((line, mark),) = marks
    with pytest.raises(ConfigError) as caught:
        openslo_specs(load_documents(path), Windows())
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.key) == (str(path), line, mark["key"].strip())
    assert mark["message"].strip() in problem.message


def test_all_mistakes_come_at_once() -> None:
    """Mistakes of single fields, between fields, of names and of queries, of several files, come in their order."""
    first = read_documents(
        "a.yaml",
        f"{HEAD}SLO\nmetadata: {{name: A}}\nspec:\n  service: s\n  indicatorRef: x\n  budgetingMethod: Timeslices\n"
        "  objectives: [{target: 2, timeSliceTarget: 0.9}]\n",
    )
    second = read_documents(
        "b.yaml",
        f"- {HEAD.replace(chr(10), chr(10) + '  ')}SLI\n  metadata: {{name: y}}\n  spec:\n    thresholdMetric:\n"
        "      metricSource: {type: Prometheus, spec: {query: (}}\n"
        "- {apiVersion: openslo/v1, kind: Service, metadata: {}}\n",
    )
    with pytest.raises(ConfigError) as caught:
        openslo_specs([*first, *second], Windows())
    assert [(p.file, p.line, p.key) for p in caught.value.problems] == [
        ("a.yaml", 3, "metadata.name"),
        ("a.yaml", 6, "spec.indicatorRef"),
        ("a.yaml", 8, "spec.objectives[0].target"),
        ("a.yaml", 8, "spec.objectives[0].timeSliceWindow"),
        ("b.yaml", 6, "spec.thresholdMetric.metricSource.spec.query"),
        ("b.yaml", 7, "metadata.name"),
    ]


def test_a_name_given_twice_names_both_places() -> None:
    """The second object of a kind and name is told with the place of the first, in another file too."""
    text = f"{HEAD}Service\nmetadata:\n  name: shop\n"
    with pytest.raises(ConfigError) as caught:
        openslo_specs([*read_documents("a.yaml", text), *read_documents("b.yaml", text)], Windows())
    assert str(caught.value) == "b.yaml:4: metadata.name: Service 'shop' is there already, in a.yaml:4"


def test_the_same_name_in_another_kind_is_another_object() -> None:
    """A Service and an AlertNotificationTarget may have the same name."""
    target = f"{HEAD}AlertNotificationTarget\nmetadata: {{name: shop}}\nspec: {{target: slack}}\n"
    documents = read_documents("a.yaml", f"{HEAD}Service\nmetadata: {{name: shop}}\n---\n{target}")
    assert openslo_specs(documents, Windows()) == []


def test_an_object_that_is_wrong_is_not_said_to_be_missing() -> None:
    """What refers to a wrong object adds no mistake of its own."""
    sli = "---\n" + HEAD + "SLI\nmetadata: {name: x}\nspec: {description: 5}\n"
    slo = f"{HEAD}SLO\nmetadata: {{name: a}}\nspec: {{service: s, indicatorRef: x, budgetingMethod: Occurrences,"
    with pytest.raises(ConfigError) as caught:
        openslo_specs(read_documents("a.yaml", f"{slo} objectives: [{{target: 0.9}}]}}\n{sli}"), Windows())
    assert {p.key for p in caught.value.problems} == {"spec", "spec.description"}


def test_openslo_is_told_from_other_formats() -> None:
    """Any version of OpenSLO, an object or a list of them, is OpenSLO's; Sloth's and others are not."""
    texts = {
        "apiVersion: openslo/v1": True,
        "apiVersion: openslo.com/v2alpha": True,
        "- apiVersion: openslo/v1alpha": True,
        "version: prometheus/v1": False,
        "apiVersion: sloth.slok.dev/v1": False,
        "[]": False,
        "text": False,
    }
    assert {text: is_openslo(read_documents("a", text)[0]) for text in texts} == texts


@pytest.mark.parametrize("name", ["shop.yaml", "alerts.yaml"])
def test_objects_survive_printing(name: str) -> None:
    """Objects read, printed as OpenSLO v1 and read again are equal, and the same again when printed once more."""
    objects = [entry.object for entry in load_objects(load_documents(FILES / name)).entries if entry.object]
    text = to_yaml(objects)
    again = [entry.object for entry in load_objects(read_documents("again", text)).entries]
    assert len(objects) == {"shop.yaml": 9, "alerts.yaml": 3}[name]
    assert again == objects
    assert to_yaml(one for one in again if one) == text


def test_what_was_printed_makes_the_same_slos() -> None:
    """The SLOs of the printed objects are those of the files."""
    documents = [*load_documents(FILES / "shop.yaml"), *load_documents(FILES / "alerts.yaml")]
    text = to_yaml(entry.object for entry in load_objects(documents).entries if entry.object)
    specs = openslo_specs(documents, Windows())
    assert len(specs) == 5
    assert openslo_specs(read_documents("again", text), Windows()) == specs


SURPRISES = {
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0.9}]}": "no Service named 's'",
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0}]}": "everything may fail",
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0.9, compositeWeight: 2}]}": "no composite",
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0.9, timeSliceTarget: 0.5}]}": (
        "timeSliceTarget: has no effect with Occurrences"
    ),
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0.9, timeSliceWindow: 1m}]}": (
        "timeSliceWindow: has no effect with Occurrences"
    ),
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0.9}], timeWindow: [{duration: 1m,"
    " calendar: {startTime: '2026-01-01 00:00:00', timeZone: UTC}}]}": "months are written with M",
    "metadata: {name: a}\nspec: {service: s, {sli}, objectives: [{target: 0.9}], alertPolicies: [{kind: AlertPolicy,"
    " metadata: {name: p}, spec: {conditions: [{kind: AlertCondition, metadata: {name: c}, spec: {severity: page,"
    " condition: {kind: burnrate, op: lte, threshold: 2, lookbackWindow: 1h}}}], notificationTargets:"
    " [{kind: AlertNotificationTarget, metadata: {name: t}, spec: {target: x}}]}}]}": "the policy 'p' never alerts",
}
SLI = (
    "budgetingMethod: Occurrences, indicator: {metadata: {name: i}, spec: {ratioMetric: {"
    "good: {metricSource: {type: Prometheus, metricSourceRef: far, spec: {query: a_total, x: 1}}},"
    "total: {metricSource: {type: Prometheus, spec: {query: b}}}}}}"
)


@pytest.mark.parametrize("text", SURPRISES, ids=range(len(SURPRISES)))
def test_what_may_surprise_is_noticed(text: str) -> None:
    """What is allowed and does little or something else than meant is told, and is no mistake."""
    notices = openslo_notices(read_documents("a.yaml", f"{HEAD}SLO\n{text.replace('{sli}', SLI)}"), Windows())
    found = "\n".join(str(notice) for notice in notices)
    assert SURPRISES[text] in found
    assert "looks like a counter" in found
    assert "no DataSource named 'far'" in found
    assert "spec.x: is not used here" in found


def test_a_policy_below_its_threshold_is_noticed() -> None:
    """A policy that alerts while the budget burns slowly is told, and a connection nobody makes."""
    documents = [*load_documents(FILES / "shop.yaml"), *load_documents(FILES / "alerts.yaml")]
    before = {str(notice).split(": ", 1)[1] for notice in openslo_notices(documents, Windows())}
    assert before == {
        "spec.alertPolicies[1].spec.alertWhenBreaching: is not true, so the policy 'silence' alerts when there is no"
        " data only",
        "spec.connectionDetails: is not used: every query is asked here, of Watchhouse's own store",
    }
    changed = (FILES / "alerts.yaml").read_text().replace("op: gt", "op: lte")
    documents = [*load_documents(FILES / "shop.yaml"), *read_documents("alerts.yaml", changed)]
    after = [str(notice) for notice in openslo_notices(documents, Windows())]
    assert "alerts.yaml:14: spec.conditions: alerts while the budget burns slowly: its rate is lte 14.4" in after
