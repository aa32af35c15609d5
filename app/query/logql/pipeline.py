"""A log query as rows: its selector, its times, and its stages one after another."""

from __future__ import annotations

from collections.abc import Iterable

from app.query.logql.ast import LogQuery
from app.query.logql.conditions import lines_conditions, stream_condition
from app.query.logql.rows import Rows, any_of
from app.query.logql.stages.line_filter import LineFilter
from app.query.logql.stages.stage import Stage
from app.query.promql.conditions import Parameters

DEEP = {"max_subquery_depth": 400}
"""A setting for statements of rows: a layer is a subquery, and a stage has several."""


def selected(
    query: LogQuery,
    start_ns: int,
    end_ns: int,
    names: frozenset[str] | None,
    ids: frozenset[str],
    parameters: Parameters,
) -> tuple[Rows, list[Stage]]:
    """The lines with start <= ts < end that the selector chooses, and the stages still to be applied.

    Filters of the text as it was written are applied already, wherever they stand: they know the index of words.
    """
    early, late = split(query.stages)
    streams = stream_condition(query.matchers, start_ns, end_ns, parameters)
    conditions = lines_conditions(streams, start_ns, end_ns, parameters)
    conditions += [stage.condition("body", parameters) for stage in early]
    rows = Rows(
        # no FINAL: the rows of one stream that are not merged yet all have the same labels
        f"FROM log_streams\nWHERE {streams}\nGROUP BY service, stream_id",
        conditions,
        names,
        ids,
        parameters,
    )
    return rows, late


def split(stages: Iterable[Stage]) -> tuple[list[LineFilter], list[Stage]]:
    """(filters of the text as it was written, all other stages)."""
    early: list[LineFilter] = []
    late: list[Stage] = []
    rewritten = False
    for stage in stages:
        rewritten = rewritten or stage.rewrites
        if isinstance(stage, LineFilter) and not rewritten:
            early.append(stage)
        else:
            late.append(stage)
    return early, late


def names_read(stages: Iterable[Stage]) -> frozenset[str]:
    """The labels that stages look at, in both spellings of `any_of`."""
    return any_of(name for stage in stages for name in stage.reads())
