"""The functions of templates: those of Go, of sprig and of Loki that strings and numbers need, as SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from app.query.logql.conversions import DURATION_S, SIZE, Conversion
from app.query.logql.rows import literal

Kind = Literal["text", "int", "float", "bool", "time"]


@dataclass(frozen=True, slots=True)
class Value:
    """SQL of a value, what kind it is, and for a constant text the text."""

    sql: str
    kind: Kind
    constant: str | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """`takes`: kinds of the arguments; the last one again and again if `more`. `number`: any kind a number is read of.

    `build` takes the arguments and gives SQL of the result. `fails` is SQL of (when, why) there is none.
    """

    takes: tuple[Kind | Literal["number", "any"], ...]
    gives: Kind
    build: Callable[..., str]
    more: bool = False
    fails: Callable[..., tuple[str, str]] | None = None


def _sql(template: str) -> Callable[..., str]:
    """A builder that puts the arguments' SQL into {0}, {1} …"""
    return lambda *arguments: template.format(*(a.sql for a in arguments))


def _folded(operator: str) -> Callable[..., str]:
    return lambda *arguments: "(" + f" {operator} ".join(a.sql for a in arguments) + ")"


def _called(name: str) -> Callable[..., str]:
    return lambda *arguments: f"{name}({', '.join(a.sql for a in arguments)})"


def _replaced(text: Value, old: Value, new: Value, times: Value) -> str:
    functions = {"-1": "replaceAll", "1": "replaceOne"}
    if times.sql not in functions:
        raise ValueError("Replace in a template takes 1 or -1 as its last argument")
    return f"{functions[times.sql]}({text.sql}, {old.sql}, {new.sql})"


def _converted(conversion: Conversion) -> Function:
    return Function(
        ("text",),
        "float",
        lambda text: f"ifNull({conversion.value(text.sql)}, 0.)",
        fails=lambda text: (f"isNull({conversion.value(text.sql)})", conversion.problem(text.sql)),
    )


def _divided(name: str, operation: str) -> Function:
    return Function(
        ("number", "number"),
        "int",
        lambda a, b: f"toInt64({operation}({_int(a)}, {_int(b)}))",
        fails=lambda a, b: (f"{_int(b)} = 0", literal(f"error calling {name}: runtime error: integer divide by zero")),
    )


def _int(value: Value) -> str:
    if value.kind == "text":
        return f"toInt64OrZero({value.sql})"
    return value.sql if value.kind == "int" else f"toInt64({value.sql})"


def _float(value: Value) -> str:
    return f"toFloat64OrZero({value.sql})" if value.kind == "text" else f"toFloat64({value.sql})"


def _ints(join: Callable[[list[str]], str]) -> Function:
    return Function(("number",), "int", lambda *a: f"toInt64({join([_int(v) for v in a])})", more=True)


def _floats(join: Callable[[list[str]], str]) -> Function:
    return Function(("number",), "float", lambda *a: join([_float(v) for v in a]), more=True)


def _with(operator: str) -> Callable[[list[str]], str]:
    return lambda items: "(" + f" {operator} ".join(items) + ")"


def _of(function: str) -> Callable[[list[str]], str]:
    return lambda items: f"{function}([{', '.join(items)}])"


_TRIMMED = r"replaceRegexpAll({0}, '^\\s+|\\s+$', '')"
_PREFIX = "if(startsWith({text}, {part}), substring({text}, length({part}) + 1), {text})"
_SUFFIX = "if(endsWith({text}, {part}), substring({text}, 1, length({text}) - length({part})), {text})"
_FIRST = {"text": "{0}", "part": "{1}"}
_LAST = {"text": "{1}", "part": "{0}"}
_RIGHT = "substringUTF8({1}, greatest(toInt64(lengthUTF8({1})) - {0} + 1, 1))"
_TWO_TEXTS: tuple[Kind, ...] = ("text", "text")

