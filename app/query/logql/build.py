"""The tree of a query, built from what the grammar found; and what the grammar cannot say is checked here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from lark import Token, Transformer, v_args

from app.errors import BadQuery
from app.labels import Matcher, MatchOp
from app.query.logql import ast
from app.query.logql.addresses import Addresses, address_range
from app.query.logql.expressions import check_expression, check_groups
from app.query.logql.patterns import check_filter, check_parser
from app.query.logql.ranges import check_range_aggregation
from app.query.logql.rows import ERROR
from app.query.logql.stages.decolorize import Decolorize
from app.query.logql.stages.drop_keep import Drop, Keep, LabelChoice
from app.query.logql.stages.json_fields import JsonFields
from app.query.logql.stages.json_paths import JsonPaths, json_path
from app.query.logql.stages.label_filter import (
    AddressPredicate,
    Both,
    Either,
    LabelFilter,
    Predicate,
    TextPredicate,
    Unit,
    ValuePredicate,
)
from app.query.logql.stages.label_format import LabelFormat, Rename, Template
from app.query.logql.stages.line_filter import FilterOp, LineFilter
from app.query.logql.stages.line_format import LineFormat
from app.query.logql.stages.logfmt import Logfmt, LogfmtPairs, logfmt_key
from app.query.logql.stages.pattern import Pattern
from app.query.logql.stages.regexp import Regexp
from app.query.logql.stages.stage import Stage
from app.query.logql.stages.unpack import Unpack
from app.query.logql.stages.unwrap import Unwrap
from app.query.logql.templates.compile import check_template
from app.query.logql.text import duration_ms, duration_ns, size_bytes, unquoted
from app.query.promql.ast import Grouping, Matching

_WITH_PARAMETER = ("topk", "bottomk")
SORTS = ("sort", "sort_desc")
_MAX_STAGES = 20
_MAX_PARSERS = 4
"""All stages are one statement, and what the engine needs to understand one grows faster than the statement does."""
_MAX_OPERATIONS = 200
_SETS = ("and", "or", "unless")
_Names = tuple[str, ...]


class _Ranged(NamedTuple):
    """What a range aggregation goes over."""

    query: ast.LogQuery
    unwrap: Unwrap | None
    range_ms: int
    offset_ms: int


class _Offset(int):
    """Milliseconds."""


def _at(token: Token) -> int:
    return token.start_pos or 0


def _text(token: Token) -> str:
    return unquoted(token, _at(token))


def _checked(token: Token, check: Callable[[str], object]) -> str:
    """The text of a string that a check must not raise ValueError on."""
    text = _text(token)
    try:
        check(text)
    except ValueError as error:
        raise BadQuery(f"{error} (position {_at(token)})", _at(token)) from None
    return text


@v_args(inline=True)
class Builder(Transformer[Token, Any]):
    """Builds the tree of one query from the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self._operations = 0

    def name(self, token: Token) -> str:
        return str(token)

    label = name

    def names(self, *names: str) -> _Names:
        return names

    def matcher(self, name: str, op: Token, value: Token) -> Matcher:
        matcher = Matcher(name, MatchOp(str(op)), _text(value))
        if matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            _checked(value, check_expression)
        return matcher

    @v_args(inline=True, meta=True)
    def selector(self, meta: Any, *matchers: Matcher) -> ast.LogQuery:
        position = getattr(meta, "start_pos", 0)
        if not any(not m.matches("") for m in matchers):
            raise BadQuery(
                "queries require at least one regexp or equality matcher that does not have an empty-compatible"
                ' value. For instance, app=~".*" does not meet this requirement, but app=~".+" will',
                position,
            )
        return ast.LogQuery(matchers, position=position)

    def addresses(self, _word: Token, pattern: Token) -> Addresses:
        return Addresses(_checked(pattern, address_range))

    def line_filter(self, op: Token, *values: Token | Addresses) -> LineFilter:
        kind = FilterOp(str(op))
        check = check_expression if kind.of_expressions else check_filter if kind.of_patterns else str
        texts: list[str | Addresses] = []
        for value in values:
            if isinstance(value, Addresses):
                if kind.of_expressions or kind.of_patterns:
                    raise BadQuery(f"ip: invalid operation: `{kind.value} {value}` (position {_at(op)})", _at(op))
                texts.append(value)
            elif value.type == "STRING":
                texts.append(_checked(value, check))
        return LineFilter(kind, tuple(texts))

    def address_predicate(self, name: str, op: Token, addresses: Addresses) -> AddressPredicate:
        return AddressPredicate(name, addresses, op == "!=")

    def text_predicate(self, name: str, op: Token, value: Token) -> TextPredicate:
        return TextPredicate(self.matcher(name, op, value))

    def value_predicate(self, name: str, op: Token, *value: Token) -> ValuePredicate:
        number = value[-1]
        sign = "-" if len(value) == 2 and value[0] == "-" else ""
        unit: Unit = "number"
        if number.type == "DURATION":
            unit, found = "duration", float(duration_ns(sign + number, _at(number)))
        elif number.type == "SIZE":
            unit, found = "bytes", float(size_bytes(sign + number, _at(number)))
        else:
            found = _finite(sign + number, number)
        return ValuePredicate(name, "==" if op == "=" else str(op), found, unit)

    def both(self, left: Predicate, *rest: Any) -> Both:
        return Both(left, rest[-1])

    def either(self, left: Predicate, _or: Token, right: Predicate) -> Either:
        return Either(left, right)

    def label_filter(self, predicate: Predicate) -> LabelFilter:
        return LabelFilter(predicate)

    def json_fields(self, _word: Token) -> JsonFields:
        return JsonFields()

    def extraction(self, label: str, *expression: Token) -> tuple[str, Token | str]:
        return label, expression[-1] if expression else label

    def extractions(self, *found: tuple[str, Token | str]) -> tuple[tuple[str, Token | str], ...]:
        return found

    def json_paths(self, _word: Token, extractions: tuple[tuple[str, Token | str], ...]) -> JsonPaths:
        return JsonPaths(_expressions(extractions, json_path))

    def logfmt(self, _word: Token, *flags: Token) -> Logfmt:
        return Logfmt("--strict" in flags, "--keep-empty" in flags)

    def logfmt_pairs(self, _word: Token, *rest: Any) -> LogfmtPairs:
        *flags, extractions = rest
        return LogfmtPairs(_expressions(extractions, logfmt_key), "--strict" in flags, "--keep-empty" in flags)

    def regexp(self, _word: Token, expression: Token) -> Regexp:
        return Regexp(_checked(expression, check_groups))

    def pattern(self, _word: Token, pattern: Token) -> Pattern:
        return Pattern(_checked(pattern, check_parser))

    def unpack(self, _word: Token) -> Unpack:
        return Unpack()

    def decolorize(self, _word: Token) -> Decolorize:
        return Decolorize()

    def choices(self, *choices: LabelChoice) -> tuple[LabelChoice, ...]:
        return choices

    def drop(self, _word: Token, choices: tuple[LabelChoice, ...]) -> Drop:
        return Drop(choices)

    def keep(self, _word: Token, choices: tuple[LabelChoice, ...]) -> Keep:
        return Keep(choices)

    def line_format(self, _word: Token, template: Token) -> LineFormat:
        return LineFormat(_checked(template, check_template))

    def rename(self, label: str, source: str) -> Rename:
        return Rename(label, source)

    def template(self, label: str, template: Token) -> Template:
        return Template(label, _checked(template, check_template))

    def label_format_stage(self, word: Token, *formats: Rename | Template) -> LabelFormat:
        labels = [f.label for f in formats]
        for label in labels:
            if label == ERROR or labels.count(label) > 1:
                why = f"{label} cannot be formatted" if label == ERROR else f"{label} is formatted twice in one stage"
                raise BadQuery(f"{why} (position {_at(word)})", _at(word))
        return LabelFormat(formats)

    def unwrap(self, _word: Token, *what: Any) -> Unwrap:
        return Unwrap(what[-1], str(what[0]).lower() if len(what) == 2 else "")

    def pipeline(self, selector: ast.LogQuery, *stages: Stage) -> ast.LogQuery:
        return replace(selector, stages=stages)

    def pipeline_inner(self, query: ast.LogQuery) -> ast.LogQuery:
        return query

    def log_query(self, query: ast.LogQuery) -> ast.LogQuery:
        if any(isinstance(stage, Unwrap) for stage in query.stages):
            raise BadQuery("`| unwrap` makes samples, which only a range aggregation takes", query.position)
        return self._lines(query, query.stages)

    def _lines(self, selector: ast.LogQuery, stages: tuple[Stage, ...]) -> ast.LogQuery:
        steps = sum(len(stage.formats) if isinstance(stage, LabelFormat) else 1 for stage in stages)
        parsers = sum(stage.parses for stage in stages)
        for found, most, what in ((steps, _MAX_STAGES, "stages"), (parsers, _MAX_PARSERS, "parsers")):
            if found > most:
                raise BadQuery(f"a pipeline has at most {most} {what}, and here are {found}", selector.position)
        return replace(selector, stages=stages)

    def offset(self, _word: Token, *rest: Token) -> _Offset:
        value = duration_ms(rest[-1], _at(rest[-1]))
        return _Offset(-value if len(rest) == 2 and rest[0] == "-" else value)

    def ranged(self, selector: ast.LogQuery, *rest: Any) -> _Ranged:
        stages = (*selector.stages, *(r for r in rest if isinstance(r, Stage)))
        span = next(r for r in rest if isinstance(r, Token))
        offset = next((r for r in rest if isinstance(r, _Offset)), 0)
        unwrap = None
        at = next((i for i, stage in enumerate(stages) if isinstance(stage, Unwrap)), len(stages))
        for stage in stages[at:]:
            if isinstance(stage, Unwrap) and unwrap is None:
                unwrap = stage
            elif isinstance(stage, LabelFilter) and unwrap is not None:
                unwrap = replace(unwrap, filters=(*unwrap.filters, stage))
            else:
                raise BadQuery(f"only label filters can follow `| unwrap`, not `{stage}`", selector.position)
        query = self._lines(selector, stages[:at])
        return _Ranged(query, unwrap, duration_ms(span[1:-1].strip(), _at(span)), int(offset))

    def ranged_inner(self, ranged: _Ranged) -> _Ranged:
        return ranged

    def range_aggregation(self, op: Token, *rest: Any) -> ast.RangeAggregation:
        number = next((r for r in rest if isinstance(r, Token)), None)
        ranged = next(r for r in rest if isinstance(r, _Ranged))
        grouping = next((r for r in rest if isinstance(r, Grouping)), None)
        self._count(op)
        aggregation = ast.RangeAggregation(
            op.lower(),
            ranged.query,
            ranged.range_ms,
            ranged.offset_ms,
            ranged.unwrap,
            None if number is None else _finite(number, number),
            grouping,
            _at(op),
        )
        check_range_aggregation(aggregation)
        return aggregation

    def grouping(self, word: Token, names: _Names) -> Grouping:
        return Grouping(names, word.lower() == "without")

    def arguments(self, *parts: Any) -> tuple[Any, ...]:
        return parts

    def aggregation(self, op: Token, arguments: tuple[Any, ...]) -> ast.VectorAggregation:
        return self._aggregation(op, Grouping(), arguments)

    def aggregation_before(self, op: Token, grouping: Grouping, arguments: tuple[Any, ...]) -> ast.VectorAggregation:
        return self._aggregation(op, grouping, arguments)

    def aggregation_after(self, op: Token, arguments: tuple[Any, ...], grouping: Grouping) -> ast.VectorAggregation:
        return self._aggregation(op, grouping, arguments)

    def _aggregation(self, token: Token, grouping: Grouping, arguments: tuple[Any, ...]) -> ast.VectorAggregation:
        self._count(token)
        op, position, expr = token.lower(), _at(token), arguments[-1]
        if (len(arguments) == 2) != (op in _WITH_PARAMETER):
            wanted = "parameter required: a number before the vector" if op in _WITH_PARAMETER else "takes no number"
            raise BadQuery(f"{op}: {wanted}", position)
        if isinstance(expr, ast.LogQuery | ast.Number):
            raise BadQuery(f"{op} wants a vector, such as count_over_time({{…}}[1m])", position)
        if op in SORTS and grouping != Grouping():
            raise BadQuery(f"{op} takes no by and no without", position)
        parameter = None
        if len(arguments) == 2:
            if not float(arguments[0]).is_integer() or float(arguments[0]) < 1:
                raise BadQuery(f"{op}: invalid parameter {arguments[0]}: a whole number from 1 on is wanted", position)
            parameter = int(float(arguments[0]))
        return ast.VectorAggregation(op, expr, grouping, parameter, position)

    def number(self, token: Token) -> ast.Number:
        return ast.Number(_finite(token, token), _at(token))

    def signed_number(self, *parts: Token) -> float:
        value = _finite(parts[-1], parts[-1])
        return -value if parts[0] == "-" else value

    def constant_vector(self, word: Token, value: float) -> ast.ConstantVector:
        return ast.ConstantVector(value, _at(word))

    def label_replace(self, word: Token, expr: ast.Expr, *texts: Token) -> ast.LabelReplace:
        self._count(word)
        if isinstance(expr, ast.LogQuery | ast.Number):
            raise BadQuery("label_replace wants a vector, such as count_over_time({…}[1m])", _at(word))
        target, replacement, source, expression = (_text(t) for t in texts)
        _checked(texts[-1], check_expression)
        if not target:
            raise BadQuery("label_replace wants the name of a label to set", _at(texts[0]))
        return ast.LabelReplace(expr, target, replacement, source, expression, _at(word))

    def signed(self, sign: Token, value: ast.Expr) -> ast.Expr:
        if not isinstance(value, ast.Number):
            raise BadQuery("only a number can have a sign", sign.start_pos)
        return ast.Number(-value.value if sign == "-" else value.value, _at(sign))

    def matching(self, word: Token, names: _Names) -> Matching:
        return Matching(labels=names, on=word.lower() == "on")

    def group(self, word: Token, *names: _Names) -> tuple[str, _Names]:
        return word.lower().removeprefix("group_"), names[0] if names else ()

    def modifiers(self, *found: Any) -> tuple[Matching, bool]:
        matching = next((f for f in found if isinstance(f, Matching)), Matching())
        group = next((f for f in found if isinstance(f, tuple)), None)
        if group is not None:
            matching = replace(matching, many=group[0], include=group[1])
        return matching, any(isinstance(f, Token) for f in found)

    def binary(self, left: ast.Expr, op: Token, modifiers: tuple[Matching, bool], right: ast.Expr) -> ast.Expr:
        self._count(op)
        name = op.lower()
        for side in (left, right):
            if isinstance(side, ast.LogQuery):
                raise BadQuery(f"`{name}` wants numbers on both sides, and here are log lines", op.start_pos)
            if isinstance(side, ast.Number) and name in _SETS:
                raise BadQuery(f"`{name}` wants vectors on both sides, and here is the number {side}", op.start_pos)
        return ast.Binary(name, left, right, *modifiers, _at(op))

    def _count(self, token: Token) -> None:
        self._operations += 1
        if self._operations > _MAX_OPERATIONS:
            raise BadQuery(f"a query has at most {_MAX_OPERATIONS} operations", _at(token))


def _finite(text: str, token: Token) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadQuery(f"a number that is too large: {token}", _at(token))
    return value


def _expressions(
    extractions: tuple[tuple[str, Token | str], ...], check: Callable[[str], object]
) -> tuple[tuple[str, str], ...]:
    return tuple((label, _checked(e, check) if isinstance(e, Token) else e) for label, e in extractions)
