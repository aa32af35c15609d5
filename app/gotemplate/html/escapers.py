"""The functions that html/template puts behind a pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from app.gotemplate.calls import Function, Signature
from app.gotemplate.errors import CallError
from app.gotemplate.html.attributes import attribute_type
from app.gotemplate.html.context import IN_TAG, Context
from app.gotemplate.html.css import css_escaped, css_value
from app.gotemplate.html.transitions import TRANSITIONS, value_end
from app.gotemplate.html.types import HTML, URL
from app.gotemplate.jsontext import json_of
from app.gotemplate.objects import text_method
from app.gotemplate.printing import sprint
from app.gotemplate.times import Time
from app.gotemplate.values import ANY, as_bytes, is_nil

FAILSAFE = "ZgotmplZ"
_HTML = {"\0": "\ufffd", '"': "&#34;", "&": "&amp;", "'": "&#39;", "+": "&#43;", "<": "&lt;", ">": "&gt;"}
_SPACED = {sign: f"&#{ord(sign)};" for sign in "\t\n\v\f\r =`"}
_UNQUOTED = {**_HTML, "\0": "&#xfffd;", **_SPACED}
_UNCLEAN = re.compile("[\ufdd0-\ufdef\ufff0-\uffff]")
_JS_LOW = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {"\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_JS_STRING = _JS_LOW | {sign: f"\\u{ord(sign):04x}" for sign in "\"`&'+<>\u2028\u2029"} | {"/": "\\/", "\\": "\\\\"}
_JS_TEMPLATE = _JS_STRING | {sign: f"\\u{ord(sign):04x}" for sign in "${}"}
_JS_REGEXP = {key: value for key, value in _JS_STRING.items() if key != "`"} | {
    sign: "\\" + sign for sign in "$()*-.?[]^{|}"
}
_IDENTIFIER = re.compile(r"[$A-Za-z0-9_]")
_SCRIPT_TAG = re.compile("<(/?)script", re.IGNORECASE)
_KEPT = frozenset(b"-._~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_RESERVED = frozenset(b"!#$&*+,/:;=?@[]")
_ESCAPED_BYTE = re.compile(rb"[0-9a-fA-F]{2}")
_METADATA = re.compile(r"[\t\n\f\r a-zA-Z0-9]*\Z")
_PART = re.compile(r"([\t\n\f\r ]*)([^\t\n\f\r ]*)(.*)\Z", re.DOTALL)


def _table(replacements: Mapping[str, str]) -> tuple[re.Pattern[str], Mapping[str, str]]:
    return re.compile("[" + "".join(map(re.escape, replacements)) + "]"), replacements


def _without(replacements: Mapping[str, str], sign: str) -> Mapping[str, str]:
    return {key: value for key, value in replacements.items() if key != sign}


_HTML_TABLE = _table(_HTML)
_HTML_NORM_TABLE = _table(_without(_HTML, "&"))
_UNQUOTED_TABLE = _table(_UNQUOTED)
_UNQUOTED_NORM_TABLE = _table(_without(_UNQUOTED, "&"))
_STRING_TABLE = _table(_JS_STRING)
_TEMPLATE_TABLE = _table(_JS_TEMPLATE)
_REGEXP_TABLE = _table(_JS_REGEXP)


def _replaced(text: str, table: tuple[re.Pattern[str], Mapping[str, str]]) -> str:
    pattern, replacements = table
    return pattern.sub(lambda match: replacements[match[0]], text)


def _text_of(values: tuple[object, ...]) -> str:
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return sprint([value for value in values if not is_nil(value)])


def html_escaper(*values: object) -> str:
    """For HTML's text."""
    text = _text_of(values)
    return text if isinstance(text, HTML) else _replaced(text, _HTML_TABLE)


def attribute_escaper(*values: object) -> str:
    """For a quoted attribute."""
    text = _text_of(values)
    if isinstance(text, HTML):
        return _replaced(without_tags(text), _HTML_NORM_TABLE)
    return _replaced(text, _HTML_TABLE)


def rcdata_escaper(*values: object) -> str:
    """For the content of title and textarea."""
    text = _text_of(values)
    return _replaced(text, _HTML_NORM_TABLE if isinstance(text, HTML) else _HTML_TABLE)


def unquoted_escaper(*values: object) -> str:
    """For an attribute without quotes."""
    text = _text_of(values)
    if text == "":
        return FAILSAFE
    if isinstance(text, HTML):
        made = _replaced(without_tags(text), _UNQUOTED_NORM_TABLE)
    else:
        made = _replaced(text, _UNQUOTED_TABLE)
    return _UNCLEAN.sub(lambda match: f"&#x{ord(match[0]):x};", made)


def comment_escaper(*values: object) -> str:
    """For a comment: nothing."""
    return ""


def name_filter(*values: object) -> str:
    """For the name of an attribute or tag."""
    text = _text_of(values).lower()
    if not text or attribute_type(text) != "plain" or not (text.isascii() and text.isalnum()):
        return FAILSAFE
    return text


def url_filter(*values: object) -> str:
    """For the beginning of a URL, whose scheme must be harmless."""
    text = _text_of(values)
    return text if isinstance(text, URL) or _is_safe(text) else f"#{FAILSAFE}"