FUNCTIONS: Mapping[str, Function] = {
    **dict.fromkeys(("ToLower", "lower"), Function(("text",), "text", _called("lowerUTF8"))),
    **dict.fromkeys(("ToUpper", "upper"), Function(("text",), "text", _called("upperUTF8"))),
    **dict.fromkeys(("TrimSpace", "trim"), Function(("text",), "text", _sql(_TRIMMED))),
    "Trim": Function(_TWO_TEXTS, "text", _sql("trimBoth({0}, {1})")),
    "trimAll": Function(_TWO_TEXTS, "text", _sql("trimBoth({1}, {0})")),
    "TrimLeft": Function(_TWO_TEXTS, "text", _sql("trimLeft({0}, {1})")),
    "TrimRight": Function(_TWO_TEXTS, "text", _sql("trimRight({0}, {1})")),
    "TrimPrefix": Function(_TWO_TEXTS, "text", _sql(_PREFIX.format(**_FIRST))),
    "trimPrefix": Function(_TWO_TEXTS, "text", _sql(_PREFIX.format(**_LAST))),
    "TrimSuffix": Function(_TWO_TEXTS, "text", _sql(_SUFFIX.format(**_FIRST))),
    "trimSuffix": Function(_TWO_TEXTS, "text", _sql(_SUFFIX.format(**_LAST))),
    "Replace": Function(("text", "text", "text", "int"), "text", _replaced),
    "replace": Function(("text", "text", "text"), "text", _sql("replaceAll({2}, {0}, {1})")),
    "trunc": Function(
        ("int", "text"),
        "text",
        _sql(f"if({{0}} >= 0, substringUTF8({{1}}, 1, {{0}}), {_RIGHT.replace('{0}', 'abs({0})')})"),
    ),
    "substr": Function(
        ("int", "int", "text"),
        "text",
        _sql(
            "multiIf({0} < 0, substring({2}, 1, greatest({1}, 0)), {1} < 0, substring({2}, {0} + 1),"
            " substring({2}, {0} + 1, greatest({1} - {0}, 0)))"
        ),
    ),
    "contains": Function(_TWO_TEXTS, "bool", _sql("(position({1}, {0}) > 0)")),
    "hasPrefix": Function(_TWO_TEXTS, "bool", _sql("startsWith({1}, {0})")),
    "hasSuffix": Function(_TWO_TEXTS, "bool", _sql("endsWith({1}, {0})")),
    "repeat": Function(("int", "text"), "text", _sql("repeat({1}, greatest({0}, 0))")),
    "indent": Function(
        ("int", "text"),
        "text",
        _sql(r"concat(repeat(' ', {0}), replaceAll({1}, '\n', concat('\n', repeat(' ', {0}))))"),
    ),
    "nindent": Function(
        ("int", "text"),
        "text",
        _sql(r"concat('\n', repeat(' ', {0}), replaceAll({1}, '\n', concat('\n', repeat(' ', {0}))))"),
    ),
    "alignLeft": Function(("int", "text"), "text", _sql("if({0} < 0, {1}, rightPadUTF8({1}, greatest({0}, 0)))")),
    "alignRight": Function(
        ("int", "text"), "text", _sql(f"if({{0}} < 0, {{1}}, leftPadUTF8({_RIGHT}, greatest({{0}}, 0)))")
    ),
    "b64enc": Function(("text",), "text", _called("base64Encode")),
    "b64dec": Function(("text",), "text", _called("tryBase64Decode")),
    "urlencode": Function(("text",), "text", _called("encodeURLFormComponent")),
    "urldecode": Function(("text",), "text", _called("decodeURLFormComponent")),
    "len": Function(("text",), "int", _sql("toInt64(length({0}))")),
    "default": Function(_TWO_TEXTS, "text", _sql("if({1} = '', {0}, {1})")),
    "int": Function(("number",), "int", _int),
    "float64": Function(("number",), "float", _float),
    "add": _ints(_with("+")),
    "sub": Function(("number", "number"), "int", lambda a, b: f"toInt64({_int(a)} - {_int(b)})"),
    "mul": _ints(_with("*")),
    "max": _ints(_of("arrayMax")),
    "min": _ints(_of("arrayMin")),
    "div": _divided("div", "intDivOrZero"),
    "mod": _divided("mod", "moduloOrZero"),
    "addf": _floats(_with("+")),
    "subf": _floats(_with("-")),
    "mulf": _floats(_with("*")),
    "divf": _floats(_with("/")),
    "maxf": _floats(_of("arrayMax")),
    "minf": _floats(_of("arrayMin")),
    "ceil": Function(("number",), "float", lambda a: f"ceil({_float(a)})"),
    "floor": Function(("number",), "float", lambda a: f"floor({_float(a)})"),
    "round": Function(("number", "int"), "float", lambda a, n: f"round({_float(a)} * exp10({n.sql})) / exp10({n.sql})"),
    "bytes": _converted(SIZE),
    **dict.fromkeys(("duration", "duration_seconds"), _converted(DURATION_S)),
    "unixEpoch": Function(("time",), "text", _sql("toString(intDiv({0}, 1000000000))")),
    "unixEpochMillis": Function(("time",), "text", _sql("toString(intDiv({0}, 1000000))")),
    "unixEpochNanos": Function(("time",), "text", _sql("toString({0})")),
    "not": Function(("any",), "bool", lambda a: f"NOT {truth(a)}"),
}
_OF_TIMES = frozenset(["date", "toDate", "toDateInZone", "now", "unixToTime"])
_OF_GO = frozenset(["html", "js", "urlquery", "index", "slice", "call"])
UNSUPPORTED = frozenset(["title", "fromJson"]) | _OF_TIMES | _OF_GO
"""What Loki has besides."""
COMPARED = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def truth(value: Value) -> str:
    """Whether a value is what `if` takes for true."""
    return {"text": f"({value.sql} != '')", "bool": value.sql, "time": "true"}.get(value.kind, f"({value.sql} != 0)")


def text_of(value: Value) -> str:
    """A value as it is printed."""
    if value.kind == "text":
        return value.sql
    if value.kind == "bool":
        return f"if({value.sql}, 'true', 'false')"
    if value.kind == "time":
        raise ValueError("a time in a template is not supported but in unixEpoch, unixEpochMillis and unixEpochNanos")
    return f"toString({value.sql})"
