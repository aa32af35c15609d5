"""Go's fmt over the values of templates: Sprint and Sprintln, and each verb."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.gotemplate.errors import TooLong
from app.gotemplate.floats import Form, format_float
from app.gotemplate.meter import charge
from app.gotemplate.objects import fields_of, text_method
from app.gotemplate.quoting import printable, quoted
from app.gotemplate.values import INVALID, GoType, as_bytes, type_of

MOST_CHARACTERS = 4 << 20
_CHARGED = 256
# what one part costs in steps
_PART = 3
WIDEST = 1_000_000
_STRINGABLE = frozenset("vsxXq")
_FLOAT_VERBS = {"v": ("g", -1), "F": ("f", 6), "f": ("f", 6), "e": ("e", 6), "E": ("E", 6), "g": ("g", -1),
                "G": ("G", -1), "x": ("x", -1), "X": ("X", -1), "b": ("b", -1)}  # fmt: skip
_BASES = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}


@dataclass(frozen=True, slots=True)
class Flags:
    """How a verb is to print; `plus_v` and `sharp_v` are the flags of %+v and %#v."""

    plus: bool = False
    minus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    plus_v: bool = False
    sharp_v: bool = False
    width: int | None = None
    precision: int | None = None


PLAIN = Flags()


def sprint(values: Sequence[object]) -> str:
    """Values side by side, a space between two of which neither is a string. Raises TooLong."""
    if len(values) == 1:
        return text_of(values[0])
    printer = Printer()
    before_is_string = False
    for at, value in enumerate(values):
        is_string = value is not None and value is not INVALID and type_of(value).kind == "string"
        if at and not is_string and not before_is_string:
            printer.write(" ")
        printer.argument(value, "v", PLAIN)
        before_is_string = is_string
    return printer.text()


