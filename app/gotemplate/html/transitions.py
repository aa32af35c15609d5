"""How text moves a template from one place in HTML to another."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

from app.gotemplate.html.attributes import attribute_type
from app.gotemplate.html.context import COMMENTS, SCRIPT_LITERALS, VALUE_STATES, Context, wrong
from app.gotemplate.html.css import css_decoded, ends_with_url
from app.gotemplate.html.scripts import after_tokens, is_script_type
from app.gotemplate.quoting import quoted

Transition = Callable[[Context, str], tuple[Context, int]]

_SPACE = re.compile(r"[ \t\n\f\r]*")
_TAG_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|[:-][A-Za-z0-9])*")
_ATTRIBUTE_NAME = re.compile(r"[^ \t\n\f\r=>'\"<]*")
_VALUE_ENDS = {
    "delimDoubleQuote": re.compile('"'),
    "delimSingleQuote": re.compile("'"),
    "delimSpaceOrTagEnd": re.compile(r"[ \t\n\f\r>]"),
}
_UNQUOTED_MISTAKE = re.compile("[\"'<=`]")
_ELEMENTS = {
    "script": "elementScript",
    "style": "elementStyle",
    "textarea": "elementTextarea",
    "title": "elementTitle",
    "meta": "elementMeta",
}
_CONTENT = {
    "elementNone": "stateText",
    "elementScript": "stateJS",
    "elementStyle": "stateCSS",
    "elementTextarea": "stateRCDATA",
    "elementTitle": "stateRCDATA",
    "elementMeta": "stateText",
}
_ENDS = {
    element: re.compile(rf"</{name if name != 'meta' else ''}[> \t\n\f/]", re.IGNORECASE | re.ASCII)
    for name, element in _ELEMENTS.items()
}
_ATTRIBUTES = {"url": "attrURL", "css": "attrStyle", "js": "attrScript", "srcset": "attrSrcset"}
_JS_SPECIAL = re.compile("[\"`'/{}<#-]")
_JS_TEMPLATE = re.compile(r"[`\\$]")
_JS_DELIMITED = {
    "stateJSDqStr": re.compile(r'[\\"]'),
    "stateJSSqStr": re.compile(r"[\\']"),
    "stateJSRegexp": re.compile(r"[\\/\[\]]"),
}
_JS_QUOTES = {'"': "stateJSDqStr", "'": "stateJSSqStr", "`": "stateJSTmplLit"}
_CSS_SPECIAL = re.compile("[(\"'/]")
_CSS_ENDS = {
    "stateCSSDqStr": re.compile(r'[\\"]'),
    "stateCSSDqURL": re.compile(r'[\\"]'),
    "stateCSSSqStr": re.compile(r"[\\']"),
    "stateCSSSqURL": re.compile(r"[\\']"),
    "stateCSSURL": re.compile(r"[\\\t\n\f\r )]"),
}
_JS_LINE_END = re.compile("[\n\r\u2028\u2029]")
_CSS_LINE_END = re.compile("[\n\f\r]")


def after_text(context: Context, text: str) -> tuple[Context, int]:
    """The context after some of a text, and how much of it that is."""
    if context.delim == "delimNone":
        after, end = special_tag_end(context, text)
        return (after, 0) if end == 0 else TRANSITIONS[context.state](context, text[:end])
    match = _VALUE_ENDS[context.delim].search(text)
    end = match.start() if match else len(text)
    if context.delim == "delimSpaceOrTagEnd":
        mistake = _UNQUOTED_MISTAKE.search(text, 0, end)
        if mistake:
            return wrong(f"{quoted(mistake[0])} in unquoted attr: {quoted(text[:end])}"), len(text)
    if end == len(text):
        rest = html.unescape(text)
        while rest:
            context, read = TRANSITIONS[context.state](context, rest)
            rest = rest[read:]
        return context, len(text)
    element = context.element
    typed = (context.state, element, context.attribute) == ("stateAttr", "elementScript", "attrScriptType")
    if typed and not is_script_type(text[:end]):
        element = "elementNone"
    return Context(state="stateTag", element=element), end + (context.delim != "delimSpaceOrTagEnd")


def special_tag_end(context: Context, text: str) -> tuple[Context, int]:
    """The end tag of an element whose content is no HTML, such as script; it is not looked for in its strings."""
    if context.element == "elementNone" or (
        context.element == "elementScript" and context.state in SCRIPT_LITERALS | COMMENTS
    ):
        return context, len(text)
    match = _ENDS[context.element].search(text)
    return (Context(), match.start()) if match else (context, len(text))


def value_end(delim: str, text: str, at: int) -> int:
    """Where an attribute's value ends, -1 if it does not."""
    match = _VALUE_ENDS[delim].search(text, at)
    return match.start() if match else -1


