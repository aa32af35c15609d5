"""The files a configuration names, loaded together so that every mistake in any of them is told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alerting.config import AlertmanagerConfig, load_alertmanager
from alerting.config_notices import check_alertmanager
from alerting.rules.files import RuleSetup, check_rules, load_rules
from alerting.template_files import load_templates
from app.config import Config
from app.configfile import check_secrets, load_config
from app.errors import ConfigError, Problem
from app.yamlfile import load_documents
from ingest.scrape.config import ScrapeSet, load_scrape_file, scrape_set_from_inline
from slo.files import SloSetup, check_slo, is_slo_data, load_slos
from slo.windows import load_windows

T = TypeVar("T")
_NOBODY = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and what the files it names say."""

    config: Config
    slos: SloSetup
    alertmanager: AlertmanagerConfig
    scrape: ScrapeSet
    rules: RuleSetup


def load_all(path: Path | None, overrides: dict[str, Any] | None = None) -> Loaded:
    """The configuration and everything it names. Raises ConfigError with the problems of all the files."""
    config = load_config(path, overrides)
    problems: list[Problem] = []

    def attempt(load: Callable[[], T], instead: T) -> T:
        try:
            return load()
        except ConfigError as error:
            problems.extend(error.problems)
            return instead

    attempt(lambda: check_secrets(config, path), None)
    slos = attempt(lambda: load_slos(config.slo), SloSetup((), load_windows()))
    nobody = AlertmanagerConfig.model_validate(_NOBODY)
    file = config.alerting.config
    alertmanager = attempt(lambda: _with_templates(file), nobody) if file else nobody
    rules = attempt(lambda: load_rules(config.rules), RuleSetup())
    scrape = ScrapeSet()
    for scrape_file in config.scrape.files:
        scrape = attempt(partial(_with_file, scrape, scrape_file), scrape)
    if config.scrape.scrape_configs and path is not None:
        scrape = attempt(partial(_with_inline, scrape, config, path), scrape)
    if problems:
        raise ConfigError(problems)
    return Loaded(config, slos, alertmanager, scrape, rules)


def _with_templates(path: Path) -> AlertmanagerConfig:
    alertmanager = load_alertmanager(path)
    load_templates(alertmanager)
    return alertmanager


def _with_file(scrape: ScrapeSet, path: Path) -> ScrapeSet:
    return scrape + load_scrape_file(path)[0]


def _with_inline(scrape: ScrapeSet, config: Config, path: Path) -> ScrapeSet:
    return scrape + scrape_set_from_inline(config.scrape.scrape_configs, load_documents(path)[0])


@dataclass(frozen=True, slots=True)
class Checked:
    """A file with its mistakes, and what is allowed in it but may surprise."""

    path: Path
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()


def check_files(paths: Sequence[Path]) -> list[Checked]:
    """What is wrong in each file. SLO files are read together, as they may refer to each other."""
    slos = [path for path in paths if _is_slo(path)]
    problems: tuple[Problem, ...] = ()
    notices: list[Problem] = []
    try:
        notices = check_slo(slos)
    except ConfigError as error:
        problems = error.problems
    return [
        Checked(
            path,
            tuple(problem for problem in problems if problem.file == str(path)),
            tuple(str(notice) for notice in notices if notice.file == str(path)),
        )
        if path in slos
        else _check_alone(path)
        for path in paths
    ]


def check_file(path: Path) -> list[str]:
    """What is allowed in a file but may surprise. What the file is, its own keys tell.

    Raises ConfigError with every mistake, also those in files that a watchhouse.yaml names.
    """
    data = load_documents(path)[0].data
    keys = set(data) if isinstance(data, dict) else set()
    if "route" in keys or isinstance(data.get("receivers") if keys else None, list):
        return check_alertmanager(path)
    if is_slo_data(data):
        return [str(notice) for notice in check_slo([path])]
    if "groups" in keys:
        return [str(notice) for notice in check_rules(path)]
    if "global" in keys or "scrape_configs" in keys:
        return load_scrape_file(path)[1]
    loaded = load_all(path)
    alertmanager = [loaded.config.alerting.config] if loaded.config.alerting.config else []
    named = [*loaded.config.scrape.files, *alertmanager]
    told = [notice for file in named for notice in check_file(file)]
    return [*told, *(str(notice) for notice in (*loaded.slos.notices, *loaded.rules.notices))]


def _check_alone(path: Path) -> Checked:
    try:
        return Checked(path, notices=tuple(check_file(path)))
    except ConfigError as error:
        return Checked(path, error.problems)


def _is_slo(path: Path) -> bool:
    try:
        return is_slo_data(load_documents(path)[0].data)
    except ConfigError:
        return False
