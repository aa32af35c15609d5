"""The rule files a configuration names, read and checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alerting.rules.builtin import builtin_groups, builtin_names
from alerting.rules.model import load_rule_file
from alerting.rules.spec import Group, Language
from app.config import RulesConfig, resolve_files
from app.errors import ConfigError, Problem
from app.yamlfile import nearest


@dataclass(frozen=True, slots=True)
class RuleSetup:
    """What a configuration says of rules."""

    groups: tuple[Group, ...] = ()
    notices: tuple[Problem, ...] = ()


def load_rules(config: RulesConfig) -> RuleSetup:
    """The rule groups a configuration names. Raises ConfigError with the problems of all the files."""
    groups: list[Group] = []
    notices: list[Problem] = []
    problems: list[Problem] = [_unknown(name) for name in config.builtin_off if name not in builtin_names()]
    if config.builtin:
        groups += builtin_groups(config.interval, config.builtin_off)
    languages: tuple[tuple[Language, Sequence[str]], ...] = (
        ("promql", config.files),
        ("logql", config.logql_files),
    )
    for language, patterns in languages:
        for path in dict.fromkeys(resolve_files(tuple(patterns))):
            try:
                found, told = load_rule_file(
                    path, language, interval_ms=config.interval, query_offset_ms=config.query_offset
                )
            except ConfigError as error:
                problems += error.problems
                continue
            groups += found
            notices += told
    problems += _in_both(groups)
    if problems:
        raise ConfigError(problems)
    return RuleSetup(tuple(groups), tuple(notices))


def check_rules(path: Path) -> list[Problem]:
    """What is allowed in a rule file of either language but may surprise. Raises ConfigError with every mistake."""
    try:
        return load_rule_file(path)[1]
    except ConfigError as error:
        try:
            notices = load_rule_file(path, "logql")[1]
        except ConfigError:
            raise error from None
        return [Problem(str(path), None, "", "read as LogQL: name it in rules.logql_files"), *notices]


def _unknown(name: str) -> Problem:
    near = nearest(name, builtin_names())
    hint = f"; did you mean {near!r}?" if near else ""
    return Problem("watchhouse.yaml", None, "rules.builtin_off", f"there is no rule of the name {name!r}{hint}")


def _in_both(groups: Sequence[Group]) -> list[Problem]:
    """A file that is named for both languages."""
    promql = {group.file for group in groups if group.language == "promql"}
    both = sorted({group.file for group in groups if group.language == "logql"} & promql)
    return [Problem(file, None, "", "named in rules.files and in rules.logql_files") for file in both]
