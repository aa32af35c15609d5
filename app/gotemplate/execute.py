"""Executing a template: the walk over its tree, as Go's text/template does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.gotemplate.calls import Function
from app.gotemplate.errors import TemplateLimit, TooLong
from app.gotemplate.evaluate import Evaluator, Limits, MissingKey, Slot
from app.gotemplate.meter import metered
from app.gotemplate.printing import shown, sorted_keys, text_of
from app.gotemplate.quoting import quoted
from app.gotemplate.tree import Action, Break, Continue, If, Invoke, List, Node, Pipe, Range, Template, Text, With
from app.gotemplate.values import ANY, INVALID, is_nil, true, type_of


class _Leave(Exception):
    """`{{break}}` or `{{continue}}`."""


class _BreakLoop(_Leave):
    pass


class _ContinueLoop(_Leave):
    pass


class Execution(Evaluator):
    """One execution of a template; not to be used again."""

    def __init__(
        self,
        templates: Mapping[str, Template],
        functions: Mapping[str, Function],
        missing_key: MissingKey,
        limits: Limits,
    ) -> None:
        super().__init__(functions, missing_key, limits)
        self._templates = templates
        self._size = 0
        self._depth = 0
        self._parts: list[str] = []

    def run(self, template: Template, data: object) -> str:
        """The text. Raises TemplateError."""
        self._template = template
        slot = Slot(INVALID if data is None else data)
        self._variables = [("$", slot)]
        try:
            with metered(self._spend):
                self._list(slot, template.root)
        except TooLong:
            raise self._too_long() from None
        except RecursionError:
            raise TemplateLimit(f"template: {template.name}: nested too deeply") from None
        return "".join(self._parts)

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > self._limits.output:
            raise self._too_long()
        self._parts.append(text)

    def _list(self, dot: Slot, nodes: List) -> None:
        for node in nodes.nodes:
            self._steps += 1
            if type(node) is Text:
                self._node = node
                self._write(node.text)
            else:
                self._spend(0)
                self._node = node
                _WALKS[type(node)](self, dot, node)

    def _action(self, dot: Slot, node: Action) -> None:
        value = self.pipeline(dot, node.pipe)
        if not node.pipe.declared:
            self._node = node
            if type(value) is str:
                self._write(value)
            elif value is INVALID:
                self._write("<no value>")
            else:
                go_type = type_of(value)
                if go_type.kind == "func":
                    raise self._error(f"can't print {node} of type {go_type}")
                self._write(shown(value))

    def _leave(self, dot: Slot, node: Break | Continue) -> None:
        raise (_BreakLoop if isinstance(node, Break) else _ContinueLoop)

    def _if(self, dot: Slot, node: If) -> None:
        mark = len(self._variables)
        if true(self.pipeline(dot, node.pipe)):
            self._list(dot, node.then)
        elif node.otherwise is not None:
            self._list(dot, node.otherwise)
        del self._variables[mark:]

    def _with(self, dot: Slot, node: With) -> None:
        mark = len(self._variables)
        value = self.pipeline(dot, node.pipe)
        if true(value):
            self._list(Slot(value), node.then)
        elif node.otherwise is not None:
            self._list(dot, node.otherwise)
        del self._variables[mark:]

    def _range(self, dot: Slot, node: Range) -> None:
        mark = len(self._variables)
        value = self.pipeline(dot, node.pipe)
        items = self._items(value, len(node.pipe.declared))
        inner = len(self._variables)
        ran = False
        try:
            for key, item in items:
                ran = True
                self._spend(1)
                self._bind(node.pipe, key, item)
                with suppress(_ContinueLoop):
                    self._list(item, node.then)
                del self._variables[inner:]
        except _BreakLoop:
            pass
        if not ran and node.otherwise is not None:
            self._list(dot, node.otherwise)
        del self._variables[mark:]

    def _bind(self, pipe: Pipe, key: object, item: Slot) -> None:
        names = [variable.names[0] for variable in pipe.declared]
        if not names:
            return
        slots = [item] if len(names) == 1 else [Slot(key), item]
        if pipe.assigns:
            for name, slot in zip(names, slots, strict=True):
                self._assign(name, slot)
        else:
            self._variables[len(self._variables) - len(names) :] = zip(names, slots, strict=True)

    def _items(self, value: object, variables: int) -> Any:
        """(key, slot) of everything to range over."""
        if is_nil(value):
            return ()
        go_type = type_of(value)
        boxed = (go_type.element or ANY).kind == "interface"
        if go_type.kind == "map" and isinstance(value, Mapping):
            return ((key, Slot(value[key], boxed)) for key in sorted_keys(value))
        if go_type.kind == "slice" and isinstance(value, Sequence):
            return ((at, Slot(item, boxed)) for at, item in enumerate(value))
        if go_type.kind in ("int", "uint") and isinstance(value, int):
            if variables > 1:
                raise self._error(f"can't use {text_of(value)} to iterate over more than one variable")
            return ((INVALID, Slot(type(value)(at))) for at in range(value))
        raise self._error(f"range can't iterate over {text_of(value)}")

    def _invoke(self, dot: Slot, node: Invoke) -> None:
        template = self._templates.get(node.name)
        if template is None:
            raise self._error(f"template {quoted(node.name)} not defined")
        if self._depth == self._limits.depth:
            raise self._error(f"exceeded maximum template depth ({self._limits.depth})", TemplateLimit)
        slot = Slot(INVALID if node.pipe is None else self.pipeline(dot, node.pipe))
        before = self._template, self._variables
        self._template, self._variables = template, [("$", slot)]
        self._depth += 1
        self._list(slot, template.root)
        self._depth -= 1
        self._template, self._variables = before


_WALKS: Mapping[type[Node], Callable[[Execution, Slot, Any], None]] = {
    Action: Execution._action,
    Break: Execution._leave,
    Continue: Execution._leave,
    If: Execution._if,
    With: Execution._with,
    Range: Execution._range,
    Invoke: Execution._invoke,
}