def _spaces(text: str, at: int = 0) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _text(context: Context, text: str) -> tuple[Context, int]:
    at = 0
    while True:
        found = text.find("<", at)
        if found < 0 or found + 1 == len(text):
            return context, len(text)
        if text.startswith("<!--", found):
            return Context(state="stateHTMLCmt"), found + 4
        name_at = found + 1
        closing = text[name_at] == "/"
        if closing:
            if name_at + 1 == len(text):
                return context, len(text)
            name_at += 1
        match = _TAG_NAME.match(text, name_at)
        if match:
            element = "elementNone" if closing else _ELEMENTS.get(match[0].lower(), "elementNone")
            return Context(state="stateTag", element=element), match.end()
        at = name_at


def _tag(context: Context, text: str) -> tuple[Context, int]:
    start = _spaces(text)
    if start == len(text):
        return context, start
    if text[start] == ">":
        if context.element == "elementMeta":
            return Context(), start + 1
        return Context(state=_CONTENT[context.element], element=context.element), start + 1
    end, mistake = _attribute_name(text, start)
    if mistake:
        return mistake, len(text)
    if end == start:
        return wrong(f"expected space, attr name, or end of tag, but got {quoted(text[start:])}"), len(text)
    name = text[start:end].lower()
    if context.element == "elementScript" and name == "type":
        attribute = "attrScriptType"
    elif context.element == "elementMeta" and name == "content":
        attribute = "attrMetaContent"
    else:
        attribute = _ATTRIBUTES.get(attribute_type(name), "attrNone")
    state = "stateAttrName" if end == len(text) else "stateAfterName"
    return Context(state=state, element=context.element, attribute=attribute), end


def _attribute_name(text: str, start: int) -> tuple[int, Context | None]:
    match = _ATTRIBUTE_NAME.match(text, start)
    end = match.end() if match else start
    if text[end : end + 1] in ("'", '"', "<"):
        return end, wrong(f"{quoted(text[end])} in attribute name: {quoted(text[:32])}")
    return end, None


def _in_attribute_name(context: Context, text: str) -> tuple[Context, int]:
    end, mistake = _attribute_name(text, 0)
    if mistake:
        return mistake, len(text)
    return (context if end == len(text) else replace(context, state="stateAfterName")), end


def _after_name(context: Context, text: str) -> tuple[Context, int]:
    at = _spaces(text)
    if at == len(text):
        return context, at
    if text[at] != "=":
        return replace(context, state="stateTag"), at
    return replace(context, state="stateBeforeValue"), at + 1


def _before_value(context: Context, text: str) -> tuple[Context, int]:
    at = _spaces(text)
    if at == len(text):
        return context, at
    delim = {"'": "delimSingleQuote", '"': "delimDoubleQuote"}.get(text[at], "delimSpaceOrTagEnd")
    return replace(context, state=VALUE_STATES[context.attribute], delim=delim), at + (delim != "delimSpaceOrTagEnd")


def _html_comment(context: Context, text: str) -> tuple[Context, int]:
    end = text.find("-->")
    return (context, len(text)) if end < 0 else (Context(), end + 3)


def _stays(context: Context, text: str) -> tuple[Context, int]:
    return context, len(text)


def _url(context: Context, text: str) -> tuple[Context, int]:
    if "#" in text or "?" in text:
        context = replace(context, url_part="urlPartQueryOrFrag")
    elif _spaces(text) != len(text) and context.url_part == "urlPartNone":
        context = replace(context, url_part="urlPartPreQuery")
    return context, len(text)


def _meta_content(context: Context, text: str) -> tuple[Context, int]:
    for match in re.finditer("url", text[:-1], re.IGNORECASE | re.ASCII):
        at = _spaces(text, match.end())
        if text[at : at + 1] == "=":
            return replace(context, state="stateMetaContentURL"), at + 1
    return context, len(text)


def _meta_content_url(context: Context, text: str) -> tuple[Context, int]:
    end = text.find(";")
    return (context, len(text)) if end < 0 else (replace(context, state="stateMetaContent"), end + 1)


def _js(context: Context, text: str) -> tuple[Context, int]:
    match = _JS_SPECIAL.search(text)
    if match is None:
        return replace(context, js_slash=after_tokens(text, context.js_slash)), len(text)
    at, sign = match.start(), match[0]
    context = replace(context, js_slash=after_tokens(text[:at], context.js_slash))
    if sign in _JS_QUOTES:
        return replace(context, state=_JS_QUOTES[sign], js_slash="jsCtxRegexp"), at + 1
    if sign == "/":
        return _js_slash(context, text, at)
    if sign in "{}":
        return _js_brace(context, sign, at)
    for mark, state in (("<!--", "stateJSHTMLOpenCmt"), ("-->", "stateJSHTMLCloseCmt"), ("#!", "stateJSLineCmt")):
        if text.startswith(mark, at):
            return replace(context, state=state), at + len(mark)
    return context, at + 1


def _js_slash(context: Context, text: str, at: int) -> tuple[Context, int]:
    following = text[at + 1 : at + 2]
    if following in ("/", "*"):
        return replace(context, state="stateJSLineCmt" if following == "/" else "stateJSBlockCmt"), at + 2
    if context.js_slash == "jsCtxRegexp":
        return replace(context, state="stateJSRegexp"), at + 1
    if context.js_slash == "jsCtxDivOp":
        return replace(context, js_slash="jsCtxRegexp"), at + 1
    return wrong(f"'/' could start a division or regexp: {quoted(text[at : at + 32])}"), len(text)


