"""OpenSLO's objects as YAML again."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from slo.openslo.model import Object


def to_yaml(objects: Iterable[Object]) -> str:
    """The objects as OpenSLO v1, one YAML document each, without what is left at its default.

    Reading it again gives equal objects.
    """
    plain = [one.model_dump(by_alias=True, exclude_defaults=True) for one in objects]
    return yaml.safe_dump_all(plain, sort_keys=False, allow_unicode=True, explicit_start=True, width=120)
