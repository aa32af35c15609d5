"""What can be wrong with a template, in Go's words."""

from __future__ import annotations

from app.errors import WatchhouseError


class TemplateError(WatchhouseError):
    """A template cannot be read or executed: Go's message, with template, line and column.

    While reading `template: NAME:LINE: …`, while executing `template: NAME:LINE:COLUMN: executing "NAME" at <.X>: …`.
    """


class TemplateSyntaxError(TemplateError):
    """A template cannot be read."""


class TemplateLimit(TemplateError):
    """A template takes more steps, writes more or nests deeper than it may."""


class CallError(Exception):
    """A function of a template has no result; the message is put behind `error calling NAME: `."""


class TooLong(Exception):
    """A text grew longer than a template's output may be."""
