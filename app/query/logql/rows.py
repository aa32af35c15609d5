"""Lines on their way through the stages of a pipeline, as SQL.

Every stage adds a layer: a subquery with the columns it makes, or conditions on those there are. A line has labels of
three kinds: those of its stream, its attributes (Loki's structured metadata), and those that parsers found in it. They
are columns of type Map(String, String), there from the first stage on that needs labels: lines that are only counted
are never joined with their streams.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from app.query.promql.conditions import Parameters

LEVEL = "detected_level"
"""The attribute that tells a line's severity, as Loki's own does."""
IDS = frozenset(["trace_id", "span_id"])
"""Attributes that have columns of their own, as the severity has."""
EXTRACTED = "_extracted"
"""What follows the name of a label where a label of a stronger kind has the name already."""
ERROR = "__error__"
ERROR_DETAILS = "__error_details__"
_COLUMNS = "service, stream_id, ts, seq, severity, body, attributes, trace_id, span_id"
NO_LABELS = "CAST(map(), 'Map(String, String)')"


def literal(text: str) -> str:
    """A text of our own as an SQL string, on one line. Texts of users travel as parameters instead."""
    for found, instead in (("\\", r"\\"), ("'", r"\'"), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(found, instead)
    return f"'{text}'"


def any_of(names: Iterable[str]) -> frozenset[str]:
    """The names a label may come under: with EXTRACTED, and the same without it."""
    found = set(names)
    return frozenset(found | {name.removesuffix(EXTRACTED) for name in found})


class Rows:
    """The SQL so far: where rows come from, the conditions on them, and which columns hold what is known of a line.

    `names` are the only labels anything asks for, in both spellings of `any_of`; None when all are wanted. `ids` are
    those of IDS among them.
    """

    def __init__(
        self,
        streams: str,
        conditions: list[str],
        names: frozenset[str] | None,
        ids: frozenset[str],
        parameters: Parameters,
    ) -> None:
        """`streams` is what follows the columns in a SELECT of the streams wanted; `conditions` select their lines."""
        self.parameters = parameters
        self.names = names
        self.ids = ids
        self.line = "body"
        self.joined = False
        self.base = self.stream = self.meta = ""
        self.parsed = self.error = self.details = self.sample = ""
        self._streams = streams
        self._source = "logs"
        self._steps: list[tuple[str, str]] = []
        self._conditions = conditions
        self._made = 0
        self._names_placeholder = ""

    def where(self, condition: str) -> None:
        """Keeps only rows that satisfy a condition on the columns there are."""
        self._conditions.append(condition)

    def add(self, **columns: str) -> list[str]:
        """Adds columns worked out from those there are; gives their names, which are new ones."""
        self._made += 1
        names = [f"{kind}_{self._made}" for kind in columns]
        made = ",\n  ".join(f"{sql} AS {name}" for sql, name in zip(columns.values(), names, strict=True))
        self._wrap(f"SELECT *,\n  {made}")
        return names

    def add_one(self, kind: str, sql: str) -> str:
        """As `add`, of one column."""
        return self.add(**{kind: sql})[0]

    def first_as_written(self, order: str, limit: int, names: frozenset[str] | None, ids: frozenset[str]) -> Rows:
        """The first rows in an order as they were before any stage, to go through the stages once more."""
        self._wrap(f"SELECT {_COLUMNS}", f"ORDER BY {order}\nLIMIT {limit:d}")
        rows = Rows(self._streams, [], names, ids, self.parameters)
        rows._source, rows._steps, rows._made = self._source, self._steps, self._made
        return rows

    def grouped(self, select: str, by: str) -> None:
        """Puts groups in the place of rows: the columns are what `select` says."""
        self._wrap(f"SELECT {select}", f"GROUP BY {by}")

    def sql(self, select: str, tail: str = "") -> str:
        """The whole statement."""
        steps = ",\n".join(f"{name} AS (\n{textwrap.indent(layer, '  ')}\n)" for name, layer in self._steps)
        last = self._layer(f"SELECT {select}", tail)
        return f"WITH {steps}\n{last}" if steps else last

    def _layer(self, head: str, tail: str) -> str:
        where = "WHERE " + "\n  AND ".join(self._conditions) if self._conditions else ""
        return "\n".join(part for part in (head, f"FROM {self._source}", where, tail) if part)

    def _wrap(self, head: str, tail: str = "") -> None:
        # named one after another rather than within each other: the engine's parser goes only so deep
        self._steps.append((f"step_{len(self._steps) + 1}", self._layer(head, tail)))
        self._source = self._steps[-1][0]
        self._conditions = []

    @property
    def nothing_wanted(self) -> bool:
        """Whether nothing asks for any label, so that none need be found. Loki leaves parsers out then, too."""
        return self.names is not None and not self.names

    def wanted(self) -> str:
        """The names wanted, as an SQL array."""
        if not self._names_placeholder:
            self._names_placeholder = self.parameters.add(sorted(self.names or ()), "Array(String)")
        return self._names_placeholder

    def wanted_of(self, labels: str) -> str:
        """Of a map those labels that are wanted."""
        return labels if self.names is None else f"mapFilter((k, v) -> has({self.wanted()}, k), {labels})"

    def join(self) -> None:
        """Makes the labels of streams and the attributes columns."""
        if self.joined:
            return
        self.joined = True
        if self._conditions or self._source == "logs":
            self._wrap("SELECT *")
        streams = f"SELECT service, stream_id, {self.wanted_of('any(labels)')} AS label_set\n{self._streams}"
        self._source = f"{self._source} AS lines\nINNER JOIN (\n{streams}\n) AS streams USING (service, stream_id)"
        self.base = self.stream = "label_set"
        self.meta = self.add_one("meta", self._attributes())

    def _attributes(self) -> str:
        """Attributes, severity and ids as one map, under names no label of the stream has."""
        own = self.wanted_of("CAST(attributes, 'Map(String, String)')")
        columns = {LEVEL: "CAST(severity, 'String')", **{name: name for name in sorted(self.ids)}}
        more = [f"'{name}', {sql}" for name, sql in columns.items() if self.names is None or name in self.names]
        if more:
            kept = "v != '' AND NOT mapContains(attributes, k)"
            own = f"mapConcat({own}, mapFilter((k, v) -> {kept}, map({', '.join(more)})))"
        return f"mapApply((k, v) -> (if(mapContains(label_set, k), concat(k, '{EXTRACTED}'), k), v), {own})"

    def has(self, name: str) -> str:
        """Whether a line has a label."""
        self.join()
        wanted = self.parameters.add(name)
        kinds = [f"mapContains({kind}, {wanted})" for kind in (self.parsed, self.meta) if kind]
        return "(" + " OR ".join([*kinds, f"{self.stream}[{wanted}] != ''"]) + ")"

    def value(self, name: str) -> str:
        """The value of a label, '' where there is none."""
        if name == ERROR:
            return self.error or "''"
        if name == ERROR_DETAILS:
            # as in Loki, where details are no label until a line is given out
            return "''"
        self.join()
        wanted = self.parameters.add(name)
        found = f"{self.stream}[{wanted}]"
        for kind in (self.meta, self.parsed):
            if kind:
                found = f"if(mapContains({kind}, {wanted}), {kind}[{wanted}], {found})"
        return found

    def labels(self) -> str:
        """All labels of a line but errors, as one sorted map."""
        self.join()
        found = f"mapUpdate({self.stream}, {self.meta})"
        return f"mapSort(mapUpdate({found}, {self.parsed}))" if self.parsed else f"mapSort({found})"

    def labels_found(self) -> str:
        """Labels that stages found or made, errors among them, as one map."""
        found = self.parsed or NO_LABELS
        if not self.error:
            return found
        errors = f"map('{ERROR}', {self.error}, '{ERROR_DETAILS}', {self.details})"
        return f"mapConcat({found}, mapFilter((k, v) -> v != '', {errors}))"

    def fail(self, condition: str, error: str, details: str, **columns: str) -> list[str]:
        """Marks lines with an error: SQL for when, a name of ours, and SQL for the details. Other columns as `add`."""
        before = self.error or literal(""), self.details or literal("")
        self.error, self.details, *others = self.add(
            error=f"if({condition}, {literal(error)}, {before[0]})",
            details=f"if({condition}, {details}, {before[1]})",
            **columns,
        )
        return others

    def taken(self, name: str) -> str:
        """Whether the stream or the attributes have a label of a name, which is SQL."""
        self.join()
        return f"(mapContains({self.base}, {name}) OR mapContains({self.meta}, {name}))"

    def extract(self, pairs: str) -> None:
        """Adds labels found by a parser: SQL of an Array(Tuple(String, String)).

        Of a name found twice the first counts, also if an earlier parser found it. A name that the stream or the
        attributes have gets EXTRACTED behind it.
        """
        self.join()
        found = f"arrayMap(p -> (if({self.taken('p.1')}, concat(p.1, '{EXTRACTED}'), p.1), p.2), {pairs})"
        if self.parsed:
            found = f"arrayFilter(p -> NOT mapContains({self.parsed}, p.1), {found})"
        found = self.add_one("found", found)
        first = f"arrayFilter((p, nth) -> nth = 1, {found}, arrayEnumerateUniq({found}.1))"
        fresh = f"CAST({first}, 'Map(String, String)')"
        self.parsed = self.add_one("parsed", f"mapConcat({self.parsed}, {fresh})" if self.parsed else fresh)

    def set(self, name: str, value: str, when: str = "", gone: str = "") -> None:
        """Sets a label to the value of some SQL, whatever kind of label has the name so far, and takes another away.

        Only on lines where `when` holds, if that is given.
        """
        self.join()
        label, other = self.parameters.add(name), self.parameters.add(gone or name)
        named = f"k IN ({label}, {other})"
        others = f"NOT ({when} AND {named})" if when else f"NOT ({named})"
        stream, meta, parsed = (
            f"mapFilter((k, v) -> {others}, {kind})" for kind in (self.stream, self.meta, self.parsed or NO_LABELS)
        )
        with_it = f"mapConcat({parsed}, map({label}, {value}))"
        parsed = f"if({when}, {with_it}, {parsed})" if when else with_it
        self.stream, self.meta, self.parsed = self.add(stream=stream, meta=meta, parsed=parsed)

    def label(self, name: str) -> str:
        """As `value`, for templates, where errors are labels like others."""
        return self.details or "''" if name == ERROR_DETAILS else self.value(name)

    def constant(self, text: str) -> str:
        """A text that the query has."""
        return self.parameters.add(text)

    def line_text(self) -> str:
        """The line."""
        return self.line

    def time_ns(self) -> str:
        """When the line was written, in nanoseconds."""
        return "toUnixTimestamp64Nano(ts)"

    def keep_labels(self, condition: str) -> None:
        """Keeps only labels whose name `k` and value `v` satisfy a condition."""
        self.join()
        kinds = {"stream": self.stream, "meta": self.meta, "parsed": self.parsed or NO_LABELS}
        made = self.add(**{kind: f"mapFilter((k, v) -> {condition}, {sql})" for kind, sql in kinds.items()})
        self.stream, self.meta, self.parsed = made
