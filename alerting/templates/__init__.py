"""User-given texts of receivers. Go templates are recognised, and for now not evaluated."""

from __future__ import annotations


def is_template(text: str) -> bool:
    """Whether a text holds a Go template action."""
    return "{{" in text


def plain(text: str) -> str:
    """The text when it can be used as it is, "" when it is a template: then the default message is used."""
    return "" if is_template(text) else text
