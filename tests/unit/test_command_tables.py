"""Tables of the commands: what is copied from them stays whole."""

from __future__ import annotations

from io import StringIO

from click import unstyle
from rich.console import Console
from rich.text import Text

from app.commands.tables import print_table

COLUMNS = ("NAME", "SINCE", "BY", "LABELS")
ROWS = [
    ("KubernetesDeploymentReplicasMismatch", "2026-11-27 07:14:02 UTC", "", "cluster=one team=shop zone=eu-west"),
    ("Short", "2026-11-27 07:14:02 UTC", "", ""),
]


class Screen(StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(columns: tuple[str, ...], rows: object, file: StringIO, width: int, **options: object) -> list[str]:
    """The lines of a table."""
    print_table(columns, rows, console=Console(file=file, width=width), **options)  # type: ignore[arg-type]
    return [line.rstrip() for line in unstyle(file.getvalue()).splitlines()]


def test_a_row_is_a_line_where_nobody_looks() -> None:
    """A pipe has no width; a column without content is left out."""
    lines = printed(COLUMNS, ROWS, StringIO(), 20, prose=("LABELS",))
    assert len(lines) == 3
    assert lines[0].split() == ["NAME", "SINCE", "LABELS"]
    assert lines[1] == "  ".join(cell for cell in ROWS[0] if cell)


def test_a_terminal_wraps_prose_alone() -> None:
    """Names and times stay whole, labels take the room that is left."""
    lines = printed(COLUMNS, ROWS, Screen(), 80, prose=("LABELS",))
    assert max(map(len, lines)) <= 80
    assert ROWS[0][0] + "  " + ROWS[0][1] in lines[1]
    assert "".join("".join(line[63:] for line in lines[1:-1]).split()) == "cluster=oneteam=shopzone=eu-west"


def test_what_does_not_fit_stands_below_its_row() -> None:
    """Prose first, then columns from the right; nothing is cut off."""
    lines = printed(COLUMNS, ROWS, Screen(), 62, prose=("LABELS",))
    assert lines[1] == "  ".join(ROWS[0][:2])
    assert lines[2] == "    labels: " + ROWS[0][3]
    assert lines[3].split("  ")[0] == "Short"
    lines = printed(COLUMNS, ROWS, Screen(), 40, prose=("LABELS",))
    assert (lines[0], lines[1]) == ("NAME", ROWS[0][0])
    assert " ".join(" ".join(lines[2:-2]).split()) == f"since: {ROWS[0][1]} labels: {ROWS[0][3]}"


def test_a_name_wider_than_the_terminal_stays_whole() -> None:
    """The terminal may break it; a copy of it has no line end."""
    assert ROWS[0][0] in printed(("NAME", "X"), [(ROWS[0][0], "1")], Screen(), 20)


def test_heads_give_way_before_figures_and_cells_are_no_markup() -> None:
    """A head of two words takes two lines where room is short."""
    cell = "[red]checkout"
    lines = printed(("SLO", "Budget left"), [(cell, Text("99.9 %", "red"))], Screen(), 21)
    assert [line.split() for line in lines] == [["Budget"], ["SLO", "left"], [cell, "99.9", "%"]]


def test_a_table_without_rows_has_its_heads() -> None:
    """So that it is seen what would be there."""
    assert printed(("A", "B"), [], StringIO(), 20) == ["A  B"]