def text_of(value: object) -> str:
    """One value as `{{.}}` and `%v` print it. Raises TooLong."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]  # it is one
    if kind is int:
        return str(value)
    printer = Printer()
    printer.argument(value, "v", PLAIN)
    return printer.text()


def shown(value: object) -> str:
    """One value as `{{.}}` prints it: text_of, but for a pointer what it points to. Raises TooLong."""
    if type(value) in (str, int) or type_of(value).kind != "ptr":
        return text_of(value)
    printer = Printer()
    printer.argument(value, "v", PLAIN, pointed=True)
    return printer.text()


def sprintln(values: Sequence[object]) -> str:
    """Values with spaces between, and a line feed. Raises TooLong."""
    return " ".join(text_of(value) for value in values) + "\n"


class Printer:
    """Texts of values, one behind the other."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._erring = False

    def text(self) -> str:
        """What was written."""
        charge(len(self._parts) % _CHARGED * _PART)
        return "".join(self._parts)

    def write(self, text: str) -> None:
        """Puts a text behind what was written. Raises TooLong."""
        self._size += len(text)
        if self._size > MOST_CHARACTERS:
            raise TooLong
        self._parts.append(text)
        if not len(self._parts) % _CHARGED:
            charge(_CHARGED * _PART)

    def _pad(self, text: str, flags: Flags) -> None:
        if flags.width is not None and flags.width > len(text):
            if flags.width > MOST_CHARACTERS:
                raise TooLong
            text = text.ljust(flags.width) if flags.minus else text.rjust(flags.width, "0" if flags.zero else " ")
        self.write(text)

    def typed(self, value: object) -> None:
        """`type=value`, as a wrong verb shows it."""
        if value is None or value is INVALID:
            self.write("<nil>")
        else:
            self.write(f"{type_of(value)}=")
            self.argument(value, "v", PLAIN)

    def _bad(self, value: object, verb: str, flags: Flags) -> None:
        self._erring = True
        self.write(f"%!{verb}(")
        if value is None or value is INVALID:
            self.write("<nil>")
        else:
            self.write(f"{type_of(value)}=")
            self.argument(value, "v", flags)
        self.write(")")
        self._erring = False

    def argument(self, value: object, verb: str, flags: Flags, depth: int = 0, *, pointed: bool = False) -> None:
        """One value by a verb; `pointed` is for a pointer of which the structure is to be shown."""
        if value is None or value is INVALID:
            if depth:
                self.write("interface {}(nil)" if flags.sharp_v else "<nil>")
            elif verb in "vT":
                self._pad("<nil>", flags)
            else:
                self._bad(None, verb, flags)
            return
        if verb == "T" and not depth:
            self._string(str(type_of(value)), "s", flags, value)
            return
        if verb == "w":
            self._bad(value, verb, flags)
            return
        if type(value) is not str and not self._erring and not flags.sharp_v and verb in _STRINGABLE:
            method = text_method(value)
            if method is not None:
                self._string(method(), verb, flags, value)
                return
        if pointed:
            self._struct(value, type_of(value).element or type_of(value), verb, flags, depth)
        else:
            self._by_kind(value, verb, flags, depth)

    def _by_kind(self, value: object, verb: str, flags: Flags, depth: int) -> None:
        go_type = type_of(value)
        match go_type.kind:
            case "bool":
                if verb in "tv":
                    self._pad("true" if value else "false", flags)
                else:
                    self._bad(value, verb, flags)
            case "int" | "uint":
                self._integer(_whole(value), value, verb, flags, unsigned=go_type.kind == "uint")
            case "float":
                assert isinstance(value, float)
                self._float(value, value, verb, flags)
            case "complex":
                assert isinstance(value, complex)
                self._complex(value, verb, flags)
            case "string":
                assert isinstance(value, str)
                self._string(value, verb, flags, value)
            case "map":
                assert isinstance(value, Mapping)
                self._map(value, go_type, verb, flags, depth)
            case "slice":
                assert isinstance(value, Sequence)
                self._sequence(value, go_type, verb, flags, depth)
            case "struct":
                self._struct(value, go_type, verb, flags, depth)
            case "ptr":
                self._pointer(value, go_type, verb, flags, depth)
            case _:
                self._pad(f"0x{id(value):x}", flags)

    def _pointer(self, value: object, go_type: GoType, verb: str, flags: Flags, depth: int) -> None:
        element = go_type.element
        if depth or element is None or element.kind not in ("struct", "map", "slice"):
            self._pad(f"0x{id(value):x}", flags)
            return
        self.write("&")
        self._struct(value, element, verb, flags, depth)

    def _map(self, value: Mapping[object, object], go_type: GoType, verb: str, flags: Flags, depth: int) -> None:
        self.write(f"{go_type}{{" if flags.sharp_v else "map[")
        for at, key in enumerate(sorted_keys(value)):
            if at:
                self.write(", " if flags.sharp_v else " ")
            self.argument(key, verb, flags, depth + 1)
            self.write(":")
            self.argument(value[key], verb, flags, depth + 1)
        self.write("}" if flags.sharp_v else "]")

    def _sequence(self, value: Sequence[object], go_type: GoType, verb: str, flags: Flags, depth: int) -> None:
        self.write(f"{go_type}{{" if flags.sharp_v else "[")
        for at, item in enumerate(value):
            if at:
                self.write(", " if flags.sharp_v else " ")
            self.argument(item, verb, flags, depth + 1)
        self.write("}" if flags.sharp_v else "]")

    def _struct(self, value: object, go_type: GoType, verb: str, flags: Flags, depth: int) -> None:
        self.write(f"{go_type}{{" if flags.sharp_v else "{")
        for at, (name, item) in enumerate(fields_of(value)):
            if at:
                self.write(", " if flags.sharp_v else " ")
            if flags.plus_v or flags.sharp_v:
                self.write(f"{name}:")
            self.argument(item, verb, flags, depth + 1)
        self.write("}")

    def _integer(self, number: int, value: object, verb: str, flags: Flags, *, unsigned: bool = False) -> None:
        if verb in _BASES:
            if verb == "v" and flags.sharp_v and unsigned:
                verb, flags = "x", replace(flags, sharp=True)
            self._based(number, verb, flags)
        elif verb == "c":
            self._pad(chr(number) if _is_rune(number) else "\ufffd", flags)
        elif verb == "q":
            character = chr(number) if _is_rune(number) else "\ufffd"
            self._pad(quoted(character, "'", ascii_only=flags.plus), flags)
        elif verb == "U":
            code = f"U+{number % 2**64:0{max(4, flags.precision or 0)}X}"
            if flags.sharp and _is_rune(number) and printable(chr(number)):
                code += f" '{chr(number)}'"
            self._pad(code, replace(flags, zero=False))
        else:
            self._bad(value, verb, flags)

    def _based(self, number: int, verb: str, flags: Flags) -> None:
        digits = f"{abs(number):{_BASES[verb]}}"
        sign = "-" if number < 0 else "+" if flags.plus else " " if flags.space else ""
        zero = flags.zero and not flags.minus
        if flags.precision is not None:
            if flags.precision == 0 and number == 0:
                self.write(" " * (flags.width or 0))
                return
            digits = digits.rjust(min(flags.precision, WIDEST), "0")
        elif zero and flags.width:
            digits = digits.rjust(flags.width - len(sign), "0")
        prefix = ""
        if flags.sharp:
            prefix = {"b": "0b", "x": "0x", "X": "0X"}.get(verb, "")
            if verb in "oO" and digits[0] != "0":
                prefix = "0"
        if verb == "O":
            prefix = "0o" + prefix
        self._pad(sign + prefix + digits, replace(flags, zero=False))

    def _float(self, number: float, value: object, verb: str, flags: Flags) -> None:
        if verb not in _FLOAT_VERBS:
            self._bad(value, verb, flags)
            return
        form, precision = _FLOAT_VERBS[verb]
        if flags.precision is not None:
            precision = flags.precision
        text = format_float(number, _form(form), precision)
        sign = text[0] if text[0] in "+-" else "+"
        digits = text.lstrip("+-")
        finite = digits not in ("Inf", "NaN")
        if flags.sharp and verb != "b" and finite:
            digits = _with_all_digits(digits, form, precision)
        if not finite:
            flags = replace(flags, zero=False)
            shown = sign if sign == "-" or flags.plus or digits == "Inf" else " " if flags.space else ""
            if digits == "Inf" and sign == "+" and flags.space and not flags.plus:
                shown = " "
            if digits == "NaN" and not flags.plus and not flags.space:
                shown = ""
            self._pad(shown + digits, flags)
            return
        shown = sign if sign == "-" or flags.plus else " " if flags.space else ""
        if flags.zero and not flags.minus and flags.width and shown:
            self.write(shown + digits.rjust(flags.width - 1, "0"))
        else:
            self._pad(shown + digits, flags)

    def _complex(self, value: complex, verb: str, flags: Flags) -> None:
        if verb not in _FLOAT_VERBS:
            self._bad(value, verb, flags)
            return
        self.write("(")
        self._float(value.real, value, verb, flags)
        self._float(value.imag, value, verb, replace(flags, plus=True))
        self.write("i)")

    def _string(self, text: str, verb: str, flags: Flags, value: object) -> None:
        if verb == "v" and flags.sharp_v:
            verb = "q"
        if verb in "vs":
            self._pad(text if flags.precision is None else text[: flags.precision], flags)
        elif verb == "q":
            text = text if flags.precision is None else text[: flags.precision]
            if flags.sharp and "`" not in text and all(c == "\t" or c.isprintable() for c in text):
                self._pad(f"`{text}`", flags)
            else:
                self._pad(quoted(text, ascii_only=flags.plus), flags)
        elif verb in "xX":
            data = as_bytes(text)
            if flags.precision is not None:
                data = data[: flags.precision]
            self._pad(_hex(data, verb, flags), flags)
        else:
            self._bad(value, verb, flags)


