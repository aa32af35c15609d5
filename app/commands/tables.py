"""Tables and trees as the commands print them: what a user copies from them is never broken over lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

_GAP = 2
_INDENT = 4
_PROSE_WIDTH = 16


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    prose: Collection[str] = (),
    header: bool = True,
    console: Console | None = None,
) -> None:
    """Prints rows of one cell a column; a column that is empty in all rows is left out.

    Only cells of `prose` columns are wrapped, and only in a terminal: elsewhere a row is a line, however long. What
    does not fit into a terminal is told below its row: `prose` columns first, then columns from the right.
    """
    console = console or Console()
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    shown = [i for i in range(len(columns)) if not cells or any(row[i].plain for row in cells)]
    # spaces that only fill a row up would be lines of their own in a terminal that is too narrow
    with console.capture() as captured:
        _print(console, [columns[i] for i in shown], [[row[i] for i in shown] for row in cells], prose, header)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    typer.echo(text, file=console.file)


def print_tree(tree: Tree) -> None:
    """Prints a tree; where stdout is no terminal an entry is a line."""
    console = Console()
    if not console.file.isatty():
        console.width = max(console.width, console.measure(tree, options=console.options.update(width=1 << 16)).maximum)
    console.print(tree)


def _print(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[Text]], prose: Collection[str], header: bool
) -> None:
    heads = [name if header else "" for name in names]
    natural = [max(len(head), *(_width(row[i]) for row in rows), 0) for i, head in enumerate(heads)]
    least = [
        min(natural[i], _PROSE_WIDTH)
        if name in prose
        else max(*(_width(row[i]) for row in rows), *map(len, heads[i].split()), 0, 0)
        for i, name in enumerate(names)
    ]
    beside = list(range(len(names)))
    widths = natural
    if console.file.isatty():
        if _total(least, beside) > console.width:
            beside = [i for i in beside if names[i] not in prose] or beside[:1]
        while len(beside) > 1 and _total(least, beside) > console.width:
            beside.pop()
        widths = _fitted(natural, least, beside, console.width)
    below = [i for i in range(len(names)) if i not in beside]
    terminal, console.width = console.width, max(_total(widths, beside), 1)
    made = [Column(heads[i], width=widths[i], overflow="fold") for i in beside]
    groups = [[row] for row in rows] if below and rows else [rows]
    for number, group in enumerate(groups):
        table = Table(*made, box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=header and not number)
        for row in group:
            table.add_row(*(row[i] for i in beside))
        console.print(table)
        for row in group if below else ():
            parts = [Text.assemble(f"{names[i].lower()}: ", row[i]) for i in below if row[i].plain]
            told, console.width = console.width, terminal
            if parts:
                console.print(Padding(Text("  ").join(parts), (0, 0, 0, _INDENT)))
            console.width = told
        made = [Column(width=column.width, overflow="fold") for column in made]


def _width(cell: Text) -> int:
    return max(cell_len(line) for line in cell.plain.split("\n"))


def _total(widths: Sequence[int], beside: Sequence[int]) -> int:
    return sum(widths[i] for i in beside) + _GAP * (len(beside) - 1)


def _fitted(natural: Sequence[int], least: Sequence[int], beside: Sequence[int], width: int) -> list[int]:
    """The widths of columns where there is room for `width`: the widest gives way first, each down to its least."""
    widths = list(natural)
    while _total(widths, beside) > width:
        wide = max((i for i in beside if widths[i] > least[i]), key=lambda i: widths[i], default=None)
        if wide is None:
            break
        widths[wide] -= 1
    return widths
