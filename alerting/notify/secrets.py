"""Secrets of notifiers: given in place, or in files that are read each time, so that they can be changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from alerting.notify.base import NotifyError


@dataclass(frozen=True, slots=True)
class SecretAddress:
    """Where to post to: a URL, or a file that holds it."""

    url: SecretStr | None
    file: Path | None

    def read(self) -> str:
        """The URL. Raises NotifyError when there is none."""
        if self.url is not None:
            return self.url.get_secret_value()
        return read_secret_file(self.file)


def read_secret_file(path: Path | None) -> str:
    """A secret from its file, without spaces around it. Raises NotifyError naming the file, never its content."""
    if path is None:
        raise NotifyError("no URL is configured", "misconfigured", retry=False)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotifyError(f"{path} cannot be read: {type(error).__name__}", "misconfigured", retry=False) from None


def secret_of(value: SecretStr | None, file: Path | None) -> str:
    """A secret, "" when it is neither given nor in a file. Raises NotifyError."""
    if value is not None:
        return value.get_secret_value()
    return read_secret_file(file) if file is not None else ""
