"""Templates of rules and notifications beside the tables: the mail, what is read once, what the page says."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest

from alerting.templates import alertmanager, prometheus
from alerting.templates.alertmanager import AlertTemplates
from alerting.templates.prometheus import Sample, check, expand
from alerting.templates.values import KV, Alert, Alerts, Data
from app.gotemplate import Limits, TemplateError, TemplateLimit, TemplateSet, TemplateSyntaxError
from app.gotemplate.parser import parse

_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_PAGE = Path(__file__).parents[2] / "docs" / "templates.md"


def _alert(status: str, instance: str, url: str) -> Alert:
    labels = KV(alertname="Down", instance=instance)
    start = datetime(2024, 2, 29, 13, 4, 5, 120000, timezone(timedelta(hours=2)))
    assert status in ("firing", "resolved")
    return Alert(
        "firing" if status == "firing" else "resolved", labels, KV(summary="<b>5 & 6"), start, _NEVER, url, "f"
    )


def _notification() -> Data:
    alerts = Alerts([_alert("firing", "a<script>", "javascript:x()"), _alert("resolved", "b", "http://p/?a=1&b=2")])
    return Data("team", "firing", alerts, KV(alertname="Down"), KV(alertname="Down"), KV(), "http://am:9093")


class _Reader(HTMLParser):
    """Texts, links and open elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_mail_has_every_alert_and_nothing_of_it_is_markup() -> None:
    """Labels, annotations and sources of firing and resolved alerts; each element is closed."""
    page = _Reader()
    page.feed(AlertTemplates().html('{{ template "email.default.html" . }}', _notification()))
    assert page.open == []
    for wanted in ("2 alerts for alertname=Down", "[1] Firing", "[1] Resolved", "a<script>", "<b>5 & 6", "View in"):
        assert wanted in page.text
    assert page.links == [
        "http://am:9093/#/alerts?receiver=team",
        "#ZgotmplZ",
        "http://p/?a=1&b=2",
        "http://am:9093",
    ]


def test_times_of_alerts_are_gos() -> None:
    """A datetime has the methods of time.Time and is taken by date and tz, in its own zone."""
    text = '{{ .StartsAt }} {{ .StartsAt.Hour }} {{ .StartsAt | tz "UTC" | date "15:04" }}'
    assert (
        AlertTemplates().text("{{ with index .Alerts 0 }}" + text + "{{ end }}", _notification())
        == "2024-02-29 13:04:05.12 +0200 +0200 13 11:04"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ $l := list 1 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}",
        "{{ $l := list 1 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ $l }}",
        "{{ $l := list }}{{ range 100000 }}{{ $l = append $l 1 }}{{ end }}",
        '{{ $x := "aa" }}{{ range 60 }}{{ $x = reReplaceAll "a" "aa" $x }}{{ end }}',
        "{{ $l := list 1 2 3 4 5 6 7 8 }}{{ range 5000 }}{{ $x := print $l }}{{ end }}",
        "{{ $l := list 1 2 3 4 5 6 7 8 }}{{ range 5000 }}{{ $x := toJson $l }}{{ end }}",
    ],
)
def test_work_inside_one_step_is_counted(text: str) -> None:
    """Values that grow with each turn, in what is printed, copied or replaced."""
    templates = TemplateSet(alertmanager.FUNCTIONS, limits=Limits(steps=20_000))
    with pytest.raises(TemplateLimit, match="more than 20000 steps"):
        templates.expand(text, None)


def test_a_file_that_cannot_be_read_names_its_line() -> None:
    """The name is the file's, the line is that of the mistake."""
    with pytest.raises(TemplateSyntaxError, match=r'^template: team\.tmpl:3: function "nosuch" not defined$'):
        AlertTemplates([("team.tmpl", '{{ define "a" }}\n\n{{ nosuch }}{{ end }}')])
    with pytest.raises(TemplateSyntaxError, match="unclosed action"):
        AlertTemplates().check("{{ .Status")


def _annotation(text: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> str:
    return expand(
        text,
        name="__alert_Down",
        labels=labels or {},
        value=value,
        external_labels={},
        external_url="http://here/prom",
        now=datetime(2024, 1, 1, tzinfo=UTC),
        query=lambda expression, now: [Sample({"asked": expression}, now.timestamp())],
    )


def test_an_annotation_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand alerts of one rule: one reading, and each has its own values."""
    read: list[str] = []

    def counted(name: str, text: str, functions: Container[str]) -> object:
        read.append(text)
        return parse(name, text, functions)

    monkeypatch.setattr("app.gotemplate.sets.parse", counted)
    text = "read once: {{ $labels.instance }} {{ $value | humanize }} {{ pathPrefix }}"
    made = [_annotation(text, float(n), {"instance": f"i{n}"}) for n in range(1000)]
    assert made[0] == "read once: i0 0 /prom"
    assert made[999] == "read once: i999 999 /prom"
    assert len(read) == 1


def test_a_query_is_asked_at_the_time_of_the_evaluation() -> None:
    """The expression as it was written, the time of the rule's evaluation."""
    assert _annotation('{{ with query "up" | first }}{{ .Labels.asked }} {{ .Value }}{{ end }}') == "up 1.7040672e+09"


def test_what_is_wrong_with_an_annotation_is_known_before_it_is_needed() -> None:
    """A text that cannot be read is told apart from one that fails on a value."""
    with pytest.raises(TemplateSyntaxError, match=r'undefined variable "\$nope"'):
        check("{{ $nope }}", name="__alert_Down")
    check("{{ humanize .Labels }}", name="__alert_Down")
    with pytest.raises(TemplateError, match=r"^error executing template __alert_Down: .* can't convert map"):
        _annotation("{{ humanize .Labels }}")


def test_the_page_lists_the_functions_there_are() -> None:
    """docs/templates.md has all functions of rules and of notifications, and no others."""
    listed = [re.findall(r"`(\w+)`", line.split(": all that")[0]) for line in _PAGE.read_text().splitlines()
              if ": all that" in line]  # fmt: skip
    assert [sorted(names) for names in listed] == [sorted(prometheus.FUNCTIONS), sorted(alertmanager.FUNCTIONS)]
