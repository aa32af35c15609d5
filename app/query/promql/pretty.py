"""A query written anew, as Prometheus's `format_query` writes it (promql/parser/printer.go and prettier.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from app.durations import format_duration_ms
from app.labels import METRIC_NAME
from app.query.promql.describe import Shown
from app.query.promql.format import format_general
from app.query.promql.quote import quoted

_LONGEST_LINE = 100
_PLAIN_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_WITH_PARAMETER = ("topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio")


def pretty(node: Shown, level: int = 0) -> str:
    """The text of a tree that `describe` gave: on one line where that is not too long, else indented by `level`."""
    indent = "  " * level
    flat = written(node)
    kind = node["type"]
    if kind == "unaryExpr":
        return f"{indent}{node['op']}{pretty(node['expr'], level).strip()}"
    if len(flat.encode()) <= _LONGEST_LINE or kind not in _SPLIT:
        # Prometheus leaves the indentation of a short subquery out
        return flat if kind == "subquery" else indent + flat
    return _SPLIT[kind](node, level, indent)


def written(node: Shown) -> str:
    """The text of a tree on one line."""
    return _WRITTEN[node["type"]](node)


def _split_aggregation(node: Shown, level: int, indent: str) -> str:
    parameter = f"{pretty(node['param'], level + 1)},\n" if _has_parameter(node) else ""
    return f"{indent}{_aggregation_head(node)}(\n{parameter}{pretty(node['expr'], level + 1)}\n{indent})"


def _split_binary(node: Shown, level: int, indent: str) -> str:
    left, right = pretty(node["lhs"], level + 1), pretty(node["rhs"], level + 1)
    return f"{left}\n{indent}{_operator(node)}\n{right}"


def _split_call(node: Shown, level: int, indent: str) -> str:
    arguments = ",\n".join(pretty(arg, level + 1) for arg in node["args"])
    return f"{indent}{node['func']['name']}(\n{arguments}\n{indent})"


def _has_parameter(node: Shown) -> bool:
    return node["op"] in _WITH_PARAMETER


def _aggregation_head(node: Shown) -> str:
    if node["without"]:
        return f"{node['op']} without ({_labels(node['grouping'])}) "
    return f"{node['op']} by ({_labels(node['grouping'])}) " if node["grouping"] else str(node["op"])


def _aggregation(node: Shown) -> str:
    parameter = f"{written(node['param'])}, " if _has_parameter(node) else ""
    return f"{_aggregation_head(node)}({parameter}{written(node['expr'])})"


def _labels(names: Sequence[str]) -> str:
    return ", ".join(_name(name) for name in names)


def _name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else quoted(name)


def _operator(node: Shown) -> str:
    return f"{node['op']}{' bool' if node['bool'] else ''}{_matching(node['matching'])}"


def _matching(matching: Shown | None) -> str:
    if matching is None:
        return ""
    grouped = {"many-to-one": "left", "one-to-many": "right"}.get(matching["card"])
    out = ""
    if matching["labels"] or matching["on"] or grouped:
        out += f" {'on' if matching['on'] else 'ignoring'} ({_labels(matching['labels'])})"
    if grouped:
        out += f" group_{grouped} ({_labels(matching['include'])})"
    left, right = matching["fillValues"]["lhs"], matching["fillValues"]["rhs"]
    if left is not None and left == right:
        return f"{out} fill ({format_general(left)})"
    for side, value in (("left", left), ("right", right)):
        out += "" if value is None else f" fill_{side} ({format_general(value)})"
    return out


def _selector(node: Shown) -> str:
    return _series(node) + _when(node)


def _series(node: Shown) -> str:
    if "orMatchers" in node:
        return f"{node['name']}{{{' or '.join(_joined(group, '') for group in node['orMatchers'])}}}"
    inside = _joined(node["matchers"], node["name"])
    name = str(node["name"])
    return f"{name}{{{inside}}}" if inside else name


def _joined(matchers: Sequence[Shown], name: str) -> str:
    shown = [m for m in matchers if not (m["name"] == METRIC_NAME and m["type"] == "=" and name and m["value"] == name)]
    # Go sorts by bytes
    return ",".join(sorted((f"{_name(m['name'])}{m['type']}{quoted(m['value'])}" for m in shown), key=str.encode))


def _when(node: Shown) -> str:
    out = ""
    if node["timestamp"] is not None:
        out += f" @ {node['timestamp'] / 1000:.3f}"
    elif node["startOrEnd"]:
        out += f" @ {node['startOrEnd']}()"
    return out + (f" offset {format_duration_ms(node['offset'])}" if node["offset"] else "")


def _subquery_suffix(node: Shown) -> str:
    step = format_duration_ms(node["step"]) if node["step"] else ""
    return f"[{format_duration_ms(node['range'])}:{step}]{_when(node)}"


_SPLIT: dict[str, Callable[[Shown, int, str], str]] = {
    "aggregation": _split_aggregation,
    "binaryExpr": _split_binary,
    "call": _split_call,
    "parenExpr": lambda n, level, indent: f"{indent}(\n{pretty(n['expr'], level + 1)}\n{indent})",
    "subquery": lambda n, level, indent: f"{pretty(n['expr'], level)}{_subquery_suffix(n)}",
}
_WRITTEN: dict[str, Callable[[Shown], str]] = {
    "aggregation": _aggregation,
    "binaryExpr": lambda n: f"{written(n['lhs'])} {_operator(n)} {written(n['rhs'])}",
    "call": lambda n: f"{n['func']['name']}({', '.join(written(arg) for arg in n['args'])})",
    "matrixSelector": lambda n: f"{_series(n)}[{format_duration_ms(n['range'])}]{_when(n)}",
    "numberLiteral": lambda n: str(n["val"]),
    "parenExpr": lambda n: f"({written(n['expr'])})",
    "stringLiteral": lambda n: quoted(n["val"]),
    "subquery": lambda n: f"{written(n['expr'])}{_subquery_suffix(n)}",
    "unaryExpr": lambda n: f"{n['op']}{written(n['expr'])}",
    "vectorSelector": _selector,
}
