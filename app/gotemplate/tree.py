"""Go's template language as a tree. A node's `str()` is the text Go's error messages have for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.gotemplate.numbers import Literal
from app.gotemplate.quoting import quoted


@dataclass(eq=False, slots=True)
class Node:
    """Any part of a template; `pos` is where it is in the text, in characters."""

    pos: int


@dataclass(eq=False, slots=True)
class Text(Node):
    """What is put out as it is."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(eq=False, slots=True)
class Dot(Node):
    """`.`"""

    def __str__(self) -> str:
        return "."


@dataclass(eq=False, slots=True)
class Nil(Node):
    """`nil`"""

    def __str__(self) -> str:
        return "nil"


@dataclass(eq=False, slots=True)
class Bool(Node):
    """`true` or `false`"""

    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(eq=False, slots=True)
class Number(Node):
    """A number or a character, as it was written and as whatever it can be."""

    text: str
    value: Literal

    def constant(self) -> int | float | complex | None:
        """What it is where no type is wanted: its syntax says it. None for what does not fit into an int."""
        number, text = self.value, self.text
        if number.complex_ is not None:
            return number.complex_
        is_hexadecimal = text[:2] in ("0x", "0X") and len(text) > 2 and not set("pP") & set(text)
        if number.floating is not None and text[0] != "'" and not is_hexadecimal and set(".eEpP") & set(text):
            return number.floating
        return number.integer

    def __str__(self) -> str:
        return self.text


@dataclass(eq=False, slots=True)
class String(Node):
    """A string: as it was written, and what it stands for."""

    literal: str
    value: str

    def __str__(self) -> str:
        return self.literal


@dataclass(eq=False, slots=True)
class Identifier(Node):
    """A function's name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False, slots=True)
class Field(Node):
    """`.X.Y`"""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(eq=False, slots=True)
class Variable(Node):
    """`$x.Y`: the first name begins with the dollar."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(eq=False, slots=True)
class Chain(Node):
    """`(pipeline).X.Y` or `function.X`"""

    node: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return inner + "".join(f".{name}" for name in self.names)


@dataclass(eq=False, slots=True)
class Command(Node):
    """Operands side by side: the first is called with the others."""

    operands: list[Node]

    def __str__(self) -> str:
        return " ".join(f"({node})" if isinstance(node, Pipe) else str(node) for node in self.operands)


@dataclass(eq=False, slots=True)
class Pipe(Node):
    """Commands with `|` between, perhaps given to variables."""

    declared: list[Variable] = field(default_factory=list)
    assigns: bool = False
    commands: list[Command] = field(default_factory=list)

    def __str__(self) -> str:
        names = ", ".join(map(str, self.declared))
        before = f"{names} {'=' if self.assigns else ':='} " if names else ""
        return before + " | ".join(map(str, self.commands))


@dataclass(eq=False, slots=True)
class Action(Node):
    """`{{pipeline}}`"""

    pipe: Pipe

    def __str__(self) -> str:
        return "{{" + str(self.pipe) + "}}"


@dataclass(eq=False, slots=True)
class List(Node):
    """Nodes one after the other."""

    nodes: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))


@dataclass(eq=False, slots=True)
class Branch(Node):
    """What `if`, `with` and `range` have in common."""

    pipe: Pipe
    then: List
    otherwise: List | None

    def _text(self, word: str) -> str:
        otherwise = "" if self.otherwise is None else "{{else}}" + str(self.otherwise)
        return f"{{{{{word} {self.pipe}}}}}{self.then}{otherwise}{{{{end}}}}"


@dataclass(eq=False, slots=True)
class If(Branch):
    """`{{if}}`"""

    def __str__(self) -> str:
        return self._text("if")


@dataclass(eq=False, slots=True)
class With(Branch):
    """`{{with}}`"""

    def __str__(self) -> str:
        return self._text("with")


@dataclass(eq=False, slots=True)
class Range(Branch):
    """`{{range}}`"""

    def __str__(self) -> str:
        return self._text("range")


@dataclass(eq=False, slots=True)
class Break(Node):
    """`{{break}}`"""

    def __str__(self) -> str:
        return "{{break}}"


@dataclass(eq=False, slots=True)
class Continue(Node):
    """`{{continue}}`"""

    def __str__(self) -> str:
        return "{{continue}}"


@dataclass(eq=False, slots=True)
class Invoke(Node):
    """`{{template "name" pipeline}}`"""

    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return "{{template " + quoted(self.name) + (f" {self.pipe}" if self.pipe else "") + "}}"


@dataclass(eq=False, slots=True)
class Template:
    """One named template: `text` is the whole text it is part of, `parsed_as` the name that text was given."""

    name: str
    parsed_as: str
    text: str
    root: List

    def place(self, node: Node) -> str:
        """Where a node is, as Go says it: `name:line:column`; columns count bytes and begin at 0."""
        before = self.text[: node.pos]
        line_start = before.rfind("\n") + 1
        column = len(before[line_start:].encode("utf-8", "surrogateescape"))
        return f"{self.parsed_as}:{before.count(chr(10)) + 1}:{column}"


def is_empty(node: Node) -> bool:
    """Whether a tree has nothing but space: such a definition gives way to another of its name."""
    if isinstance(node, List):
        return all(map(is_empty, node.nodes))
    return isinstance(node, Text) and not node.text.strip()


def walk(node: Node | None) -> Iterator[Node]:
    """A node and all below it."""
    if node is None:
        return
    yield node
    match node:
        case List():
            below: list[Node | None] = list(node.nodes)
        case Branch():
            below = [node.pipe, node.then, node.otherwise]
        case Action() | Invoke():
            below = [node.pipe]
        case Pipe():
            below = [*node.declared, *node.commands]
        case Command():
            below = list(node.operands)
        case Chain():
            below = [node.node]
        case _:
            return
    for part in below:
        yield from walk(part)