def _form(form: str) -> Form:
    return form  # type: ignore[return-value]  # one of _FLOAT_VERBS


def _hex(data: bytes, verb: str, flags: Flags) -> str:
    prefix = f"0{verb}" if flags.sharp and data else ""
    text = " ".join(prefix + f"{byte:02x}" for byte in data) if flags.space else prefix + data.hex()
    return text.upper() if verb == "X" else text


def _with_all_digits(text: str, form: str, precision: int) -> str:
    """What the sharp flag of floats keeps: the point, and with %g the zeros at the end."""
    mark = re.search("[pP]" if form in "xX" else "[eE]", text)
    body, tail = (text[: mark.start()], text[mark.start() :]) if mark else (text, "")
    wanted = 0
    if form in "gG":
        wanted = 6 if precision < 0 else precision
        plain = body.replace(".", "")
        wanted -= len(plain.lstrip("0")) or (1 if body == "0" else 0)
    elif form == "x":
        # Go counts the x among the digits
        wanted = (6 if precision < 0 else precision) - len(body.replace(".", "")[1:])
    if "." not in body:
        body += "."
    return body + "0" * max(0, wanted) + tail


def _is_rune(number: int) -> bool:
    return 0 <= number <= 0x10FFFF and not 0xD800 <= number < 0xE000


def _whole(value: object) -> int:
    if isinstance(value, timedelta):
        return (value // timedelta(microseconds=1)) * 1000
    assert isinstance(value, int)
    return int(value)


def sorted_keys(value: Mapping[object, object]) -> list[object]:
    """A map's keys in the order Go prints and ranges over them."""
    charge(len(value))
    return sorted(value, key=_rank)


def _rank(key: object) -> tuple[str, Any]:
    return ("", as_bytes(key)) if isinstance(key, str) else (type_of(key).name, key)
