"""Running a test script, whatever its language, and telling how many of its evals came out as they should."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from app.store.client import Pool


class Mismatch(Exception):
    """An eval did not come out as the script says."""


class Clear:
    """A clear command: the tables are emptied."""


class Asked(Protocol):
    """An eval: the line it is on, and its query."""

    line: int
    query: str


E = TypeVar("E", bound=Asked)
L = TypeVar("L")
Failures = Sequence[tuple[E, str]]


def run(
    commands: Iterable[L | E | Clear],
    pool: Pool,
    tables: Sequence[str],
    loads: tuple[type[L], Callable[[L], None]],
    evals: tuple[type[E], Callable[[E], None]],
) -> tuple[int, Failures[E]]:
    """(number of evals, those that failed with the reason), by what to do for each kind of command.

    What is done for an eval raises Mismatch.
    """
    (a_load, load), (an_eval, check) = loads, evals
    count, failures = 0, []
    for command in commands:
        if isinstance(command, Clear):
            for table in tables:
                pool.command(f"TRUNCATE TABLE {table}")
        elif isinstance(command, a_load):
            load(command)
        elif isinstance(command, an_eval):
            count += 1
            try:
                check(command)
            except Mismatch as error:
                failures.append((command, str(error)))
    return count, failures


def passed(name: str, count: int, failures: Failures[E], record_property: Callable[[str, object], None]) -> int:
    """How many evals of a script passed; prints and records it, and what failed."""
    good = count - len(failures)
    record_property("passed", f"{good} of {count}")
    print(f"{name}: {good} of {count} pass")
    for command, reason in failures:
        print(f"  {name}:{command.line}: {command.query}\n    {reason}")
    return good
