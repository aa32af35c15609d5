"""What an SLO's objectives say beside their SLI: how much, how it is budgeted, and under which names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from app.errors import Problem
from app.yamlfile import Document, KeyPath
from slo.annotations import Extensions
from slo.openslo.fields import duration_ms
from slo.openslo.model import Objective, Slo, SloBody
from slo.spec import Budgeting, Component, Occurrences, RatioTimeslices, Sli, Timeslices

_SLUG = re.compile(r"[^a-z0-9]+")


def is_composite(body: SloBody) -> bool:
    """Whether the SLIs are in the objectives."""
    return any(objective.measures for objective in body.objectives)


def percent_of(objective: Objective) -> float:
    """The objective in per cent: a target of 0.999 is 99.9, not 99.90000000000001."""
    if objective.target_percent is not None:
        return objective.target_percent
    return float(Decimal(repr(objective.target)) * 100)


def budgeting_of(body: SloBody, objective: Objective) -> Budgeting:
    """How an objective's budget is counted."""
    if body.budgeting_method == "Occurrences":
        return Occurrences()
    assert objective.time_slice_window is not None
    slice_ms = duration_ms(objective.time_slice_window)
    if body.budgeting_method == "RatioTimeslices":
        return RatioTimeslices(slice_ms)
    assert objective.time_slice_target is not None
    return Timeslices(slice_ms, objective.time_slice_target)


def component_of(body: SloBody, objective: Objective, sli: Sli) -> Component:
    """The objective as a part of an SLO, its only one where it is no composite of several."""
    weighs = objective.composite_weight is not None and _weighs(body)
    return Component(
        sli=sli,
        objective=percent_of(objective),
        weight=objective.composite_weight or 1.0 if weighs else 1.0,
        name=objective.display_name,
        timeslice_target=objective.time_slice_target if body.budgeting_method == "Timeslices" else None,
    )


def names_of(slo: Slo) -> list[str]:
    """The names of the SLOs an object becomes: its own, or its own and one for each of several objectives."""
    own, objectives = slo.metadata.name, slo.spec.objectives
    if len(objectives) == 1 or is_composite(slo.spec):
        return [own]
    slugs = [_SLUG.sub("-", objective.display_name.lower()).strip("-") for objective in objectives]
    return [f"{own}-{slug or i}" for i, slug in enumerate(slugs, 1)]


def display_name_of(slo: Slo, index: int) -> str:
    """What people call the SLO of an objective."""
    own, objectives = slo.metadata.display_name, slo.spec.objectives
    name = objectives[index].display_name
    if len(objectives) == 1 or is_composite(slo.spec) or not name:
        return own
    return f"{own or slo.metadata.name}: {name}"


def faults(document: Document, slo: Slo, extensions: Extensions) -> Iterator[Problem]:
    """What cannot be in the same SLO."""
    body, path = slo.spec, ("spec", "objectives")
    annotations = ("metadata", "annotations")
    if is_composite(body):
        yield from _other_slices(document, body)
        if extensions.grouping:
            message = "a composite cannot be grouped: its SLIs need not have the same labels"
            yield document.problem((*annotations, "watchhouse.io/grouping"), message)
    elif extensions.objective is not None:
        message = "is for a composite: elsewhere the objective's own target holds"
        yield document.problem((*annotations, "watchhouse.io/objective"), message)
    names = names_of(slo)
    for i, name in enumerate(names):
        if name in names[:i]:
            yield document.problem((*path, i, "displayName"), f"another objective becomes the SLO {name!r}, too")


def without_effect(document: Document, body: SloBody) -> Iterator[Problem]:
    """What is given in objectives and has no effect, or is no objective."""
    for i, objective in enumerate(body.objectives):
        path: KeyPath = ("spec", "objectives", i)
        if objective.composite_weight is not None and not _weighs(body):
            yield document.problem((*path, "compositeWeight"), "has no effect: this is no composite of several SLIs")
        if objective.time_slice_target is not None and body.budgeting_method != "Timeslices":
            yield document.problem((*path, "timeSliceTarget"), f"has no effect with {body.budgeting_method}")
        if objective.time_slice_window is not None and body.budgeting_method == "Occurrences":
            yield document.problem((*path, "timeSliceWindow"), "has no effect with Occurrences")
        if percent_of(objective) == 0:
            yield document.problem(path, "with a target of 0 everything may fail")


def _weighs(body: SloBody) -> bool:
    return len(body.objectives) > 1 and is_composite(body) and body.budgeting_method != "Timeslices"


def _other_slices(document: Document, body: SloBody) -> Iterator[Problem]:
    if body.budgeting_method == "Occurrences":
        return
    windows = [objective.time_slice_window or "" for objective in body.objectives]
    for i, window in enumerate(windows):
        if duration_ms(window) != duration_ms(windows[0]):
            message = f"a composite has one slice for all its objectives, {windows[0]} in the first"
            yield document.problem(("spec", "objectives", i, "timeSliceWindow"), message)
