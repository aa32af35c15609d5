"""What long work inside one step costs: printing a large value, replacing many matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SPEND: ContextVar[Callable[[int], None] | None] = ContextVar("template_spend", default=None)


@contextmanager
def metered(spend: Callable[[int], None]) -> Iterator[None]:
    """Within it `charge` spends the steps of one execution."""
    token = _SPEND.set(spend)
    try:
        yield
    finally:
        _SPEND.reset(token)


def charge(steps: int) -> None:
    """Takes steps from the execution there is. Raises TemplateLimit when it has no more."""
    spend = _SPEND.get()
    if spend is not None:
        spend(steps)
