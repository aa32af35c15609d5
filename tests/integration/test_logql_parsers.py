"""Every parser finds in a line what a plain model of it finds, whatever the line."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.query.logql.engine import LogQLEngine
from app.query.logql.text import quoted
from app.store.client import Pool
from tests.integration import logql_models as models
from tests.integration.logql_world import T, clear, lines, put

STREAM = {"app": "x", "level": "of the stream"}
ATTRIBUTES = {"user": "of the attributes"}
TAKEN = frozenset([*STREAM, *ATTRIBUTES])
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

CHARACTERS = st.one_of(
    st.sampled_from(" =\"\\'{}[]:,.<>_-\t\n\r\0a9Aé한€/🙂\ufffd"), st.characters(exclude_categories=["Cs"])
)
TEXTS = st.text(CHARACTERS, max_size=8)
KEYS = st.one_of(st.sampled_from(["level", "user", "a", "b", "a_b", "9", " x ", "", "x-y"]), TEXTS)
NUMBERS = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1.50", "1e3", "1E+05", "-0", "0.0000001", "-1.0e-2", "0.10", "100.0", "1.00000000000000000001"]),
)


def check(pool: Pool, query: str, texts: list[str], wanted: list[dict[str, str]], names: str = "parsed") -> None:
    """Of lines in one stream a query gives each with the labels wanted."""
    clear(pool)
    put(pool, texts, STREAM, ATTRIBUTES)
    found = lines(LogQLEngine(pool, Limits()), query)
    for text, line, labels in zip(texts, found, wanted, strict=True):
        assert (line.text, line.parsed) == (text, labels), (text, names)
        assert dict(line.stream) == STREAM
        assert line.attributes == ATTRIBUTES


def _json_texts(strings: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    string = st.builds(lambda s, ascii_: json.dumps(s, ensure_ascii=ascii_), strings, st.booleans())
    scalar = st.one_of(string, string, NUMBERS, st.sampled_from(["true", "false", "null"]))
    space = st.sampled_from(["", "", " ", "\n", " \t"])

    def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        member = st.builds(lambda k, s, v: f"{json.dumps(k)}{s}:{s}{v}", KEYS, space, inner)
        return st.one_of(
            st.builds(lambda s, items: "{" + s + f",{s}".join(items) + s + "}", space, st.lists(member, max_size=4)),
            st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        )

    return containers(st.recursive(scalar, containers, max_leaves=6))


JSON_LINES = st.one_of(_json_texts(TEXTS), _json_texts(TEXTS), _json_texts(TEXTS).map(lambda s: s[:-1]), TEXTS)


def test_json(embedded_pool: Pool) -> None:
    """Fields of any object, however nested; the text of numbers stays; anything else is an error."""

    @MANY
    @given(st.lists(JSON_LINES, min_size=1, max_size=40))
    def holds(texts: list[str]) -> None:
        wanted = []
        for text in texts:
            found = models.json_fields(text)
            error = {"__error__": "JSONParserErr", "__error_details__": "Malformed JSON error"}
            wanted.append(error if found is None else models.extracted(found, TAKEN))
        check(embedded_pool, '{app="x"} | json', texts, wanted)

    holds()


def test_json_deeper_than_is_looked(embedded_pool: Pool) -> None:
    """Fields ten objects down are found, those further down are not."""
    deep = [('{"a":' * n) + "1" + "}" * n for n in (1, 10, 11, 12)]
    check(
        embedded_pool, '{app="x"} | json', deep, [{"a": "1"}, {"_".join("a" * 10): "1"}, {"_".join("a" * 11): "1"}, {}]
    )


PIECES = st.one_of(
    st.builds(lambda k, v: f"{k}={v}", KEYS, TEXTS),
    st.builds(lambda k, v: f'{k}="{v}"', st.sampled_from(["a", "b", "level", "user"]), TEXTS),
    st.builds(lambda k, v: f"{k}={json.dumps(v)}", st.sampled_from(["a", "b", "level", "9x"]), TEXTS),
    TEXTS,
    st.sampled_from(['a="', "b=", "=c", 'd"', '"e"', r'f="\'"', r'g="\q"', r'h="\\"', 'i="x"j=1', "k==1", 'l=1"2']),
)
LOGFMT_LINES = st.lists(PIECES, max_size=6).map(" ".join)


def test_logfmt(embedded_pool: Pool) -> None:
    """Pairs of any line; what is none is skipped, or with --strict ends the line with an error."""

    @MANY
    @given(st.lists(LOGFMT_LINES, min_size=1, max_size=40), st.booleans(), st.booleans())
    def holds(texts: list[str], strict: bool, keep_empty: bool) -> None:
        wanted = []
        for text in texts:
            found, failed = models.logfmt(text, strict, keep_empty)
            error = {"__error__": "LogfmtParserErr", "__error_details__": "logfmt syntax error"} if failed else {}
            wanted.append({**models.extracted(found, TAKEN), **error})
        flags = " --strict" * strict + " --keep-empty" * keep_empty
        check(embedded_pool, f'{{app="x"}} | logfmt{flags}', texts, wanted)

    holds()


PATTERN_PARTS = st.lists(st.sampled_from([" ", "-", '"', "é", "ab", "a"]), min_size=1, max_size=4)


def test_pattern(embedded_pool: Pool) -> None:
    """Captures between literals, up to where the line ends."""

    @MANY
    @given(
        st.lists(st.text(st.sampled_from(' -"éab\n'), max_size=10), min_size=1, max_size=40),
        PATTERN_PARTS,
        st.booleans(),
        st.booleans(),
        st.lists(st.sampled_from(["level", "user", "_", "c", "d"]), min_size=5, max_size=5, unique=True),
    )
    def holds(texts: list[str], literals: list[str], begins: bool, ends: bool, names: list[str]) -> None:
        parts: list[str | tuple[str] | None] = [] if begins else [None if names[0] == "_" else (names[0],)]
        for i, text in enumerate(literals):
            name = names[i + 1]
            parts += [text, None if name == "_" else (name,)]
        parts = parts if ends else parts[:-1]
        if not any(isinstance(part, tuple) for part in parts):
            parts.insert(0, ("z",)) if begins else parts.append("x")
        if not any(isinstance(part, tuple) for part in parts):
            return
        shown = "".join(part if isinstance(part, str) else "<_>" if part is None else f"<{part[0]}>" for part in parts)
        wanted = [models.extracted(models.pattern(text, parts), TAKEN) for text in texts]
        check(embedded_pool, f'{{app="x"}} | pattern {quoted(shown)}', texts, wanted)

    holds()


def test_pattern_filters(embedded_pool: Pool) -> None:
    """`|>` keeps the lines that fit, `!>` the others."""

    @MANY
    @given(
        st.lists(st.text(st.sampled_from(" -éab\n"), max_size=8), min_size=1, max_size=40),
        st.lists(st.sampled_from([" ", "-", "é", "ab", "a"]), max_size=3),
        st.booleans(),
        st.booleans(),
    )
    def holds(texts: list[str], literals: list[str], begins: bool, ends: bool) -> None:
        parts: list[str | None] = [] if begins else [None]
        for text in literals:
            parts += [text, None]
        parts = parts if ends or not literals else parts[:-1]
        shown = quoted("".join("<_>" if part is None else part for part in parts))
        clear(embedded_pool)
        put(embedded_pool, texts)
        engine = LogQLEngine(embedded_pool, Limits())
        kept = [text for text in texts if models.fits(text, parts)]
        assert [line.text for line in lines(engine, f'{{app="x"}} |> {shown}')] == kept
        left = [text for text in texts if not models.fits(text, parts)]
        assert [line.text for line in lines(engine, f'{{app="x"}} !> {shown}')] == left

    holds()


def test_regexp(embedded_pool: Pool) -> None:
    """Named groups of lines that match; a line that does not match has no labels."""
    expressions = [
        r"(?P<level>\w+) (?P<rest>.*)",
        r"^(?P<user>a*)(b)?(?P<c>é)?$",
        r"(?P<n>\d+)(?:\.(?P<f>\d+))?",
        "(?i)(?P<x>A.)",
    ]

    @MANY
    @given(st.lists(TEXTS, min_size=1, max_size=40), st.sampled_from(expressions))
    def holds(texts: list[str], expression: str) -> None:
        wanted = [models.extracted(models.regexp(text, expression), TAKEN) for text in texts]
        check(embedded_pool, f'{{app="x"}} | regexp {quoted(expression)}', texts, wanted)

    holds()


def test_unpack(embedded_pool: Pool) -> None:
    """The packed line comes out, with its labels; what was not packed stays."""
    fields = st.dictionaries(
        KEYS | st.just("_entry"), st.one_of(TEXTS, st.integers(-(2**63), 2**64 - 1), st.none()), max_size=4
    )
    packed = st.one_of(fields.map(json.dumps), st.builds(lambda f, e: json.dumps({**f, "_entry": e}), fields, TEXTS))

    @MANY
    @given(st.lists(st.one_of(packed, packed, TEXTS), min_size=1, max_size=40))
    def holds(texts: list[str]) -> None:
        clear(embedded_pool)
        put(embedded_pool, texts, STREAM, ATTRIBUTES)
        for text, line in zip(texts, lines(LogQLEngine(embedded_pool, Limits()), '{app="x"} | unpack'), strict=True):
            found = models.unpack(text)
            if found is None:
                assert (line.text, line.parsed["__error__"]) == (text, "JSONParserErr")
            else:
                assert (line.text, line.parsed) == (found[0], models.extracted(found[1], TAKEN)), text

    holds()


def test_what_is_asked_for_alone(embedded_pool: Pool) -> None:
    """A metric query, which finds only the labels it asks for, counts by them what a log query tells of every line."""
    # but for keys without a name, below which a metric query does not look
    lines_of = {"json": JSON_LINES.filter(lambda text: '""' not in text), "logfmt": LOGFMT_LINES}
    names = ["a", "b", "level", "level_extracted", "user_extracted", "a_b", "x_y", "a_a", "_9", "a_level"]

    @MANY
    @given(st.data(), st.sampled_from(list(lines_of)), st.lists(st.sampled_from(names), min_size=1, max_size=3))
    def holds(data: st.DataObject, parser: str, by: list[str]) -> None:
        texts = data.draw(st.lists(lines_of[parser], min_size=1, max_size=40))
        clear(embedded_pool)
        put(embedded_pool, texts, STREAM, ATTRIBUTES)
        engine = LogQLEngine(embedded_pool, Limits())
        query = f'{{app="x"}} | {parser} | __error__=""'
        wanted: Counter[tuple[str, ...]] = Counter()
        for line in lines(engine, query):
            labels = {**dict(line.stream), **line.attributes, **line.parsed}
            wanted[tuple(labels.get(name, "") for name in by)] += 1
        counted = engine.instant(f"sum by ({', '.join(by)}) (count_over_time({query} [1h]))", T + 60 * 10**9)
        found = {
            tuple(dict(labels).get(name, "") for name in by): value
            for labels, value in zip(counted.labels, counted.values[:, 0], strict=True)
        }
        assert found == wanted

    holds()
