"""Sets of named templates."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock

from app.gotemplate.builtins import BUILTINS
from app.gotemplate.calls import Function, function_of
from app.gotemplate.errors import TemplateError, TemplateLimit
from app.gotemplate.evaluate import Limits, MissingKey
from app.gotemplate.execute import Execution
from app.gotemplate.html.escape import escaped
from app.gotemplate.html.escapers import ESCAPERS
from app.gotemplate.parser import parse
from app.gotemplate.quoting import quoted
from app.gotemplate.tree import Template, is_empty
from app.gotemplate.values import well_formed

_REMEMBERED = 4000


class TemplateSet:
    """One namespace of named templates, as Go's text/template has it; with `html` as html/template, which escapes.

    `functions` are Python callables; the annotations of their parameters are the types they take (see `function_of`).
    An exception they raise is the template's error. Data are dicts, lists, str, int, float, bool, None, datetimes and
    objects whose class says what templates see of it (see `app.gotemplate.objects`). Executing leaves a set as it is.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., object]],
        *,
        html: bool = False,
        missing_key: MissingKey = "default",
        limits: Limits | None = None,
    ) -> None:
        self._functions: dict[str, Function] = {
            **BUILTINS,
            **(ESCAPERS if html else {}),
            **{name: function_of(function) for name, function in functions.items()},
        }
        self._html = html
        self._missing_key: MissingKey = missing_key
        self._limits = limits or Limits()
        self._templates: dict[str, Template] = {}
        self._texts: OrderedDict[tuple[str, str], Mapping[str, Template]] = OrderedDict()
        self._lock = Lock()
        self._safe: dict[str, Mapping[str, Template]] = {}

    def names(self) -> list[str]:
        """Names of all templates, sorted."""
        return sorted(self._templates)

    def parse(self, name: str, text: str) -> None:
        """Adds a text's templates; those of a name that is known already take its place. Raises TemplateError."""
        self._templates = self._joined(_parsed(name, text, self._functions))
        self._texts.clear()
        self._safe.clear()

    def execute(self, name: str, data: object, **functions: Callable[..., object]) -> str:
        """What a template makes of data. Raises TemplateError.

        `functions` take the place of the set's own functions of these names for this once.
        """
        templates: Mapping[str, Template] = self._templates
        if self._html and name in templates:
            if name not in self._safe:
                self._safe[name] = _escaped(templates, name)
            templates = self._safe[name]
        return self._run(templates, name, data, functions)

    def expand(self, text: str, data: object, *, name: str = "", **functions: Callable[..., object]) -> str:
        """What a text makes of data; it may use and redefine the set's templates for itself. Raises TemplateError."""
        return self._run(self._of_text(name, text), name, data, functions)

    def _of_text(self, name: str, text: str) -> Mapping[str, Template]:
        """The templates of a text and the set, of texts asked for lately without reading them again."""
        key = name, text
        with self._lock:
            found = self._texts.get(key)
            if found is not None:
                self._texts.move_to_end(key)
                return found
        found = self._joined(_parsed(name, text, self._functions))
        if self._html:
            found = _escaped(found, name)
        with self._lock:
            self._texts[key] = found
            if len(self._texts) > _REMEMBERED:
                self._texts.popitem(last=False)
        return found

    def check(self, text: str, *, name: str = "") -> None:
        """Raises TemplateSyntaxError for a text that cannot be read."""
        _parsed(name, text, self._functions)

    def _joined(self, found: Mapping[str, Template]) -> dict[str, Template]:
        known = self._templates
        return known | {
            name: template for name, template in found.items() if name not in known or not is_empty(template.root)
        }

    def _run(
        self,
        templates: Mapping[str, Template],
        name: str,
        data: object,
        replaced: Mapping[str, Callable[..., object]],
    ) -> str:
        template = templates.get(name)
        if template is None:
            raise TemplateError(f"template: no template {quoted(name)} associated with template {quoted('')}")
        functions: Mapping[str, Function] = self._functions
        if replaced:
            functions = {**functions, **{key: function_of(function) for key, function in replaced.items()}}
        return well_formed(Execution(templates, functions, self._missing_key, self._limits).run(template, data))


def _parsed(name: str, text: str, functions: Mapping[str, Function]) -> dict[str, Template]:
    try:
        return parse(name, text, functions)
    except RecursionError:
        raise TemplateLimit(f"template: {name}: nested too deeply") from None


def _escaped(templates: Mapping[str, Template], name: str) -> Mapping[str, Template]:
    try:
        return escaped(templates, name)
    except RecursionError:
        raise TemplateLimit(f"html/template:{name}: nested too deeply") from None
