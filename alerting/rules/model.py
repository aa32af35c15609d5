"""Rule files as Prometheus 3 and promtool read and check them (model/rulefmt/rulefmt.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from alerting.rules.expand import reason
from alerting.rules.spec import Group, Language, Rule
from alerting.templates.prometheus import check
from app.durations import DurationMs
from app.errors import BadQuery, ConfigError, Problem, WatchhouseError
from app.labels import METRIC_NAME
from app.query.logql.parse import parse as parse_logql
from app.query.promql.parse import parse as parse_promql
from app.yamlfile import Document, GoModel, KeyPath, load_documents, nearest, validate

DEFAULT_INTERVAL_MS = 60_000


def _pairs(value: object) -> object:
    # what has no value is an empty text in Go
    return {k: "" if v is None else v for k, v in value.items()} if isinstance(value, dict) else value


Texts = Annotated[dict[str, str], BeforeValidator(_pairs)]


class RuleModel(GoModel):
    """An entry of `rules`."""

    record: str = ""
    alert: str = ""
    expr: str = ""
    for_: DurationMs = Field(0, alias="for")
    keep_firing_for: DurationMs = 0
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)


class GroupModel(GoModel):
    """An entry of `groups`."""

    name: str = ""
    interval: DurationMs = 0
    query_offset: DurationMs | None = None
    limit: int = 0
    rules: tuple[RuleModel, ...] = ()
    labels: Texts = Field(default_factory=dict)


class RuleFile(GoModel):
    """A rule file."""

    groups: tuple[GroupModel, ...] = ()


def load_rule_file(
    path: Path, language: Language = "promql", *, interval_ms: int = DEFAULT_INTERVAL_MS, query_offset_ms: int = 0
) -> tuple[list[Group], list[Problem]]:
    """The groups of a file, and what is allowed in it but may surprise. Raises ConfigError with every mistake.

    Interval and offset are those of groups that name none.
    """
    documents = load_documents(path, as_written=True)
    document = documents[0]
    try:
        found = validate(document, RuleFile)
    except ConfigError as error:
        problems = [*error.problems, *_further(document, error.problems, language)]
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0)) from None
    problems = list(_problems(document, found, language))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    told = [
        extra.problem((), "only the first document of a rule file is read, as in Prometheus")
        for extra in documents[1:2]
    ]
    groups = [_group(str(path), group, language, interval_ms, query_offset_ms) for group in found.groups]
    return groups, [*told, *_duplicates(document, groups)]


def _further(document: Document, told: Sequence[Problem], language: Language) -> Iterator[Problem]:
    """What else is wrong in a file with wrong keys or values: expressions, templates, names. Told once each."""
    found = _readable(document.data)
    if found is None:
        return
    keys = tuple(problem.key for problem in told)
    for problem in _problems(document, found, language):
        within = any(problem.key == key or problem.key.startswith((f"{key}.", f"{key}[")) for key in keys)
        # what a rule seems to lack may be the very key that is wrong
        lacks = any(key.startswith(f"{problem.key}.") and _means(key, ("record", "alert", "expr")) for key in keys)
        if not within and not lacks:
            yield problem


def _means(key: str, names: Sequence[str]) -> bool:
    return nearest(key.rpartition(".")[2], names) is not None


def _readable(data: object) -> RuleFile | None:
    """What can be read of a rule file without the keys and values that cannot; None when nothing can."""
    data = deepcopy(data)
    while isinstance(data, dict):
        try:
            return RuleFile.model_validate(data)
        except ValidationError as error:
            wrong = [item["loc"] for item in error.errors(include_url=False, include_input=False)]
        if not any([_take_out(data, path) for path in wrong]):
            return None
    return None


def _take_out(data: Any, path: KeyPath) -> bool:
    """Takes out what stands at a path, an entry of a list by emptying it. Whether there was anything to take out."""
    for i, part in enumerate(path):
        inside = data[part] if _has(data, part) else None
        if inside is None or i == len(path) - 1 or not _has(inside, path[i + 1]):
            if isinstance(data, dict):
                return data.pop(part, None) is not None
            if isinstance(data, list) and isinstance(part, int) and data[part] != {}:
                data[part] = {}
                return True
            return False
        data = inside
    return False


def _has(data: object, part: str | int) -> bool:
    return part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)


def _group(file: str, group: GroupModel, language: Language, interval_ms: int, query_offset_ms: int) -> Group:
    return Group(
        file,
        group.name,
        group.interval or interval_ms,
        tuple(
            Rule(
                "alerting" if rule.alert else "recording",
                rule.alert or rule.record,
                rule.expr,
                rule.for_,
                rule.keep_firing_for,
                tuple(sorted({**group.labels, **rule.labels}.items())),
                tuple(sorted(rule.annotations.items())),
            )
            for rule in group.rules
        ),
        query_offset_ms if group.query_offset is None else group.query_offset,
        group.limit,
        language,
    )


def _problems(document: Document, found: RuleFile, language: Language) -> Iterator[Problem]:
    names: set[str] = set()
    for g, group in enumerate(found.groups):
        where: KeyPath = ("groups", g)
        if not group.name:
            yield document.problem((*where, "name"), "a group must have a name")
        elif group.name in names:
            yield document.problem((*where, "name"), f"the group {group.name!r} is in this file twice")
        names.add(group.name)
        if group.limit < 0:
            yield document.problem((*where, "limit"), "must not be negative")
        yield from _label_problems(document, (*where, "labels"), group.labels)
        for r, rule in enumerate(group.rules):
            yield from _rule_problems(document, (*where, "rules", r), rule, language)


def _rule_problems(document: Document, where: KeyPath, rule: RuleModel, language: Language) -> Iterator[Problem]:
    if bool(rule.record) == bool(rule.alert):
        both = bool(rule.record)
        message = "only one of record and alert may be set" if both else "one of record and alert must be set"
        yield document.problem((*where, "record") if both else where, message)
    if not rule.expr:
        yield document.problem((*where, "expr") if "expr" in rule.model_fields_set else where, "expr must be set")
    else:
        yield from _expression_problems(document, (*where, "expr"), rule.expr, language)
    if rule.record:
        yield from _recording_problems(document, where, rule)
    yield from _label_problems(document, (*where, "labels"), rule.labels)
    for name in rule.annotations:
        if not name:
            yield document.problem((*where, "annotations", name), "an annotation must have a name")
    if rule.alert:
        for key, texts in (("labels", rule.labels), ("annotations", rule.annotations)):
            for name, text in texts.items():
                yield from _template_problems(document, (*where, key, name), rule.alert, text)


def _expression_problems(document: Document, where: KeyPath, expr: str, language: Language) -> Iterator[Problem]:
    parse: Callable[[str], Any] = parse_promql if language == "promql" else parse_logql
    try:
        parse(expr)
    except BadQuery as error:
        yield document.problem(where, reason(error))


def _recording_problems(document: Document, where: KeyPath, rule: RuleModel) -> Iterator[Problem]:
    given = {"for": rule.for_, "keep_firing_for": rule.keep_firing_for, "annotations": rule.annotations}
    for key, value in given.items():
        if value:
            yield document.problem((*where, key), "only an alerting rule has this")
    if "{" in rule.record or "}" in rule.record:
        message = f"not a name of a metric: {rule.record!r}; what is in braces belongs into expr or labels"
        yield document.problem((*where, "record"), message)


def _label_problems(document: Document, where: KeyPath, labels: Mapping[str, str]) -> Iterator[Problem]:
    for name in labels:
        if not name or name == METRIC_NAME:
            yield document.problem((*where, name), f"not a label name: {name!r}")


def _template_problems(document: Document, where: KeyPath, alert: str, text: str) -> Iterator[Problem]:
    try:
        check(text, name=f"__alert_{alert}")
    except WatchhouseError as error:
        yield document.problem(where, str(error))


def _duplicates(document: Document, groups: Sequence[Group]) -> Iterator[Problem]:
    """Rules that another of the file has the name and labels of: which of both is seen is chance."""
    seen: dict[tuple[str, object], str] = {}
    for g, group in enumerate(groups):
        for r, rule in enumerate(group.rules):
            key = (rule.name, rule.labels)
            if key in seen:
                message = f"a rule with the name {rule.name!r} and the same labels is in group {seen[key]!r} already"
                yield document.problem(("groups", g, "rules", r), message)
            seen.setdefault(key, group.name)
