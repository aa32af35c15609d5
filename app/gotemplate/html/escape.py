"""Putting the right escapers behind every pipeline, by where in HTML each stands: html/template's main idea."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.gotemplate.errors import TemplateError, TemplateLimit
from app.gotemplate.html.context import COMMENTS, SCRIPT_LITERALS, Context, Mistake, joined, wrong
from app.gotemplate.html.transitions import after_text
from app.gotemplate.quoting import quoted
from app.gotemplate.tree import (
    Action,
    Branch,
    Break,
    Command,
    Continue,
    Identifier,
    Invoke,
    List,
    Node,
    Pipe,
    Range,
    Template,
    Text,
    With,
)

# a template that is used in many places is judged again in each
_MOST_NODES = 200_000
_DOCTYPE = "<!DOCTYPE"
_SCRIPT_TAG = re.compile("<(script|/script|!--)", re.IGNORECASE)
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_PREDEFINED = frozenset(("html", "urlquery"))
_SAME = {
    "_html_template_attrescaper": "html",
    "_html_template_htmlescaper": "html",
    "_html_template_rcdataescaper": "html",
    "_html_template_urlescaper": "urlquery",
    "_html_template_urlnormalizer": "urlquery",
}
# after the first of each the others change nothing any more
_NEEDLESS: Mapping[str, frozenset[str]] = {
    "_html_template_commentescaper": frozenset(("_html_template_attrescaper", "_html_template_htmlescaper")),
    "_html_template_urlescaper": frozenset(("_html_template_urlnormalizer",)),
    **dict.fromkeys(
        (
            "_html_template_cssescaper",
            "_html_template_jsregexpescaper",
            "_html_template_jsstrescaper",
            "_html_template_jstmpllitescaper",
        ),
        frozenset(("_html_template_attrescaper",)),
    ),
}
_BY_STATE = {
    "stateMetaContent": (),
    "stateMetaContentURL": ("_html_template_urlfilter",),
    "stateJS": ("_html_template_jsvalescaper",),
    "stateJSDqStr": ("_html_template_jsstrescaper",),
    "stateJSSqStr": ("_html_template_jsstrescaper",),
    "stateJSTmplLit": ("_html_template_jstmpllitescaper",),
    "stateJSRegexp": ("_html_template_jsregexpescaper",),
    "stateCSS": ("_html_template_cssvaluefilter",),
    "stateText": ("_html_template_htmlescaper",),
    "stateRCDATA": ("_html_template_rcdataescaper",),
    "stateAttr": (),
    "stateAttrName": ("_html_template_htmlnamefilter",),
    "stateTag": ("_html_template_htmlnamefilter",),
    "stateSrcset": ("_html_template_srcsetescaper",),
    **dict.fromkeys(COMMENTS, ("_html_template_commentescaper",)),
}
_URL_STATES = frozenset(("stateURL", "stateCSSDqStr", "stateCSSSqStr", "stateCSSDqURL", "stateCSSSqURL", "stateCSSURL"))


def escaped(templates: Mapping[str, Template], name: str) -> dict[str, Template]:
    """The templates that one needs, rewritten so that all they put in is escaped. Raises TemplateError.

    A template that is used in different places of HTML is in it several times, under names that tell them apart.
    """
    escaper = _Escaper(templates)
    context, _ = escaper.template(Context(), name, None)
    mistake = context.mistake
    if mistake is None and context.state != "stateText":
        mistake = Mistake(f"ends in a non-text context: {context}")
    if mistake is not None:
        raise TemplateError(f"html/template:{_place(templates, name, mistake)} {mistake.description}")
    return escaper.made


def _place(templates: Mapping[str, Template], name: str, mistake: Mistake) -> str:
    if mistake.node is not None:
        holder = next((t for t in templates.values() if _holds(t.root, mistake.node)), templates[name])
        return f"{holder.place(mistake.node)}:"
    if mistake.line:
        return f"{name}:{mistake.line}:"
    return f"{name}:" if name else ""


def _holds(node: Node, wanted: Node) -> bool:
    if node is wanted:
        return True
    match node:
        case List():
            return any(_holds(part, wanted) for part in node.nodes)
        case Branch():
            return _holds(node.then, wanted) or (node.otherwise is not None and _holds(node.otherwise, wanted))
    return False


@dataclass(slots=True)
class _Loop:
    """Where `break` and `continue` leave the body of a loop."""

    leaves: list[tuple[Context, Node]] = field(default_factory=list)


class _Escaper:
    def __init__(self, templates: Mapping[str, Template]) -> None:
        self.made: dict[str, Template] = {}
        self._templates = templates
        self._ends: dict[str, Context] = {}
        self._called: set[str] = set()
        self._loops: list[_Loop] = []
        self._text = ""
        self._nodes = 0

    def template(self, context: Context, name: str, node: Node | None) -> tuple[Context, str]:
        """The context after a template that begins in one, and the name of its rewritten form."""
        mangled = context.mangled(name)
        self._called.add(mangled)
        if mangled in self._ends:
            return self._ends[mangled], mangled
        template = self._templates.get(name)
        if template is None:
            return wrong(f"no such template {quoted(name)}", node), mangled
        after = self._body(context, template, mangled, context)
        if after is None:
            return wrong(f"cannot compute output context for template {name}", template.root), mangled
        return after, mangled

    def _body(self, context: Context, template: Template, mangled: str, assumed: Context) -> Context | None:
        """Rewrites a template; one that calls itself is taken to end as it begins, or else as it then ended."""
        for _ in range(2):
            known, made, called = dict(self._ends), dict(self.made), set(self._called)
            loops, self._loops = self._loops, []
            text, self._text = self._text, template.text
            self._called.discard(mangled)
            self._ends[mangled] = assumed
            after, root = self._list(context, template.root)
            self._loops, self._text = loops, text
            if after.state != "stateError" and (mangled not in self._called or after == assumed):
                self._called |= called
                self._ends[mangled] = after
                self.made[mangled] = Template(mangled, template.parsed_as, template.text, root)
                return after
            self._ends, self.made, self._called = known, made, called
            if after.state == "stateError":
                return after
            assumed = after
        return None

    def _list(self, context: Context, nodes: List) -> tuple[Context, List]:
        made: list[Node] = []
        for node in nodes.nodes:
            if context.state == "stateDead":
                break
            context, changed = self._node(context, node)
            made.append(changed)
        return context, List(nodes.pos, made)

    def _node(self, context: Context, node: Node) -> tuple[Context, Node]:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise TemplateLimit(f"html/template: more than {_MOST_NODES} steps to find out where in HTML texts stand")
        match node:
            case Text():
                return _text(context, node)
            case Action():
                return _action(context, node)
            case Invoke():
                after, name = self.template(context, node.name, node)
                return after, Invoke(node.pos, name, node.pipe)
            case Break() | Continue():
                self._loops[-1].leaves.append((context, node))
                return Context(state="stateDead"), node
            case Range():
                return self._range(context, node)
            case Branch():
                word = "with" if isinstance(node, With) else "if"
                one, then = self._list(context, node.then)
                return self._joined(context, one, node, then, word)
        raise AssertionError(f"a template has no {type(node).__name__} here")

    def _joined(self, context: Context, one: Context, node: Branch, then: List, word: str) -> tuple[Context, Node]:
        other, otherwise = (context, None) if node.otherwise is None else self._list(context, node.otherwise)
        return joined(one, other, node, word), type(node)(node.pos, node.pipe, then, otherwise)

    def _range(self, context: Context, node: Range) -> tuple[Context, Node]:
        once, then = self._loop(context, node)
        if once.state == "stateError":
            return once, node
        again, _ = self._loop(once, node, leaves=False)
        after = joined(once, again, node, "range")
        if after.state == "stateError":
            return self._said(after, node, "on range loop re-entry"), node
        return self._joined(context, after, node, then, "range")

    def _loop(self, context: Context, node: Range, *, leaves: bool = True) -> tuple[Context, List]:
        self._loops.append(_Loop())
        after, then = self._list(context, node.then)
        for left, at in self._loops.pop().leaves if leaves else ():
            if after.state == "stateError":
                break
            after = joined(after, left, at, "range")
            if after.state == "stateError":
                word = "break" if isinstance(at, Break) else "continue"
                after = self._said(after, at, f"at range loop {word}")
        return after, then

    def _said(self, context: Context, node: Node, where: str) -> Context:
        mistake = context.mistake or Mistake("")
        line = self._text.count("\n", 0, node.pos) + 1
        return replace(context, mistake=replace(mistake, description=f"{where}: {mistake.description}", line=line))


def _action(context: Context, node: Action) -> tuple[Context, Node]:
    if node.pipe.declared:
        return context, node
    context = context.nudged()
    for at, command in enumerate(node.pipe.commands):
        first = command.operands[0]
        if isinstance(first, Identifier) and first.name in _PREDEFINED:
            unquoted = context.state == "stateAttr" and context.delim == "delimSpaceOrTagEnd" and first.name == "html"
            if at < len(node.pipe.commands) - 1 or unquoted:
                return wrong(f"predefined escaper {quoted(first.name)} disallowed in template", node), node
    if context.state == "stateError":
        return context, node
    if context.state in _URL_STATES:
        if context.url_part == "urlPartUnknown":
            return wrong(f"{node} appears in an ambiguous context within a URL", node), node
        names = _url_escapers(context)
    else:
        names = list(_BY_STATE[context.state])
    if context.state == "stateJS":
        context = replace(context, js_slash="jsCtxDivOp")
    elif context.state == "stateTag":
        context = replace(context, state="stateAttrName")
    if context.delim == "delimSpaceOrTagEnd":
        names.append("_html_template_nospaceescaper")
    elif context.delim != "delimNone":
        names.append("_html_template_attrescaper")
    return context, Action(node.pos, _piped(node.pipe, names))


def _url_escapers(context: Context) -> list[str]:
    if context.url_part == "urlPartQueryOrFrag":
        return ["_html_template_urlescaper"]
    in_string = context.state in ("stateCSSDqStr", "stateCSSSqStr")
    last = "_html_template_cssescaper" if in_string else "_html_template_urlnormalizer"
    return ["_html_template_urlfilter", last] if context.url_part == "urlPartNone" else [last]


def _piped(pipe: Pipe, escapers: list[str]) -> Pipe:
    """The pipeline with escapers at its end; `html` or `urlquery` there take the place of those that do the same."""
    if not escapers:
        return pipe
    commands = list(pipe.commands)
    last = commands[-1]
    first = last.operands[0]
    if isinstance(first, Identifier) and first.name in _PREDEFINED:
        if len(commands) == 1 and len(last.operands) > 1:
            commands[-1] = Command(last.pos, [Identifier(first.pos, "_eval_args_"), *last.operands[1:]])
            commands.append(_named(first.name, pipe.pos))
        same = [_same(name) == first.name for name in escapers]
        escapers = [first.name if is_same else name for name, is_same in zip(escapers, same, strict=True)]
        if any(same):
            commands.pop()
    there = {_same(c.operands[0].name) for c in commands if isinstance(c.operands[0], Identifier)}
    for name in escapers:
        before = commands[-1].operands[0] if commands else None
        needless = isinstance(before, Identifier) and name in _NEEDLESS.get(before.name, ())
        if _same(name) not in there and not needless:
            commands.append(_named(name, pipe.pos))
    return Pipe(pipe.pos, pipe.declared, pipe.assigns, commands)


def _same(name: str) -> str:
    return _SAME.get(name, name)


def _named(name: str, pos: int) -> Command:
    return Command(pos, [Identifier(pos, name)])


def _text(context: Context, node: Text) -> tuple[Context, Node]:
    """Text as it is but for comments, a `<` that begins no tag, and what would end a script too early."""
    text, at, written = node.text, 0, 0
    parts: list[str] = []
    while at < len(text):
        after, read = after_text(context, text[at:])
        end = at + read
        if context.state in ("stateText", "stateRCDATA"):
            last = text.rfind("<", at, end) if after.state != context.state else -1
            for found in range(at, end if last < 0 else last):
                if text[found] == "<" and text[found : found + 9].upper() != _DOCTYPE:
                    parts += (text[written:found], "&lt;")
                    written = found + 1
        elif context.state in COMMENTS and context.delim == "delimNone":
            if context.state == "stateJSBlockCmt":
                parts.append("\n" if _LINE_END.search(text, written, end) else " ")
            elif context.state == "stateCSSBlockCmt":
                parts.append(" ")
            written = end
        if context.state != after.state and after.state in COMMENTS and after.delim == "delimNone":
            mark = {"stateHTMLCmt": 4, "stateJSHTMLOpenCmt": 4, "stateJSHTMLCloseCmt": 3}.get(after.state, 2)
            parts.append(text[written : end - mark])
            written = end
        if context.state in SCRIPT_LITERALS and _SCRIPT_TAG.search(text, at, end):
            parts += (text[written:at], _SCRIPT_TAG.sub(r"\\x3C\1", text[at:end]))
            written = end
        context, at = after, end
    if not written or context.state == "stateError":
        return context, node
    if context.state not in COMMENTS or context.delim != "delimNone":
        parts.append(text[written:])
    return context, Text(node.pos, "".join(parts))
