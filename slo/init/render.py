"""A survey as a Sloth file for people to read and change."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from slo.init.survey import Proposal, Service, Survey

MAX_SERVICES = 50
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_EDGES = "-_."
HEAD = """\
# Written by `watchhouse slo init` from the metrics of {source}.
# Look through it: what counts as an error, and which objective your users need. Then name it under slo.files in
# watchhouse.yaml and run `watchhouse check-config`. All keys are in docs/slo.md, "A spec".
"""
HOW_TO = """\
No metric that `watchhouse slo init` knows is there. Write a first SLO yourself, around a counter of all requests and a
way to tell those that failed:

version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
    alerting:
      name: ShopAvailability

A query may be one of LogQL, written {logql: 'sum(count_over_time({app="shop"} |= "failed" [{{.window}}]))'}.
All keys are in docs/slo.md, "A spec"."""


def render(found: Survey, source: str) -> str:
    """The file: a document for each of the first services. `source` says where the metrics are."""
    parts = [HEAD.format(source=source)]
    taken: set[str] = set()
    for i, service in enumerate(found.services[:MAX_SERVICES]):
        name = _unique(_name(service.name), taken)
        parts.append("\n".join(_document(service, name, first=i == 0)) + "\n")
    more = [f"{service.name}: more than {MAX_SERVICES} services" for service in found.services[MAX_SERVICES:]]
    left_out = [*found.left_out, *more]
    if left_out:
        parts.append("# Left out:\n" + "".join(f"# - {text}\n" for text in left_out))
    return "".join(parts)


def _document(service: Service, name: str, *, first: bool) -> Iterator[str]:
    if not first:
        yield "---"
    yield "version: prometheus/v1"
    yield f"service: {_scalar(name)}"
    yield "slos:"
    for slo in service.slos:
        yield from (f"  {line}" for line in _slo(slo, name))


def _slo(slo: Proposal, service: str) -> Iterator[str]:
    yield f"# {slo.seen}."
    yield f"- name: {slo.name}"
    yield f"  objective: {slo.objective:g}"
    yield f"  description: {_scalar(slo.description)}"
    if slo.grouping:
        yield f"  grouping: [{', '.join(slo.grouping)}]  # an SLO for each of its values"
    yield "  sli:"
    yield "    events:"
    yield f"      error_query: {_scalar(slo.error_query)}"
    yield f"      total_query: {_scalar(slo.total_query)}"
    yield "  alerting:"
    yield f"    name: {_scalar(_alert_name(service, slo.name))}"
    yield "    page_alert: {labels: {severity: critical}}"
    yield "    ticket_alert: {labels: {severity: warning}}"


def _scalar(text: str) -> str:
    """A text as YAML writes it in one line, with quotes where it needs them."""
    return yaml.safe_dump([text], width=1_000_000, allow_unicode=True).removeprefix("- ").rstrip("\n")


def _name(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text).strip(_EDGES) or "service"


def _unique(name: str, taken: set[str]) -> str:
    found, i = name, 2
    while found in taken:
        found, i = f"{name}-{i}", i + 1
    taken.add(found)
    return found


def _alert_name(*words: str) -> str:
    parts = [part for word in words for part in re.split(r"[^A-Za-z0-9]+", word) if part]
    return "".join(part[0].upper() + part[1:] for part in parts)
