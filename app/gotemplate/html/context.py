"""Where in HTML a piece of a template stands. The names are those of Go's html/template, whose messages show them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.gotemplate.tree import Node

COMMENTS = frozenset(
    (
        "stateHTMLCmt",
        "stateJSBlockCmt",
        "stateJSLineCmt",
        "stateJSHTMLOpenCmt",
        "stateJSHTMLCloseCmt",
        "stateCSSBlockCmt",
        "stateCSSLineCmt",
    )
)
SCRIPT_LITERALS = frozenset(("stateJSDqStr", "stateJSSqStr", "stateJSTmplLit", "stateJSRegexp"))
IN_TAG = frozenset(("stateTag", "stateAttrName", "stateAfterName", "stateBeforeValue", "stateAttr"))
VALUE_STATES = {
    "attrNone": "stateAttr",
    "attrScript": "stateJS",
    "attrScriptType": "stateAttr",
    "attrStyle": "stateCSS",
    "attrURL": "stateURL",
    "attrSrcset": "stateSrcset",
    "attrMetaContent": "stateMetaContent",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why a template cannot be escaped; `node` or else `line` is where, if that is known."""

    description: str
    node: Node | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """The state of an HTML parser; the first one stands outside of all tags.

    `js_slash` is what a slash would begin in JavaScript, `braces` the depth of `{` in each `${` of a template literal.
    """

    state: str = "stateText"
    delim: str = "delimNone"
    url_part: str = "urlPartNone"
    js_slash: str = "jsCtxRegexp"
    braces: tuple[int, ...] = ()
    attribute: str = "attrNone"
    element: str = "elementNone"
    mistake: Mistake | None = None

    def __str__(self) -> str:
        braces = " ".join(map(str, self.braces))
        words = (self.state, self.delim, self.url_part, self.js_slash, f"[{braces}]", self.attribute, self.element)
        return f"{{{' '.join(words)} <nil>}}"

    def mangled(self, name: str) -> str:
        """The name of a template that begins in this context."""
        if self.state == "stateText":
            return name
        parts = [f"{name}$htmltemplate_{self.state}"]
        if self.delim != "delimNone":
            parts.append(self.delim)
        if self.url_part != "urlPartNone":
            parts.append(self.url_part)
        if self.js_slash != "jsCtxRegexp":
            parts.append(self.js_slash)
        if self.braces:
            parts.append(f"jsBraceDepth([{' '.join(map(str, self.braces))}])")
        if self.attribute != "attrNone":
            parts.append(self.attribute)
        if self.element != "elementNone":
            parts.append(self.element)
        return "_".join(parts)

    def nudged(self) -> Context:
        """The context of something put in here: a value has begun, or an attribute's name."""
        match self.state:
            case "stateTag":
                return replace(self, state="stateAttrName")
            case "stateBeforeValue":
                state = VALUE_STATES[self.attribute]
                return replace(self, state=state, delim="delimSpaceOrTagEnd", attribute="attrNone")
            case "stateAfterName":
                return replace(self, state="stateAttrName", attribute="attrNone")
        return self


def wrong(description: str, node: Node | None = None) -> Context:
    """A context of which nothing is known but what is wrong."""
    return Context(state="stateError", mistake=Mistake(description, node))


def joined(one: Context, other: Context, node: Node, word: str) -> Context:
    """What follows a branch, whichever way was taken."""
    if one.state == "stateError" or other.state == "stateDead":
        return one
    if other.state == "stateError" or one.state == "stateDead":
        return other
    if one == other:
        return one
    if replace(one, url_part=other.url_part) == other:
        return replace(one, url_part="urlPartUnknown")
    if replace(one, js_slash=other.js_slash) == other:
        return replace(one, js_slash="jsCtxUnknown")
    nudged = one.nudged(), other.nudged()
    if nudged != (one, other):
        found = joined(*nudged, node, word)
        if found.state != "stateError":
            return found
    return wrong(f"{{{{{word}}}}} branches end in different contexts: {one}, {other}", node)
