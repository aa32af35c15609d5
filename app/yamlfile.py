"""YAML files as validated models, with every mistake reported by file, line and key.

Every file people give us goes through `load_model`: configuration, scrape files, Alertmanager's file, SLO specs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from app.errors import ConfigError, Problem

M = TypeVar("M", bound=BaseModel)
KeyPath = tuple[str | int, ...]


_WORDS = {
    "missing": "missing",
    "tuple_type": "a list is wanted here",
    "list_type": "a list is wanted here",
    "dict_type": "a mapping is wanted here",
    "model_type": "a mapping is wanted here",
    "path_type": "a path is wanted here",
}
"""What pydantic's errors say to somebody who knows YAML and not Python."""


class StrictModel(BaseModel):
    """Base of every model of a file: unknown keys are mistakes, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class GoModel(StrictModel):
    """Base of models of what programs in Go read: a key without a value is one that is not there."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


@dataclass(slots=True)
class Document:
    """One YAML document: its plain data and where each key stands."""

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int | None:
        """The line of a key, or of its nearest ancestor that is in the file."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at a key of this document."""
        return Problem(self.file, self.line_of(path), dotted(path), message)


class _Loader(yaml.SafeLoader):
    """Tells where a value stands that has the form of a date or a number and is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. Raises ConstructorError with the node's place; never with its text, a secret maybe."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            message = f"written like a value of type {kind}, and is none: a text wants quotes here"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None


class Written(str):
    """A number, truth or date of a YAML file as its text, and what YAML takes it for: `007`, `yes`, `17:00`."""

    value: Any

    @classmethod
    def of(cls, text: str, value: Any) -> Written:
        """The text with its value."""
        made = cls(text)
        made.value = value
        return made


def plain(data: Any) -> Any:
    """The data with every `Written` as its value, dates as texts."""
    if isinstance(data, dict):
        return {plain(key): plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [plain(item) for item in data]
    if isinstance(data, Written):
        return str(data) if isinstance(data.value, date) else data.value
    return data


def value_of(text: str) -> Any:
    """What a program in Go takes a text for when it reads it as YAML: its first document, whatever comes after it.

    Raises ValueError when it is none.
    """
    try:
        return plain(_TextLoader(text).get_data())
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error


_GO_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class _TextLoader(_Loader):
    """Keeps how scalars are written: a program in Go that wants a text takes the text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As `_Loader`; what is neither a text nor null becomes a `Written`."""
        value = super().construct_object(node, deep)
        if not isinstance(node, yaml.ScalarNode) or value is None or isinstance(value, bytes):
            return value
        if isinstance(value, str):
            number = node.style is None and _GO_FLOAT.fullmatch(node.value)
            return Written.of(value, float(value)) if number else value
        if ":" in node.value and isinstance(value, int | float):
            return str(node.value)  # numbers to the base of 60 are YAML's, and not Go's
        return Written.of(node.value, value)


def dotted(path: KeyPath) -> str:
    """A key path as a person writes it: `scrape_configs[0].job_name`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def read_documents(file: str, text: str, *, as_written: bool = False) -> list[Document]:
    """The YAML documents of a text. Syntax errors and duplicate keys are problems of the document they stand in.

    With `as_written` numbers and the like keep their text, as `Written`.
    """
    documents: list[Document] = []
    try:
        loader = _TextLoader(text) if as_written else _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            document = Document(file, None)
            _index(node, (), document)
            document.data = loader.construct_document(node)
            documents.append(document)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        broken = Document(file, None)
        broken.problems.append(Problem(file, line, "", f"not YAML: {error.problem or error.context}"))
        documents.append(broken)
    except yaml.YAMLError as error:
        broken = Document(file, None)
        broken.problems.append(Problem(file, None, "", f"not YAML: {error}"))
        documents.append(broken)
    return documents or [Document(file, {})]


def _index(node: yaml.Node, path: KeyPath, document: Document) -> None:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in seen:
                document.problems.append(Problem(document.file, line, dotted((*path, key)), "given twice"))
            seen.add(key)
            document.lines[(*path, key)] = line
            _index(value_node, (*path, key), document)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _index(item, (*path, i), document)


def validate(document: Document, model: type[M], *, context: object = None) -> M:
    """The document as a model; `context` is for its validators. Raises ConfigError with every problem found."""
    problems = list(document.problems)
    if document.data is None and problems:
        raise ConfigError(problems)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError([*problems, document.problem((), f"a mapping is wanted here, not {_kind(data)}")])
    try:
        result = model.model_validate(data, context=context)
    except ValidationError as error:
        problems += problems_of(error, document, model)
        raise ConfigError(sorted(problems, key=lambda p: p.line or 0)) from None
    if problems:
        raise ConfigError(problems)
    return result


def load_model(path: Path, model: type[M], *, as_written: bool = False) -> M:
    """The one document of a file as a model. Raises ConfigError with every problem: unreadable, not YAML, wrong."""
    documents = load_documents(path, as_written=as_written)
    if len(documents) > 1:
        raise ConfigError(
            [Problem(str(path), documents[1].lines.get(()), "", "one YAML document is wanted, here is another")]
        )
    return validate(documents[0], model)


def load_documents(path: Path, *, as_written: bool = False) -> list[Document]:
    """The YAML documents of a file, as `read_documents`. Raises ConfigError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), None, "", "is not UTF-8")]) from None
    return read_documents(str(path), text, as_written=as_written)


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> Iterator[Problem]:
    """What pydantic found, each with the line of its key and, for an unknown key, the nearest known one."""
    items = error.errors(include_url=False, include_input=False)
    for item in items:
        # a list whose items are wrong counts as empty: that is told by the items
        if item["type"] == "too_short" and any(_below(other["loc"], item["loc"]) for other in items):
            continue
        path = tuple(part for part in item["loc"] if _in_document(part, document))
        yield document.problem(path, _message(item, path, model))


def _below(path: KeyPath, above: KeyPath) -> bool:
    return len(path) > len(above) and path[: len(above)] == above


def _in_document(part: str | int, document: Document) -> bool:
    # pydantic adds names of union members and validators to `loc`; they are no keys
    return isinstance(part, int) or not any(c in part for c in "[]()") or any(part in p for p in document.lines)


def _message(item: Any, path: KeyPath, model: type[BaseModel]) -> str:
    kind, text = item["type"], str(item["msg"])
    if kind == "extra_forbidden":
        near = nearest(str(path[-1]), known_keys(model, path[:-1]))
        return f"unknown key; did you mean {near!r}?" if near else "unknown key"
    if kind in _WORDS:
        return _WORDS[kind]
    return text.removeprefix("Value error, ").strip()


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word a user most likely meant, None when nothing is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return close[0] if close else None


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that may stand at a path below a model."""
    here: list[type[BaseModel]] = [model]
    for part in path:
        if isinstance(part, int):
            continue
        here = [
            sub
            for m in here
            for name, info in m.model_fields.items()
            if part in (name, info.alias)
            for sub in _models_in(info.annotation)
        ]
    return [info.alias or name for m in here for name, info in m.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models_in(arg)]


def _kind(data: object) -> str:
    return "a list" if isinstance(data, list) else "a text" if isinstance(data, str) else f"a {type(data).__name__}"