def _is_safe(url: str) -> bool:
    scheme, colon, _ = url.partition(":")
    return not colon or "/" in scheme or scheme.lower() in ("http", "https", "mailto")


def url_escaper(*values: object) -> str:
    """For a URL's query."""
    text = _text_of(values)
    return _url(text, normalize=isinstance(text, URL))


def url_normalizer(*values: object) -> str:
    """For a URL: what is no part of one is escaped."""
    return _url(_text_of(values), normalize=True)


def _url(text: str, *, normalize: bool) -> str:
    data = as_bytes(text)
    parts: list[str] = []
    for at, byte in enumerate(data):
        kept = byte in _KEPT or (
            normalize and (byte in _RESERVED or (byte == 0x25 and _ESCAPED_BYTE.match(data, at + 1) is not None))
        )
        parts.append(chr(byte) if kept else f"%{byte:02x}")
    return "".join(parts)


def srcset_escaper(*values: object) -> str:
    """For a srcset: URLs with their sizes."""
    text = _text_of(values)
    if isinstance(text, URL):
        return _url(text, normalize=True).replace(",", "%2c")
    return ",".join(map(_image, text.split(",")))


def _image(part: str) -> str:
    match = _PART.match(part)
    if match is None or not _is_safe(match[2]) or not _METADATA.match(match[3]):
        return f"#{FAILSAFE}"
    return match[1] + _url(match[2], normalize=True) + match[3]


def css_escaper(*values: object) -> str:
    """For a string in CSS."""
    return css_escaped(_text_of(values))


def css_filter(*values: object) -> str:
    """For a value in CSS."""
    found = css_value(_text_of(values))
    return FAILSAFE if found is None else found


def js_string_escaper(*values: object) -> str:
    """For a string in JavaScript."""
    return _replaced(_text_of(values), _STRING_TABLE)


def js_template_escaper(*values: object) -> str:
    """For a template literal in JavaScript."""
    return _replaced(_text_of(values), _TEMPLATE_TABLE)


def js_regexp_escaper(*values: object) -> str:
    """For a regular expression in JavaScript."""
    return _replaced(_text_of(values), _REGEXP_TABLE) or "(?:)"


def js_value_escaper(*values: object) -> str:
    """For an expression in JavaScript: JSON."""
    value: object = values[0] if len(values) == 1 else sprint(values)
    if not isinstance(value, str | Time | datetime):
        method = text_method(value)
        value = method() if method is not None else value
    try:
        made = json_of(value)
    except CallError as problem:
        said = _SCRIPT_TAG.sub(r"\\x3C\1script", str(problem)).replace("*/", "* /").replace("<!--", "\\x3C!--")
        return f" /* {said} */null "
    return f" {made} " if _IDENTIFIER.match(made) or _IDENTIFIER.match(made[-1]) else made


def without_tags(text: str) -> str:
    """The text of some HTML."""
    parts: list[str] = []
    context, at, all_text = Context(), 0, True
    while at < len(text):
        if context.delim != "delimNone":
            end = value_end(context.delim, text, at)
            if end < 0:
                break
            at = end + (context.delim != "delimSpaceOrTagEnd")
            context = Context(state="stateTag", element=context.element)
            continue
        raw = context.element != "elementNone" and context.state not in IN_TAG
        after, read = TRANSITIONS["stateRCDATA" if raw else context.state](context, text[at:])
        end = at + read
        if context.state in ("stateText", "stateRCDATA"):
            kept = text.rfind("<", at, end) if after.state != context.state else -1
            parts.append(text[at : end if kept < 0 else kept])
        else:
            all_text = False
        context, at = after, end
    if all_text:
        return text
    if context.state in ("stateText", "stateRCDATA"):
        parts.append(text[at:])
    return "".join(parts)


def _escaper(escape: Callable[..., str]) -> Function:
    return Function(escape, Signature((), ANY), builtin=True)


ESCAPERS: Mapping[str, Function] = {
    "_html_template_attrescaper": _escaper(attribute_escaper),
    "_html_template_commentescaper": _escaper(comment_escaper),
    "_html_template_cssescaper": _escaper(css_escaper),
    "_html_template_cssvaluefilter": _escaper(css_filter),
    "_html_template_htmlnamefilter": _escaper(name_filter),
    "_html_template_htmlescaper": _escaper(html_escaper),
    "_html_template_jsregexpescaper": _escaper(js_regexp_escaper),
    "_html_template_jsstrescaper": _escaper(js_string_escaper),
    "_html_template_jstmpllitescaper": _escaper(js_template_escaper),
    "_html_template_jsvalescaper": _escaper(js_value_escaper),
    "_html_template_nospaceescaper": _escaper(unquoted_escaper),
    "_html_template_rcdataescaper": _escaper(rcdata_escaper),
    "_html_template_srcsetescaper": _escaper(srcset_escaper),
    "_html_template_urlescaper": _escaper(url_escaper),
    "_html_template_urlfilter": _escaper(url_filter),
    "_html_template_urlnormalizer": _escaper(url_normalizer),
    "_eval_args_": _escaper(lambda *values: sprint(values)),
}