def _js_brace(context: Context, sign: str, at: int) -> tuple[Context, int]:
    after = replace(context, js_slash="jsCtxRegexp")
    if not context.braces:
        return after, at + 1
    *outer, depth = context.braces
    if sign == "{":
        return replace(after, braces=(*outer, depth + 1)), at + 1
    if depth > 0:
        return replace(after, braces=(*outer, depth - 1)), at + 1
    return replace(context, braces=tuple(outer), state="stateJSTmplLit"), at + 1


def _js_template(context: Context, text: str) -> tuple[Context, int]:
    at = 0
    while match := _JS_TEMPLATE.search(text, at):
        at = match.end()
        if match[0] == "\\":
            at += 1
            if at > len(text):
                return _unfinished("JS", text)
        elif match[0] == "`":
            return replace(context, state="stateJS"), at
        elif text.startswith("{", at):
            return replace(context, state="stateJS", braces=(*context.braces, 0)), at + 1
    return context, len(text)


def _unfinished(language: str, text: str) -> tuple[Context, int]:
    return wrong(f"unfinished escape sequence in {language} string: {quoted(text)}"), len(text)


def _js_delimited(context: Context, text: str) -> tuple[Context, int]:
    at, in_set = 0, False
    while match := _JS_DELIMITED[context.state].search(text, at):
        start, at = match.start(), match.end()
        if match[0] == "\\":
            at += 1
            if at > len(text):
                return _unfinished("JS", text)
        elif match[0] in "[]":
            in_set = match[0] == "["
        elif match[0] == "/" and start and text[start - 1 : start + 7].lower() == "</script":
            at += 1
        elif not in_set:
            return replace(context, state="stateJS", js_slash="jsCtxDivOp"), at
    if in_set:
        return wrong(f"unfinished JS regexp charset: {quoted(text)}"), len(text)
    return context, len(text)


def _block_comment(context: Context, text: str) -> tuple[Context, int]:
    end = text.find("*/")
    if end < 0:
        return context, len(text)
    return replace(context, state="stateJS" if context.state == "stateJSBlockCmt" else "stateCSS"), end + 2


def _line_comment(context: Context, text: str) -> tuple[Context, int]:
    is_css = context.state == "stateCSSLineCmt"
    match = (_CSS_LINE_END if is_css else _JS_LINE_END).search(text)
    if match is None:
        return context, len(text)
    return replace(context, state="stateCSS" if is_css else "stateJS"), match.start()


def _css(context: Context, text: str) -> tuple[Context, int]:
    at = 0
    while match := _CSS_SPECIAL.search(text, at):
        start, at = match.start(), match.end()
        if match[0] in "\"'":
            return replace(context, state="stateCSSDqStr" if match[0] == '"' else "stateCSSSqStr"), at
        if match[0] == "/":
            if text[at : at + 1] in ("/", "*"):
                state = "stateCSSLineCmt" if text[at] == "/" else "stateCSSBlockCmt"
                return replace(context, state=state), at + 1
        elif ends_with_url(text[:start].rstrip("\t\n\f\r ")):
            inner = _spaces(text, at)
            state = {'"': "stateCSSDqURL", "'": "stateCSSSqURL"}.get(text[inner : inner + 1], "stateCSSURL")
            return replace(context, state=state), inner + (state != "stateCSSURL")
    return context, len(text)


def _css_string(context: Context, text: str) -> tuple[Context, int]:
    at = 0
    while match := _CSS_ENDS[context.state].search(text, at):
        end = match.end()
        if match[0] != "\\":
            return replace(context, state="stateCSS"), end
        end += 1
        if end > len(text):
            return _unfinished("CSS", text)
        context, _ = _url(context, css_decoded(text[:end]))
        at = end
    context, _ = _url(context, css_decoded(text[at:]))
    return context, len(text)


TRANSITIONS: dict[str, Transition] = {
    "stateText": _text,
    "stateTag": _tag,
    "stateAttrName": _in_attribute_name,
    "stateAfterName": _after_name,
    "stateBeforeValue": _before_value,
    "stateHTMLCmt": _html_comment,
    "stateRCDATA": special_tag_end,
    "stateAttr": _stays,
    "stateURL": _url,
    "stateSrcset": _url,
    "stateMetaContent": _meta_content,
    "stateMetaContentURL": _meta_content_url,
    "stateJS": _js,
    **dict.fromkeys(_JS_DELIMITED, _js_delimited),
    "stateJSTmplLit": _js_template,
    "stateJSBlockCmt": _block_comment,
    "stateJSLineCmt": _line_comment,
    "stateJSHTMLOpenCmt": _line_comment,
    "stateJSHTMLCloseCmt": _line_comment,
    "stateCSS": _css,
    **dict.fromkeys(_CSS_ENDS, _css_string),
    "stateCSSBlockCmt": _block_comment,
    "stateCSSLineCmt": _line_comment,
    "stateError": _stays,
}
