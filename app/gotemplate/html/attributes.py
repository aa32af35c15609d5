"""What the values of HTML's attributes are: text, a URL, a style, a script, or something to keep out of."""

from __future__ import annotations

from typing import Literal

AttributeType = Literal["plain", "url", "css", "js", "html", "srcset", "unsafe"]

_URLS = (
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
)
_UNSAFE = (
    "accept-charset",
    "async",
    "challenge",
    "charset",
    "content",
    "crossorigin",
    "defer",
    "enctype",
    "form",
    "formenctype",
    "formmethod",
    "formnovalidate",
    "http-equiv",
    "keytype",
    "language",
    "method",
    "novalidate",
    "pattern",
    "rel",
    "sandbox",
    "type",
    "value",
)
_OTHERS: dict[str, AttributeType] = {"style": "css", "srcdoc": "html", "srcset": "srcset"}
# begin with "on" or have "src" or "url" in them and are texts nevertheless
_PLAIN = frozenset(("srclang",))


def attribute_type(name: str) -> AttributeType:
    """What an attribute holds, the most powerful thing it may be; `name` is in lower case."""
    if name.startswith("data-"):
        name = name[5:]
    elif ":" in name:
        prefix, _, name = name.partition(":")
        if prefix == "xmlns":
            return "url"
    if name in _URLS:
        return "url"
    if name in _UNSAFE:
        return "unsafe"
    if name in _OTHERS:
        return _OTHERS[name]
    if name in _PLAIN:
        return "plain"
    if name.startswith("on"):
        return "js"
    return "url" if any(part in name for part in ("src", "uri", "url")) else "plain"
