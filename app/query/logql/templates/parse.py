"""The templates of line_format and label_format: Go's language, read by the one parser there is for it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from app.gotemplate import TemplateError
from app.gotemplate.builtins import BUILTINS
from app.gotemplate.parser import parse
from app.gotemplate.tree import Field, List, Variable, walk
from app.query.logql.templates.expressions import EXPRESSION_FUNCTIONS
from app.query.logql.templates.functions import FUNCTIONS, UNSUPPORTED

_NAME = "line"
_KNOWN = frozenset((*BUILTINS, *FUNCTIONS, *EXPRESSION_FUNCTIONS, *UNSUPPORTED, "__line__", "__timestamp__"))


@lru_cache(maxsize=256)
def parse_template(text: str) -> List:
    """The tree of a template. Raises ValueError with Go's message, or naming what templates of lines have not."""
    try:
        found = parse(_NAME, text, _KNOWN)
    except TemplateError as problem:
        raise ValueError(str(problem)) from None
    except RecursionError:
        raise ValueError("a template is nested too deeply") from None
    if len(found) > 1:
        raise ValueError("{{define}} and {{block}} in a template are not supported")
    return found[_NAME].root


def fields_of(template: List) -> Iterator[str]:
    """The labels that a template reads."""
    for node in walk(template):
        if isinstance(node, Field):
            yield node.names[0]
        elif isinstance(node, Variable) and node.names[0] == "$" and len(node.names) > 1:
            yield node.names[1]
