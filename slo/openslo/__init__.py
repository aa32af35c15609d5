"""OpenSLO v1, whole: Service, DataSource, SLI, SLO, AlertPolicy, AlertCondition, AlertNotificationTarget."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import Problem
from app.yamlfile import Document
from slo.openslo.load import is_openslo, load_objects
from slo.openslo.printing import to_yaml
from slo.openslo.specs import read_openslo
from slo.reading import Reading
from slo.spec import SloSpec
from slo.windows import Windows

__all__ = ["Reading", "is_openslo", "load_objects", "openslo_notices", "openslo_specs", "read_openslo"]
__all__ += ["to_yaml"]


def openslo_specs(documents: Sequence[Document], windows: Windows) -> list[SloSpec]:
    """The SLOs of all documents of all files together. Raises ConfigError with every problem found."""
    return list(read_openslo(documents, windows).specs)


def openslo_notices(documents: Sequence[Document], windows: Windows) -> list[Problem]:
    """What is allowed in them but may surprise. Raises ConfigError as `openslo_specs` does."""
    return list(read_openslo(documents, windows).notices)
