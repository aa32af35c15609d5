"""Go's template language: tokens → trees, with Go's messages for what is wrong."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Container

from app.gotemplate.errors import TemplateSyntaxError
from app.gotemplate.lexer import Token, tokens_of
from app.gotemplate.numbers import literal_of
from app.gotemplate.quoting import quoted, unquoted
from app.gotemplate.tree import (
    Action,
    Bool,
    Break,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Identifier,
    If,
    Invoke,
    List,
    Nil,
    Node,
    Number,
    Pipe,
    Range,
    String,
    Template,
    Text,
    Variable,
    With,
    is_empty,
)

MAX_NESTING = 100
_OPERANDS = frozenset(
    (
        "bool",
        "character",
        "complex",
        ".",
        "field",
        "identifier",
        "number",
        "nil",
        "raw string",
        "string",
        "variable",
        "(",
    )
)


def parse(name: str, text: str, functions: Container[str]) -> dict[str, Template]:
    """All templates a text defines by name; the text itself has `name`. Raises TemplateSyntaxError.

    `functions`: the names that may be called; "break" or "continue" among them are functions then.
    """
    return _Parser(name, text, functions).parsed()


class _End(Node):
    """`{{end}}`: closes what is open."""

    def __str__(self) -> str:
        return "{{end}}"


class _Else(Node):
    """`{{else}}`, whose `if` or `with` is still to be read."""

    def __str__(self) -> str:
        return "{{else}}"


class _Parser:
    def __init__(self, name: str, text: str, functions: Container[str]) -> None:
        self._name = name
        self._text = text
        self._functions = functions
        self._tokens = tokens_of(
            text, break_is_function="break" in functions, continue_is_function="continue" in functions
        )
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._at = 0
        self._seen = -1
        self._action_line = 0
        self._variables = ["$"]
        self._ranges = 0
        self._depth = 0
        self._found: dict[str, Template] = {}

    # the stream of tokens

    def _peek(self) -> Token:
        at = min(self._at, len(self._tokens) - 1)
        self._seen = max(self._seen, at)
        return self._tokens[at]

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _peek_word(self) -> Token:
        while self._peek().kind == "space":
            self._at += 1
        return self._peek()

    def _next_word(self) -> Token:
        token = self._peek_word()
        self._at += 1
        return token

    def _line(self, token: Token) -> int:
        return bisect_left(self._line_ends, token.pos) + 1

    def _error(self, message: str) -> TemplateSyntaxError:
        line = self._line(self._tokens[self._seen]) if self._seen >= 0 else 0
        return TemplateSyntaxError(f"template: {self._name}:{line}: {message}")

    def _unexpected(self, token: Token, context: str) -> TemplateSyntaxError:
        if token.kind == "error":
            extra = ""
            if self._action_line not in (0, self._line(token)):
                extra = f" in action started at {self._name}:{self._action_line}"
                if token.text.endswith(" action"):
                    extra = extra.removeprefix(" in action")
            return self._error(f"{token}{extra}")
        return self._error(f"unexpected {token} in {context}")

    def _expect(self, kinds: tuple[str, ...], context: str) -> Token:
        token = self._next_word()
        if token.kind not in kinds:
            raise self._unexpected(token, context)
        return token

    # templates

    def parsed(self) -> dict[str, Template]:
        """Reads to the end."""
        root = List(self._peek().pos)
        while self._peek().kind != "EOF":
            if self._peek().kind == "{{":
                start = self._at
                self._next()
                if self._next_word().kind == "define":
                    self._definition()
                    continue
                self._at = start
            node = self._text_or_action()
            if isinstance(node, _End | _Else):
                raise self._error(f"unexpected {node}")
            root.nodes.append(node)
        self._add(self._name, root)
        return self._found

    def _add(self, name: str, root: List) -> None:
        known = self._found.get(name)
        if known is None or is_empty(known.root):
            self._found[name] = Template(name, self._name, self._text, root)
        elif not is_empty(root):
            raise self._error(f"template: multiple definition of template {quoted(name)}")

    def _definition(self) -> None:
        context = "define clause"
        name = self._string(self._expect(("string", "raw string"), context))
        self._expect(("}}",), context)
        self._add(name, self._inner(context))

    def _inner(self, context: str) -> List:
        """The body of a template within this text: with variables and loops of its own."""
        self._deeper()
        before = self._variables, self._ranges, self._action_line
        self._variables, self._ranges, self._action_line = ["$"], 0, 0
        root, end = self._list()
        if not isinstance(end, _End):
            raise self._error(f"unexpected {end} in {context}")
        self._variables, self._ranges, self._action_line = before
        self._depth -= 1
        return root

    def _list(self) -> tuple[List, Node]:
        found = List(self._peek_word().pos)
        while self._peek_word().kind != "EOF":
            node = self._text_or_action()
            if isinstance(node, _End | _Else):
                return found, node
            found.nodes.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> Node:
        token = self._next_word()
        if token.kind == "text":
            return Text(token.pos, token.text)
        if token.kind != "{{":
            raise self._unexpected(token, "input")
        self._action_line = self._line(token)
        node = self._action()
        self._action_line = 0
        return node

    # actions

    def _action(self) -> Node:
        token = self._peek_word()
        self._at += 1
        match token.kind:
            case "block":
                return self._block()
            case "break" | "continue":
                return self._leave(token)
            case "else":
                return self._else()
            case "end":
                return _End(self._expect(("}}",), "end").pos)
            case "if":
                return self._control("if")
            case "range":
                return self._control("range")
            case "with":
                return self._control("with")
            case "template":
                return self._template()
        self._at -= 1
        return Action(token.pos, self._pipeline("command", "}}"))

    def _leave(self, word: Token) -> Node:
        token = self._next_word()
        if token.kind != "}}":
            raise self._unexpected(token, "{{" + word.kind + "}}")
        if not self._ranges:
            raise self._error("{{" + word.kind + "}} outside {{range}}")
        return Break(word.pos) if word.kind == "break" else Continue(word.pos)

    def _else(self) -> Node:
        following = self._peek_word()
        if following.kind in ("if", "with"):
            return _Else(following.pos)
        return _Else(self._expect(("}}",), "else").pos)

    def _control(self, word: str) -> Node:
        self._deeper()
        variables = len(self._variables)
        pipe = self._pipeline(word, "}}")
        self._ranges += word == "range"
        then, end = self._list()
        self._ranges -= word == "range"
        otherwise = None
        if isinstance(end, _Else):
            if word in ("if", "with") and self._peek().kind == word:
                self._next()
                otherwise = List(end.pos, [self._control(word)])
            else:
                otherwise, end = self._list()
                if not isinstance(end, _End):
                    raise self._error(f"expected end; found {end}")
        del self._variables[variables:]
        self._depth -= 1
        node = {"if": If, "range": Range, "with": With}[word]
        return node(pipe.pos, pipe, then, otherwise)

    def _block(self) -> Node:
        context = "block clause"
        token = self._next_word()
        name = self._template_name(token, context)
        pipe = self._pipeline(context, "}}")
        self._add(name, self._inner(context))
        return Invoke(token.pos, name, pipe)

    def _template(self) -> Node:
        context = "template clause"
        token = self._next_word()
        name = self._template_name(token, context)
        if self._peek_word().kind == "}}":
            self._at += 1
            return Invoke(token.pos, name, None)
        return Invoke(token.pos, name, self._pipeline(context, "}}"))

    def _template_name(self, token: Token, context: str) -> str:
        if token.kind not in ("string", "raw string"):
            raise self._unexpected(token, context)
        return self._string(token)

    def _string(self, token: Token) -> str:
        try:
            return unquoted(token.text)
        except ValueError as problem:
            raise self._error(str(problem)) from None

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error("max expression depth exceeded")

    # pipelines

    def _pipeline(self, context: str, end: str) -> Pipe:
        pipe = Pipe(self._peek_word().pos)
        self._declarations(pipe, context)
        while True:
            token = self._next_word()
            if token.kind == end:
                break
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            self._at -= 1
            pipe.commands.append(self._command())
        if not pipe.commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.operands[0], Bool | Dot | Nil | Number | String):
                raise self._error(f"non executable command in pipeline stage {stage}")
        return pipe

    def _declarations(self, pipe: Pipe, context: str) -> None:
        while self._peek_word().kind == "variable":
            start = self._at
            variable = self._next()
            self._peek()
            following = self._peek_word()
            if following.kind in ("assign", "declare"):
                pipe.assigns = following.kind == "assign"
            elif (following.kind, following.text) != ("sign", ","):
                self._at = start
                return
            self._next()
            pipe.declared.append(Variable(variable.pos, (variable.text,)))
            self._variables.append(variable.text)
            if following.kind != "sign":
                return
            if context != "range" or len(pipe.declared) > 1:
                raise self._error(f"too many declarations in {context}")
            if self._peek_word().kind not in ("variable", "}}", ")"):
                raise self._error("range can only initialize variables")

    def _command(self) -> Command:
        command = Command(self._peek_word().pos, [])
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                command.operands.append(operand)
            token = self._next()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self._at -= 1
            elif token.kind != "pipe":
                raise self._unexpected(token, "operand")
            break
        if not command.operands:
            raise self._error("empty command")
        return command

    def _operand(self) -> Node | None:
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        pos = self._peek().pos
        names: list[str] = []
        while self._peek().kind == "field":
            names.append(self._next().text[1:])
        match node:
            case Field():
                return Field(pos, (*node.names, *names))
            case Variable():
                return Variable(pos, (*node.names, *names))
            case Bool() | String() | Number() | Nil() | Dot():
                raise self._error(f"unexpected . after term {quoted(str(node))}")
        return Chain(pos, node, tuple(names))

    def _term(self) -> Node | None:
        token = self._next_word()
        match token.kind:
            case "identifier":
                if token.text not in self._functions:
                    raise self._error(f"function {quoted(token.text)} not defined")
                return Identifier(token.pos, token.text)
            case ".":
                return Dot(token.pos)
            case "nil":
                return Nil(token.pos)
            case "variable":
                if token.text not in self._variables:
                    raise self._error(f"undefined variable {quoted(token.text)}")
                return Variable(token.pos, (token.text,))
            case "field":
                return Field(token.pos, (token.text[1:],))
            case "bool":
                return Bool(token.pos, token.text == "true")
            case "number" | "complex" | "character":
                return self._number(token)
            case "string" | "raw string":
                return String(token.pos, token.text, self._string(token))
            case "(":
                self._deeper()
                pipe = self._pipeline("parenthesized pipeline", ")")
                self._depth -= 1
                return pipe
        self._at -= 1
        return None

    def _number(self, token: Token) -> Node:
        try:
            return Number(token.pos, token.text, literal_of(token.text, token.kind))
        except (ValueError, OverflowError) as problem:
            raise self._error(str(problem)) from None
