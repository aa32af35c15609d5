"""Where a job's target groups come from: its own static ones, and files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from app.config import resolve_files
from app.errors import ConfigError
from app.yamlfile import Document, load_documents, validate
from ingest.scrape.config import ScrapeJob, TargetGroup

log = logging.getLogger(__name__)

Found = tuple[TargetGroup, Mapping[str, str]]


class _GroupFile(BaseModel):
    groups: tuple[TargetGroup, ...] = ()


class FileDiscovery:
    """Groups in files, read again only when they changed; a file that turns bad keeps its last good groups."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[tuple[int, int], tuple[TargetGroup, ...]]] = {}

    def groups(self, job: ScrapeJob) -> Iterator[Found]:
        """The job's groups from files, as they are now. Reads files, so it may block; never raises for one."""
        for sd in job.file_sd_configs:
            for path in resolve_files(sd.files):
                for group in self._groups_of(path):
                    yield group, {"__meta_filepath": str(path)}

    def _groups_of(self, path: Path) -> tuple[TargetGroup, ...]:
        stamp, last = self._read.get(path, ((0, 0), ()))
        try:
            status = path.stat()
        except OSError:
            self._read.pop(path, None)
            return ()
        now = (status.st_mtime_ns, status.st_size)
        if now == stamp:
            return last
        try:
            found = _load(path)
        except ConfigError as error:
            log.error("target file not taken: %s", error)
            found = last
        self._read[path] = (now, found)
        return found


def _load(path: Path) -> tuple[TargetGroup, ...]:
    document = load_documents(path)[0]
    lines = {("groups", *key): line for key, line in document.lines.items()}
    wrapped = Document(document.file, {"groups": document.data or []}, lines, document.problems)
    return validate(wrapped, _GroupFile).groups


def static_groups(job: ScrapeJob) -> Iterator[Found]:
    """The job's static groups."""
    for group in job.static_configs:
        yield group, {}
