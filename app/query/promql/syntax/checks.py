"""What Prometheus checks once the grammar is satisfied: types, numbers of arguments, what operators take (checkAST).

Each function gives the first problem in the order Prometheus finds them, of a part and of those below it, or None.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import re2

from app.labels import METRIC_NAME, Matcher, anchored
from app.query.promql.operations import COMPARISONS
from app.query.promql.quote import quoted
from app.query.promql.syntax.functions import SIGNATURES, Signature
from app.query.promql.syntax.parts import Matched, Part, ValueType
from app.query.promql.syntax.problem import Problem
from app.query.promql.syntax.tokens import Token

_DOCUMENTED: dict[ValueType, str] = {"vector": "instant vector", "matrix": "range vector"}
_NUMERIC = ("scalar", "vector")
_SETS = ("and", "or", "unless")
_REGEX_ERRORS = {
    # of RE2 as Go words them
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.dot_nl = True


def selector(name: str, matchers: Sequence[Matcher], start: int) -> Problem | None:
    """A metric's name only once, and something that not every series has."""
    if name:
        twice = [m.value for m in matchers if m.name == METRIC_NAME]
        message = f"metric name must not be set twice: {quoted(name)} or {quoted(twice[0])}" if twice else ""
        return Problem(message, start) if twice else None
    if any(not m.matches("") for m in matchers):
        return None
    return Problem("vector selector must contain at least one non-empty matcher", start)


def subquery(of: Part) -> Problem | None:
    """Over instant vectors alone."""
    wrong = Problem(f"subquery is only allowed on instant vector, got {of.type} instead", of.start)
    return of.problem or (wrong if of.type != "vector" else None)


def signed(of: Part, start: int) -> Problem | None:
    """A sign before numbers and instant vectors alone."""
    what = (
        f'unary expression only allowed on expressions of type scalar or instant vector, got "{_documented(of.type)}"'
    )
    return of.problem or (None if of.type in _NUMERIC else Problem(what, start))


def aggregation(op: str, arguments: Sequence[Part]) -> Problem | None:
    """An instant vector, after a number or, for count_values, a string. There are as many arguments as need be."""
    problem = _typed(arguments[-1], "vector", "aggregation expression")
    if len(arguments) == 1:
        return problem
    return problem or _typed(arguments[0], "string" if op == "count_values" else "scalar", "aggregation parameter")


def call(name: str, arguments: Sequence[Part], start: int) -> Problem | None:
    """As many arguments as the function takes, of the types it takes."""
    signature = SIGNATURES[name]
    return next(_call_problems(name, signature, arguments, start), None)


def _call_problems(name: str, signature: Signature, arguments: Sequence[Part], start: int) -> Iterator[Problem]:
    count, known = len(arguments), len(signature.takes)
    wrong = f"argument(s) in call to {quoted(name)}, got {count}"
    most = known - 1 + signature.optional
    if signature.optional == 0 and count != known:
        yield Problem(f"expected {known} {wrong}", start)
    elif signature.optional and count < known - 1:
        yield Problem(f"expected at least {known - 1} {wrong}", start)
    elif signature.optional > 0 and count > most:
        yield Problem(f"expected at most {most} {wrong}", start)
    if name == "info" and count > 1:
        yield from _info_problems(arguments[1], start)
    for i, argument in enumerate(arguments[: known if signature.optional == 0 else None]):
        found = _typed(argument, signature.takes[min(i, known - 1)], f"call to function {quoted(name)}")
        if found:
            yield found


def _info_problems(argument: Part, start: int) -> Iterator[Problem]:
    if argument.type != "vector":
        yield Problem(
            f'expected type instant vector in call to function "info", got {_documented(argument.type)}', start
        )
    if argument.kind != "selector":
        yield Problem("expected label selectors only", argument.start)
    elif argument.name:
        yield Problem("expected label selectors only, got vector selector instead", argument.start)


def binary(left: Part, op: Token, matched: Matched, right: Part) -> Problem | None:
    """An operator takes numbers and instant vectors, and what is between it and its right side must fit it."""
    return left.problem or right.problem or next(_binary_problems(left, op, matched, right), None)


def _binary_problems(left: Part, op: Token, matched: Matched, right: Part) -> Iterator[Problem]:
    name = op.text.lower()
    if matched.return_bool and name not in COMPARISONS:
        yield Problem("bool modifier can only be used on comparison operators", op.start)
    if name in COMPARISONS and not matched.return_bool and left.type == right.type == "scalar":
        yield Problem("comparisons between scalars must use BOOL modifier", op.start)
    twice = [label for label in matched.labels if label in matched.included] if matched.on else []
    if twice:
        yield Problem(f"label {quoted(twice[0])} must not occur in ON and GROUP clause at once", op.start)
    for side in (left, right):
        if side.type not in _NUMERIC:
            yield Problem("binary expression must contain only scalar and instant vector types", side.start)
    if left.type != "vector" or right.type != "vector":
        if matched.labels:
            yield Problem("vector matching only allowed between instant vectors", left.start)
        if matched.filled:
            yield Problem("filling in missing series only allowed between instant vectors", left.start)
    elif name in _SETS and matched.grouped:
        yield Problem(f"no grouping allowed for {quoted(name)} operation", left.start)
    elif name in _SETS and matched.filled:
        yield Problem("filling in missing series not allowed for set operators", left.start)
    if name in _SETS and "scalar" in (left.type, right.type):
        yield Problem(f"set operator {quoted(name)} not allowed in binary scalar expression", left.start)


@functools.lru_cache(maxsize=4096)
def regex_error(pattern: str) -> str | None:
    """What is wrong with a regular expression, as Go says it."""
    try:
        re2.compile(pattern, _OPTIONS)
        anchored(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else str(error)
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        what, _, where = text.partition(": ")
        return f"error parsing regexp: {_REGEX_ERRORS.get(what, what)}: `{where}`"
    return None


def _typed(part: Part, wanted: ValueType, where: str) -> Problem | None:
    if part.problem or part.type == wanted:
        return part.problem
    return Problem(f"expected type {_documented(wanted)} in {where}, got {_documented(part.type)}", part.start)


def _documented(kind: ValueType) -> str:
    return _DOCUMENTED.get(kind, kind)
