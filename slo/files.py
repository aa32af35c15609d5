"""Everything the `slo` section of the configuration names, read and checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.config import SloConfig, resolve_files
from app.errors import ConfigError, Problem
from app.yamlfile import Document, load_documents
from slo.notices import notices
from slo.openslo import is_openslo, read_openslo
from slo.pyrra.specs import is_pyrra, read_pyrra
from slo.reading import Reading
from slo.sloth import is_sloth, sloth_specs
from slo.spec import SloSpec
from slo.windows import Windows, is_windows, load_windows, windows_of

FORMATS = (
    "Sloth's version: prometheus/v1 and sloth.slok.dev/v1 PrometheusServiceLevel, openslo/v1,"
    " and pyrra.dev/v1alpha1 ServiceLevelObjective"
)


@dataclass(frozen=True, slots=True)
class SloSetup:
    """What a configuration says of SLOs."""

    specs: tuple[SloSpec, ...]
    windows: Windows
    notices: tuple[Problem, ...] = ()


def load_slos(config: SloConfig) -> SloSetup:
    """The SLOs and windows a configuration names. Raises ConfigError with the problems of all the files."""
    problems: list[Problem] = []
    windows: Windows = load_windows()
    try:
        windows = load_windows(config.windows, config.interval)
    except ConfigError as error:
        problems += error.problems
    reading = Reading()
    try:
        reading = read_files(resolve_files(config.files), windows)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return SloSetup(reading.specs, windows, reading.notices)


def read_files(paths: Sequence[Path], windows: Windows) -> Reading:
    """The SLOs of files, all together, as they may refer to each other.

    Raises ConfigError with every problem found in any of them.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            documents += load_documents(path)
        except ConfigError as error:
            problems += error.problems
    try:
        reading = read_slos(documents, windows)
    except ConfigError as error:
        raise ConfigError(_in_order([*problems, *error.problems], [str(path) for path in paths])) from None
    if problems:
        raise ConfigError(problems)
    return reading


def read_slos(documents: Sequence[Document], windows: Windows) -> Reading:
    """The SLOs of documents of any format. Raises ConfigError with every problem found."""
    reader = _Reader(windows)
    reader.read([document for document in documents if not _is_empty(document)])
    files = list(dict.fromkeys(document.file for document in documents))
    if not reader.problems:
        # an SLO that is there twice is told where nothing else is wrong, as other mistakes change ids
        reader.problems += _given_twice(reader.specs)
    if reader.problems:
        raise ConfigError(_in_order(reader.problems, files))
    specs = sorted(reader.specs, key=lambda spec: (files.index(spec.file), spec.line or 0))
    told = [*reader.notices, *(notice for spec in specs for notice in notices(spec, windows))]
    return Reading(tuple(specs), tuple(_in_order(told, files)))


def check_slo(paths: Sequence[Path]) -> list[Problem]:
    """What is allowed in SLO and AlertWindows files but may surprise. Raises ConfigError when any is wrong."""
    problems: list[Problem] = []
    found: list[Problem] = []
    others: list[Path] = []
    for path in paths:
        try:
            documents = load_documents(path)
            if all(is_windows(document) for document in documents):
                windows_of(documents)
            else:
                others.append(path)
        except ConfigError as error:
            problems += error.problems
    try:
        found += read_files(others, load_windows()).notices
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(_in_order(problems, [str(path) for path in paths]))
    return found


def is_slo_data(data: Any) -> bool:
    """Whether the first document of a file says that it is about SLOs, in whatever format, known or not."""
    if isinstance(data, list):
        return any(isinstance(item, dict) and "apiVersion" in item for item in data)
    return isinstance(data, dict) and ("slos" in data or {"apiVersion", "kind"} <= set(data))


@dataclass(slots=True)
class _Reader:
    """Reads documents by format and gathers what is in them and wrong with them."""

    windows: Windows
    specs: list[SloSpec] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, documents: Sequence[Document]) -> None:
        """Takes documents in. OpenSLO's are read together, as they refer to each other."""
        openslo = [document for document in documents if is_openslo(document)]
        for document in documents:
            if not is_openslo(document):
                self._attempt(document)
        if not openslo:
            return
        try:
            reading = read_openslo(openslo, self.windows)
        except ConfigError as error:
            self.problems += error.problems
        else:
            self.specs += reading.specs
            self.notices += reading.notices

    def _attempt(self, document: Document) -> None:
        try:
            _refuse_unknown_format(document)
            if is_pyrra(document):
                found = read_pyrra(document)
                self.specs += found.specs
                self.notices += found.notices
            else:
                # what names no format at all is told what is missing of Sloth's
                self.specs += sloth_specs(document, self.windows)
        except ConfigError as error:
            self.problems += error.problems


def _is_empty(document: Document) -> bool:
    # what stands before a first or behind a last `---`
    return document.data is None and not document.problems


def _refuse_unknown_format(document: Document) -> None:
    data = document.data
    if not isinstance(data, dict) or document.problems or is_sloth(document) or is_pyrra(document):
        return
    if is_windows(document):
        message = "AlertWindows are no SLOs: their file is named by slo.windows"
        raise ConfigError([document.problem(("kind",), message)])
    if "apiVersion" in data:
        what = f"{data['apiVersion']} {data.get('kind', '')}".strip()
        message = f"{what} is not read; read are {FORMATS}"
        raise ConfigError([document.problem(("apiVersion",), message)])


def _given_twice(specs: Sequence[SloSpec]) -> list[Problem]:
    problems = []
    seen: dict[str, SloSpec] = {}
    for spec in specs:
        first = seen.setdefault(spec.id, spec)
        if first is not spec:
            where = f"{first.file}:{first.line}"
            problems.append(Problem(spec.file, spec.line, "name", f"the id {spec.id!r} is taken by the SLO in {where}"))
    return problems


def _in_order(problems: Sequence[Problem], files: Sequence[str]) -> list[Problem]:
    return sorted(problems, key=lambda p: (files.index(p.file) if p.file in files else -1, p.line or 0))
