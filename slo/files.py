"""Everything the `slo` section of the configuration names, read and checked together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.config import SloConfig, resolve_files
from app.durations import format_duration_ms
from app.errors import ConfigError, Problem
from app.yamlfile import Document, load_documents
from slo.burn import budget_of
from slo.sloth import VERSION, sloth_specs
from slo.spec import RatioSli, SloSpec
from slo.windows import KIND, AlertWindows, load_windows, windows_of


@dataclass(frozen=True, slots=True)
class SloSetup:
    """What the engine works on."""

    specs: tuple[SloSpec, ...]
    windows: AlertWindows


def load_slos(config: SloConfig) -> SloSetup:
    """The SLOs and windows a configuration names. Raises ConfigError with the problems of all the files."""
    problems: list[Problem] = []
    windows = load_windows()
    try:
        windows = load_windows(config.windows, config.interval)
    except ConfigError as error:
        problems += error.problems
    specs: list[SloSpec] = []
    for path in resolve_files(config.files):
        try:
            specs += load_specs(path, windows.period_ms)
        except ConfigError as error:
            problems += error.problems
    problems += _given_twice(specs)
    if problems:
        raise ConfigError(problems)
    return SloSetup(tuple(specs), windows)


def load_specs(path: Path, period_ms: int) -> list[SloSpec]:
    """The SLOs of one file. Raises ConfigError with every problem found, and for a format that is not read."""
    specs: list[SloSpec] = []
    problems: list[Problem] = []
    for document in load_documents(path):
        try:
            _refuse_unknown_format(document)
            specs += sloth_specs(document, period_ms)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return specs


def check_slo(path: Path, windows: AlertWindows | None = None) -> list[Problem]:
    """What is allowed in an SLO or AlertWindows file but may surprise. Raises ConfigError when the file is wrong."""
    documents = load_documents(path)
    if len(documents) == 1 and isinstance(documents[0].data, dict) and documents[0].data.get("kind") == KIND:
        windows_of(documents[0])
        return []
    windows = windows or load_windows()
    specs = load_specs(path, windows.period_ms)
    problems = _given_twice(specs)
    if problems:
        raise ConfigError(problems)
    return [notice for spec in specs for notice in notices(spec, windows)]


def notices(spec: SloSpec, windows: AlertWindows) -> list[Problem]:
    """What is allowed in a spec but may surprise its author."""
    found = []
    if isinstance(spec.sli, RatioSli):
        found.append("a raw error ratio knows no events: every interval weighs the same, however much traffic it had")
    budget = budget_of(spec.objective)
    never = [pair for pair in windows.pairs if spec.alert(pair.severity) and pair.factor * budget >= 1]
    for pair in never:
        pair_text = f"{format_duration_ms(pair.long_ms)}/{format_duration_ms(pair.short_ms)}"
        found.append(
            f"the {pair.severity} alert at {float(pair.factor):g}x over {pair_text} can never fire:"
            f" with an objective of {spec.objective:g} % even total failure burns only {float(1 / budget):.4g}x"
        )
    return [Problem(spec.file, spec.line, spec.id, text) for text in found]


def _refuse_unknown_format(document: Document) -> None:
    data = document.data
    if not isinstance(data, dict) or data.get("version") == VERSION or document.problems:
        return
    if "apiVersion" in data:
        what = f"{data['apiVersion']} {data.get('kind', '')}".strip()
        message = f"{what} is not read; write the SLO as Sloth's version: {VERSION}"
        raise ConfigError([document.problem(("apiVersion",), message)])


def _given_twice(specs: Iterable[SloSpec]) -> list[Problem]:
    problems = []
    seen: dict[str, SloSpec] = {}
    for spec in specs:
        first = seen.setdefault(spec.id, spec)
        if first is not spec:
            where = f"{first.file}:{first.line}"
            problems.append(Problem(spec.file, spec.line, "name", f"the id {spec.id!r} is taken by the SLO in {where}"))
    return problems
