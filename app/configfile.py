"""watchhouse.yaml: read, merged with the environment and the command line, and shown again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from app.config import ENV_PREFIX, Config, read_secret
from app.errors import ConfigError, Problem
from app.yamlfile import Document, KeyPath, dotted, load_documents, problems_of


def load_config(path: Path | None, overrides: dict[str, Any] | None = None) -> Config:
    """The configuration from a file (defaults without one), the environment, and the command line's `overrides`.

    Relative paths in the file are taken from the file's folder. Raises ConfigError with every problem found.
    """
    document = Document("environment", {}) if path is None else _one_document(path)
    problems = list(document.problems)
    data = document.data or {}
    if not isinstance(data, dict):
        raise ConfigError([*problems, document.problem((), "a mapping is wanted here")])
    merged = _merge(_from_folder(data, path.parent) if path else data, overrides or {})
    try:
        config = Config(**merged)
    except SettingsError as error:
        raise ConfigError([*problems, Problem("environment", None, "", str(error))]) from None
    except ValidationError as error:
        found = [_place(p) for p in problems_of(error, document, Config)]
        raise ConfigError(sorted([*problems, *found], key=lambda p: p.line or 0)) from None
    if problems:
        raise ConfigError(problems)
    return config


def check_secrets(config: Config, path: Path | None) -> None:
    """Reads the files of secrets that this process starts with; `path` is the file the configuration is from.

    Raises ConfigError naming each that cannot be read, with the line and key that name it, never with its content.
    """
    document = Document("environment", {}) if path is None else _one_document(path)
    problems = []
    for key, file in _secret_files(config):
        try:
            read_secret(file)
        except ConfigError as error:
            problems += [_place(document.problem(key, f"{file} {wrong.message}")) for wrong in error.problems]
    if problems:
        raise ConfigError(problems)


def _secret_files(config: Config) -> Iterator[tuple[KeyPath, Path]]:
    forward = config.receivers.fluent_forward
    for i, token in enumerate(config.auth.tokens):
        yield ("auth", "tokens", i, "token_file"), token.token_file
    if config.store.password_file and config.store.url != "embedded":
        yield ("store", "password_file"), config.store.password_file
    if forward and forward.shared_key_file:
        yield ("receivers", "fluent_forward", "shared_key_file"), forward.shared_key_file
    for name in ("signing_secret_file", "bot_token_file"):
        if file := getattr(config.slack, name):
            yield ("slack", name), file


def dump_config(config: Config) -> str:
    """The configuration in force as YAML; it names files that hold secrets, and holds none itself."""
    return yaml.safe_dump(_masked(config.model_dump(mode="json")), sort_keys=False)


def after_reload(old: Config, new: Config) -> Config:
    """What is in force when a process that runs on `old` has read `new`: of most keys still the old values."""
    windows_and_files = {"files": new.slo.files, "windows": new.slo.windows}
    return old.model_copy(
        update={
            "scrape": new.scrape,
            "rules": new.rules,
            "slo": old.slo.model_copy(update=windows_and_files),
            "alerting": old.alerting.model_copy(update={"config": new.alerting.config}),
        }
    )


def changed_keys(old: BaseModel, new: BaseModel, *above: str) -> Iterator[str]:
    """The keys that differ, as a person writes them; of a section that is there in one only, its own."""
    for name in type(new).model_fields:
        was, now = getattr(old, name), getattr(new, name)
        if isinstance(was, BaseModel) and isinstance(now, BaseModel):
            yield from changed_keys(was, now, *above, name)
        elif was != now:
            yield dotted((*above, name))


def _masked(data: Any) -> Any:
    """The data with the values of keys that hold secrets in Prometheus's own syntax replaced."""
    if isinstance(data, dict):
        return {k: "<secret>" if k in _SECRET_KEYS and v else _masked(v) for k, v in data.items()}
    return [_masked(item) for item in data] if isinstance(data, list) else data


_SECRET_KEYS = {"password", "credentials", "bearer_token", "client_secret", "key", "http_headers", "params"}
_PATH_KEYS = {
    "data_dir",
    "signing_secret_file",
    "bot_token_file",
    "cert_file",
    "key_file",
    "token_file",
    "password_file",
    "shared_key_file",
    "config",
    "windows",
}


def _from_folder(data: Any, folder: Path, key: str = "") -> Any:
    if isinstance(data, dict):
        # scrape configurations in place are Prometheus's own, and keep their paths
        return {k: v if k == "scrape_configs" else _from_folder(v, folder, str(k)) for k, v in data.items()}
    if isinstance(data, list):
        return [_from_folder(item, folder, key) for item in data]
    if key == "windows" and data in ("google", "pyrra"):
        return data
    if isinstance(data, str) and data and (key in _PATH_KEYS or key in ("files", "logql_files")):
        return str(folder / data)
    return data


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _one_document(path: Path) -> Document:
    documents = load_documents(path)
    if len(documents) > 1:
        documents[0].problems.append(
            Problem(str(path), documents[1].lines.get(()), "", "one YAML document is wanted, here is another")
        )
    return documents[0]


def _place(problem: Problem) -> Problem:
    """A problem that came from a variable of the environment names the variable instead of a line."""
    variable = ENV_PREFIX + problem.key.upper().replace(".", "__")
    found = next((name for name in os.environ if name.upper() == variable), None)
    return Problem("environment", None, found, problem.message) if found else problem
