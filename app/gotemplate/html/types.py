"""Texts that html/template takes as safe where they stand."""

from __future__ import annotations

from typing import ClassVar

from app.gotemplate.values import GoType


class HTML(str):
    """HTML that needs no escaping."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("template.HTML", "string")


class URL(str):
    """A URL that needs no filtering."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("template.URL", "string")
