"""Go's template language: text/template, and html/template with its escaping by context."""

from app.gotemplate.errors import CallError, TemplateError, TemplateLimit, TemplateSyntaxError
from app.gotemplate.evaluate import Limits
from app.gotemplate.sets import TemplateSet
from app.gotemplate.times import Duration, Time
from app.gotemplate.values import GoType, StringMap, StringSlice

__all__ = [
    "CallError",
    "Duration",
    "GoType",
    "Limits",
    "StringMap",
    "StringSlice",
    "TemplateError",
    "TemplateLimit",
    "TemplateSet",
    "TemplateSyntaxError",
    "Time",
]
