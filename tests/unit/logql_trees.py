"""Random LogQL trees, whose print must parse to the same."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.labels import Matcher, MatchOp
from app.query.logql.addresses import Addresses
from app.query.logql.ast import (
    Binary,
    ConstantVector,
    LabelReplace,
    LogQuery,
    Number,
    RangeAggregation,
    VectorAggregation,
)
from app.query.logql.stages.decolorize import Decolorize
from app.query.logql.stages.drop_keep import Drop, Keep
from app.query.logql.stages.json_fields import JsonFields
from app.query.logql.stages.json_paths import JsonPaths
from app.query.logql.stages.label_filter import (
    AddressPredicate,
    Both,
    Either,
    LabelFilter,
    TextPredicate,
    ValuePredicate,
)
from app.query.logql.stages.label_format import LabelFormat, Rename, Template
from app.query.logql.stages.line_filter import FilterOp, LineFilter
from app.query.logql.stages.line_format import LineFormat
from app.query.logql.stages.logfmt import Logfmt, LogfmtPairs
from app.query.logql.stages.pattern import Pattern
from app.query.logql.stages.regexp import Regexp
from app.query.logql.stages.stage import Stage
from app.query.logql.stages.unpack import Unpack
from app.query.logql.stages.unwrap import Unwrap
from app.query.promql.ast import Grouping, Matching

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LABELS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}x", fullmatch=True)
_EQUALITY = st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL])
_EXPRESSIONS = st.sampled_from(["", ".*", "a|b", r"\d+", "(x)[y-z]"])
MATCHERS = st.one_of(
    st.builds(Matcher, LABELS, _EQUALITY, TEXTS),
    st.builds(Matcher, LABELS, st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]), _EXPRESSIONS),
)
_TEMPLATES = st.sampled_from(
    [
        "",
        "plain",
        "{{.a}} - {{ .b | upper }}",
        "{{ if eq .a `x` }}1{{ else if .b }}2{{ else }}3{{ end }}",
        '{{ printf "%s" .a }}',
    ]
)
_COMPARED = st.sampled_from(["==", "!=", ">", ">=", "<", "<="])
_VALUES = st.one_of(
    st.builds(ValuePredicate, LABELS, _COMPARED, st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(ValuePredicate, LABELS, _COMPARED, st.integers(-(2**53), 2**53).map(float), st.just("duration")),
    st.builds(ValuePredicate, LABELS, _COMPARED, st.integers(0, 2**53).map(float), st.just("bytes")),
)
_ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "::1"]).map(Addresses)
ADDRESS_PREDICATES = st.builds(AddressPredicate, LABELS, _ADDRESSES, st.booleans())
PREDICATES = st.recursive(
    st.one_of(st.builds(TextPredicate, MATCHERS), _VALUES),
    lambda inner: st.one_of(st.builds(Both, inner, inner), st.builds(Either, inner, inner)),
    max_leaves=5,
)
LABEL_FILTERS = st.builds(LabelFilter, PREDICATES | ADDRESS_PREDICATES)


def _some(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, min_size=1, max_size=3).map(tuple)


def _format(items: tuple[Any, ...]) -> LabelFormat:
    return LabelFormat(tuple({item.label: item for item in items}.values()))


LINE_FILTERS = st.one_of(
    st.builds(LineFilter, st.sampled_from([FilterOp.CONTAINS, FilterOp.NOT_CONTAINS]), _some(TEXTS | _ADDRESSES)),
    st.builds(LineFilter, st.sampled_from([FilterOp.MATCHES, FilterOp.NOT_MATCHES]), _some(_EXPRESSIONS)),
    st.builds(
        LineFilter,
        st.sampled_from([FilterOp.PATTERN, FilterOp.NOT_PATTERN]),
        _some(st.sampled_from(["", "<_>", "a <_> b", "<x", "<_>é<_>"])),
    ),
)
_CHOICES = _some(st.one_of(LABELS, MATCHERS))
STAGES = st.one_of(
    LINE_FILTERS,
    LABEL_FILTERS,
    st.builds(JsonFields),
    st.builds(JsonPaths, _some(st.tuples(LABELS, st.sampled_from(["a", "a.b", 'a[0]["b c"]', '["x"]'])))),
    st.builds(Logfmt, st.booleans(), st.booleans()),
    st.builds(LogfmtPairs, _some(st.tuples(LABELS, st.sampled_from(["a", '"b c"']))), st.booleans(), st.booleans()),
    st.builds(Pattern, st.sampled_from(["<a>", "<_> <a>", 'x <a> "<b>"'])),
    st.builds(Regexp, st.sampled_from(["(?P<a>.*)", r"(?P<a>\d+) (?P<b>\S)(x)"])),
    st.builds(Unpack),
    st.builds(Decolorize),
    st.builds(Drop, _CHOICES),
    st.builds(Keep, _CHOICES),
    st.builds(LineFormat, _TEMPLATES),
    st.builds(_format, _some(st.one_of(st.builds(Rename, LABELS, LABELS), st.builds(Template, LABELS, _TEMPLATES)))),
)
_SELECTORS = st.lists(MATCHERS, max_size=2).map(lambda more: (Matcher("app", MatchOp.EQUAL, "x"), *more))


def _readable(stages: list[Stage]) -> tuple[Stage, ...]:
    """Without `!= "text"` right after `| drop name`: together they are a matcher, however they are written."""
    kept: list[Stage] = []
    for stage in stages:
        names = isinstance(kept[-1], Drop | Keep) and isinstance(kept[-1].choices[-1], str) if kept else False
        if not (names and isinstance(stage, LineFilter) and stage.op in (FilterOp.NOT_CONTAINS, FilterOp.NOT_MATCHES)):
            kept.append(stage)
    return tuple(kept)


LOG_QUERIES = st.builds(LogQuery, _SELECTORS, st.lists(STAGES, max_size=4).map(_readable))

_GROUPINGS = st.builds(Grouping, st.lists(LABELS, max_size=2).map(tuple), st.booleans())
_RANGES = st.integers(1, 10**9)
_UNWRAPS = st.builds(
    Unwrap,
    LABELS,
    st.sampled_from(["", "bytes", "duration", "duration_seconds"]),
    st.lists(LABEL_FILTERS, max_size=2).map(tuple),
)
_AGGREGATIONS = st.one_of(
    st.builds(
        RangeAggregation,
        st.sampled_from(["rate", "count_over_time", "bytes_over_time", "bytes_rate", "absent_over_time"]),
        LOG_QUERIES,
        _RANGES,
        st.integers(-(10**6), 10**6),
    ),
    st.builds(
        RangeAggregation,
        st.sampled_from(["max_over_time", "first_over_time", "stddev_over_time"]),
        LOG_QUERIES,
        _RANGES,
        st.just(0),
        _UNWRAPS,
        st.none(),
        st.none() | _GROUPINGS,
    ),
    st.builds(
        RangeAggregation,
        st.just("quantile_over_time"),
        LOG_QUERIES,
        _RANGES,
        st.just(0),
        _UNWRAPS,
        st.floats(0, 10),
        st.none() | _GROUPINGS,
    ),
)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_MATCHINGS = st.one_of(
    st.just(Matching()),
    st.builds(
        Matching,
        st.lists(LABELS, min_size=1, max_size=2).map(tuple),
        st.booleans(),
        st.sampled_from(["", "left", "right"]),
    ),
)


def _vectors(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(VectorAggregation, st.sampled_from(["sum", "avg", "stdvar"]), inner, _GROUPINGS),
        st.builds(VectorAggregation, st.sampled_from(["sort", "sort_desc"]), inner, st.just(Grouping())),
        st.builds(VectorAggregation, st.sampled_from(["topk", "bottomk"]), inner, _GROUPINGS, st.integers(1, 10)),
        st.builds(LabelReplace, inner, LABELS, TEXTS, LABELS, _EXPRESSIONS),
        st.builds(Binary, st.sampled_from(["+", "/", "%", "^", "==", "<"]), inner, inner, _MATCHINGS, st.just(False)),
        st.builds(Binary, st.sampled_from([">", "!="]), inner, inner, _MATCHINGS, st.booleans()),
        st.builds(Binary, st.sampled_from(["and", "or", "unless"]), inner, inner, st.just(Matching())),
        st.builds(Binary, st.sampled_from(["*", "-"]), inner, st.builds(Number, _NUMBERS)),
    )


EXPRESSIONS = st.one_of(
    st.builds(Number, _NUMBERS),
    st.recursive(st.one_of(_AGGREGATIONS, st.builds(ConstantVector, _NUMBERS)), _vectors, max_leaves=4),
)
