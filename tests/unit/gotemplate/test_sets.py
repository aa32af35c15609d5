"""Sets of templates: names, reuse, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gotemplate import GoType, Limits, TemplateError, TemplateLimit, TemplateSet


@dataclass
class Alert:
    """What a template sees of an alert."""

    __go__: ClassVar[dict[str, str]] = {"Status": "status", "Is": "is_in"}
    __go_type__: ClassVar[GoType] = GoType("template.Alert", "struct")

    status: str

    def is_in(self, status: str) -> bool:
        return self.status == status


def test_a_text_uses_the_sets_templates_and_leaves_them_as_they_are() -> None:
    """What an expanded text defines is known to that text only."""
    templates = TemplateSet({})
    templates.parse("file", '{{define "name"}}set{{end}}')
    assert templates.expand('{{template "name"}}', None) == "set"
    assert templates.expand('{{define "name"}}text{{end}}{{template "name"}}', None) == "text"
    assert templates.execute("name", None) == "set"


def test_fields_and_methods_of_objects() -> None:
    """An object shows what its class names, methods with their arguments checked."""
    templates = TemplateSet({})
    assert templates.expand('{{.Status}} {{.Is "firing"}} {{. | printf "%+v"}}', Alert("firing")) == (
        "firing true {Status:firing}"
    )
    with pytest.raises(TemplateError, match=r"can't evaluate field Name in type template\.Alert"):
        templates.expand("{{.Name}}", Alert("firing"))
    with pytest.raises(TemplateError, match="expected string; found 3"):
        templates.expand("{{.Is 3}}", Alert("firing"))


@pytest.mark.parametrize(
    "text",
    [
        "{{range 1000000000}}{{end}}",
        "{{range 1000000000}}x{{end}}",
        '{{define "again"}}{{template "again"}}{{end}}{{template "again"}}',
        '{{$x := "0123456789"}}{{range 100}}{{$x = print $x $x}}{{end}}',
        '{{range 100}}{{printf "%1000000d" 1}}{{end}}',
    ],
)
def test_no_template_runs_or_grows_for_ever(text: str) -> None:
    """Loops, recursion and growth end with an error that says which limit was met."""
    templates = TemplateSet({}, limits=Limits(steps=20_000, output=100_000))
    with pytest.raises(TemplateLimit, match=r"more than \d+ |exceeded maximum"):
        templates.expand(text, None)


def test_html_that_never_comes_to_an_end_is_refused() -> None:
    """A template that calls itself deeper and deeper inside JavaScript."""
    templates = TemplateSet({}, html=True)
    with pytest.raises(TemplateLimit):
        templates.expand('{{define "t"}}`${ {{template "t"}}{{end}}<script>{{template "t"}}</script>', None)


_WORDS = (
    "{{ }} {{- -}} if else end range with define template block break . .a .b.c $ $x := = | ( ) nil true len index",
    "print printf eq and or /* */ \"a\" `b` 1 2.5 'c' <a <script> href=\" '",
)
_PIECES = st.sampled_from([word for words in _WORDS for word in words.split()])


@given(st.lists(_PIECES, max_size=30), st.booleans())
def test_any_text_gives_a_text_or_gos_error(pieces: list[str], html: bool) -> None:
    """Nothing else is ever raised, whatever the text is."""
    templates = TemplateSet({}, html=html, limits=Limits(steps=1000))
    try:
        text = templates.expand(" ".join(pieces), {"a": [1, 2], "b": {"c": "d"}})
    except TemplateError as problem:
        text = str(problem)
        kinds = ("template: ", "html/template:")
        assert text.startswith(kinds)
    assert isinstance(text, str)
