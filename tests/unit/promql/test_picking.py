"""Which series sums take: found by the values of labels, the same as by asking each series."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.labels import METRIC_NAME, Labels, Matcher, MatchOp, labels_from
from app.query.promql.aggregate import group_key
from app.query.promql.ast import Grouping, Selector
from app.query.promql.picking import picks

names = st.sampled_from(["a", "b", "c", METRIC_NAME])
texts = st.sampled_from(["", "1", "2", "12", "m"])
matchers = st.one_of(
    st.builds(Matcher, names, st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]), texts),
    st.builds(
        Matcher, names, st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]), st.sampled_from(["", "1.*", "1|2", ".+"])
    ),
)
selectors = st.lists(st.lists(matchers, max_size=3).map(tuple), min_size=1, max_size=2).map(
    lambda groups: Selector(tuple(groups))
)
groupings = st.builds(Grouping, st.lists(st.sampled_from("abd"), max_size=2, unique=True).map(tuple), st.booleans())
series = st.lists(st.dictionaries(st.sampled_from("abc"), texts), max_size=100).map(
    lambda found: list(dict.fromkeys(labels_from({METRIC_NAME: "m", **labels}) for labels in found))
)


@given(st.lists(st.tuples(selectors, groupings), min_size=1, max_size=5), series)
def test_each_sum_takes_what_its_matchers_match(sums: list[tuple[Selector, Grouping]], found: list[Labels]) -> None:
    """In the order of the series, and by the labels of its groups."""
    result = picks(sums, "m", found)
    taken = {key: result.rows[result.starts[i] : result.starts[i + 1]].tolist() for i, key in enumerate(result.keys)}
    wanted: dict[tuple[int, Labels], list[int]] = {}
    for number, (selector, grouping) in enumerate(sums):
        for row, labels in enumerate(found):
            if any(all(m.matches_labels(dict(labels)) for m in group) for group in selector.alternatives):
                wanted.setdefault((number, group_key(labels, grouping)), []).append(row)
    assert taken == wanted
    assert result.used == len({row for rows in wanted.values() for row in rows})


def test_many_values_and_many_matchers() -> None:
    """Thousands of selectors, each by a value of its own and a pattern of its own."""
    found = [labels_from({METRIC_NAME: "m", "i": str(i // 2), "path": f"/{i}/x"}) for i in range(6000)]
    sums = [
        (Selector(((Matcher("i", MatchOp.EQUAL, str(i)), Matcher("path", MatchOp.REGEX, f"/{2 * i}/.*")),)), Grouping())
        for i in range(3000)
    ]
    result = picks(sums, "m", found)
    assert result.rows.tolist() == list(range(0, 6000, 2))
