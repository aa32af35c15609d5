"""The files a configuration names, loaded together so that every mistake in any of them is told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alerting.config import AlertmanagerConfig, check_alertmanager, load_alertmanager
from app.config import Config, resolve_files
from app.configfile import load_config
from app.errors import ConfigError, Problem
from app.yamlfile import load_documents
from ingest.scrape.config import ScrapeSet, load_scrape_file, scrape_set_from_inline
from slo.files import SloSetup, check_slo, load_slos
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

    slos = attempt(lambda: load_slos(config.slo), SloSetup((), load_windows()))
    nobody = AlertmanagerConfig.model_validate(_NOBODY)
    file = config.alerting.config
    alertmanager = attempt(lambda: load_alertmanager(file), nobody) if file else nobody
    scrape = ScrapeSet()
    for scrape_file in config.scrape.files:
        scrape = attempt(partial(_with_file, scrape, scrape_file), scrape)
    if config.scrape.scrape_configs and path is not None:
        scrape = attempt(partial(_with_inline, scrape, config, path), scrape)
    if problems:
        raise ConfigError(problems)
    return Loaded(config, slos, alertmanager, scrape)


def _with_file(scrape: ScrapeSet, path: Path) -> ScrapeSet:
    return scrape + load_scrape_file(path)[0]


def _with_inline(scrape: ScrapeSet, config: Config, path: Path) -> ScrapeSet:
    return scrape + scrape_set_from_inline(config.scrape.scrape_configs, load_documents(path)[0])


def check_file(path: Path) -> list[str]:
    """What is allowed in a file but may surprise. What the file is, its own keys tell.

    Raises ConfigError with every mistake, also those in files that a watchhouse.yaml names.
    """
    data = load_documents(path)[0].data
    keys = set(data) if isinstance(data, dict) else set()
    if "route" in keys or isinstance(data.get("receivers") if keys else None, list):
        return check_alertmanager(path)
    if "slos" in keys or {"apiVersion", "kind"} <= keys:
        return [str(notice) for notice in check_slo(path)]
    if "global" in keys or "scrape_configs" in keys:
        return load_scrape_file(path)[1]
    config = load_all(path).config
    alertmanager = [config.alerting.config] if config.alerting.config else []
    named = [*config.scrape.files, *resolve_files(config.slo.files), *alertmanager]
    return [notice for file in named for notice in check_file(file)]
