"""What reading SLO files gives, whatever their format."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import Problem
from slo.spec import SloSpec


@dataclass(frozen=True, slots=True)
class Reading:
    """SLOs in the order of their files, and what is allowed in them but may surprise."""

    specs: tuple[SloSpec, ...] = ()
    notices: tuple[Problem, ...] = ()
