"""The objects of all documents: told apart, checked, and found by kind and name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.errors import ConfigError, Problem
from app.yamlfile import Document, KeyPath, nearest, validate
from slo.openslo.fields import VERSION
from slo.openslo.model import KINDS, Object
from slo.openslo.rules import Rules

Wanted = TypeVar("Wanted", bound=Object)
_OTHERS = ("openslo/v1alpha", "openslo.com/v2alpha")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object and its document. It is None where its fields are wrong, `sound` where nothing at all is."""

    document: Document
    kind: str
    name: str
    object: Object | None
    sound: bool


@dataclass(slots=True)
class Objects:
    """Every object of all documents, in their order, and what is wrong with them."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _named: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Takes an object in."""
        self.entries.append(entry)
        self._named.setdefault((entry.kind, entry.name), entry)

    def of(self, kind: type[Wanted]) -> Iterator[tuple[Document, Wanted]]:
        """The objects of a kind that are right."""
        for entry in self.entries:
            if entry.sound and isinstance(entry.object, kind):
                yield entry.document, entry.object

    def find(self, kind: type[Wanted], name: str) -> tuple[Document, Wanted] | None:
        """The object of this kind and name; None where there is none, or it is wrong."""
        label = next(label for label, model in KINDS.items() if model is kind)
        entry = self._named.get((label, name))
        if entry is None or not entry.sound or not isinstance(entry.object, kind):
            return None
        return entry.document, entry.object


def is_openslo(document: Document) -> bool:
    """Whether a document is one of OpenSLO's, of whatever version: an object, or a list of objects."""
    data = document.data
    return any(_version(item).startswith("openslo") for item in (data if isinstance(data, list) else [data]))


def load_objects(documents: Sequence[Document]) -> Objects:
    """The objects of all documents. Raises nothing: what is wrong is in `problems`."""
    objects = Objects()
    parts: list[tuple[Document, str, str]] = []
    index: dict[tuple[str, str], Document] = {}
    for document in documents:
        if isinstance(document.data, list) or document.data is None:
            objects.problems += document.problems
        for part in _split(document):
            problem = _refused(part)
            if problem is not None:
                objects.problems += [*part.problems, problem]
                continue
            kind, name = part.data["kind"], _name(part.data)
            parts.append((part, kind, name))
            first = index.setdefault((kind, name), part)
            if name and first is not part:
                message = f"{kind} {name!r} is there already, in {first.file}:{first.line_of(('metadata', 'name'))}"
                objects.problems.append(part.problem(("metadata", "name"), message))

    def find(kind: str, name: str) -> Mapping[str, Any] | None:
        found = index.get((kind, name))
        return None if found is None else found.data

    for part, kind, name in parts:
        value, problems = _checked(part, kind, Rules(part, find))
        objects.problems += problems
        objects.add(Entry(part, kind, name, value, not problems))
    return objects


def _checked(document: Document, kind: str, rules: Rules) -> tuple[Object | None, list[Problem]]:
    value: Object | None = None
    problems: list[Problem] = []
    try:
        value = validate(document, KINDS[kind])
    except ConfigError as error:
        problems += error.problems
    problems += rules.problems(kind)
    return value, sorted(problems, key=lambda p: p.line or 0)


def _split(document: Document) -> Iterator[Document]:
    """The document itself, or the items of a list of objects, each with its own lines."""
    if document.data is None:
        return
    if not isinstance(document.data, list):
        yield document
        return
    lines: list[dict[KeyPath, int]] = [{} for _ in document.data]
    for path, line in document.lines.items():
        if path:
            lines[int(path[0])][path[1:]] = line
    for item, places in zip(document.data, lines, strict=True):
        yield Document(document.file, item, places)


def _refused(document: Document) -> Problem | None:
    data = document.data
    if not isinstance(data, dict):
        return document.problem((), "an object of OpenSLO is wanted here, a mapping")
    version, kind = _version(data), data.get("kind")
    if version in _OTHERS:
        return document.problem(("apiVersion",), f"{version} is not read here, only {VERSION}: write it as that")
    if version != VERSION:
        return document.problem(("apiVersion",), f"must be {VERSION}")
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(kind, list(KINDS)) if isinstance(kind, str) else None
        hint = f"did you mean {near!r}?" if near else f"one of {', '.join(KINDS)} is wanted"
        return document.problem(
            ("kind",), f"not a kind of {VERSION}; {hint}" if kind is not None else f"missing; {hint}"
        )
    return None


def _version(data: Any) -> str:
    version = data.get("apiVersion") if isinstance(data, dict) else None
    return version if isinstance(version, str) else ""


def _name(data: Mapping[str, Any]) -> str:
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""
