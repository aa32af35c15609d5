"""The files of templates that a configuration names, and what is wrong in them."""

from __future__ import annotations

import re

from alerting.config import AlertmanagerConfig
from alerting.templates.alertmanager import AlertTemplates
from app.errors import ConfigError, Problem
from app.gotemplate import TemplateError

_PLACE = re.compile(r"^template: (?P<name>[^:]*):(?P<line>\d+)")


def load_templates(config: AlertmanagerConfig) -> AlertTemplates:
    """The templates of the files, beside the default ones.

    Raises ConfigError with the first mistake of every file that has one.
    """
    texts = config.template_texts()
    problems: list[Problem] = []
    good: list[tuple[str, str]] = []
    for path, text in texts:
        try:
            AlertTemplates([(path.name, text)])
        except TemplateError as error:
            place = _PLACE.match(str(error))
            problems.append(Problem(str(path), int(place["line"]) if place else None, "", str(error)))
        else:
            good.append((path.name, text))
    if problems:
        raise ConfigError(problems)
    return AlertTemplates(good)
