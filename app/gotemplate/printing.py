"""Go's fmt: Sprint, Sprintln and Sprintf over the values of templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.gotemplate.errors import TooLong
from app.gotemplate.floats import Form, format_float
from app.gotemplate.objects import fields_of, text_method
from app.gotemplate.quoting import printable, quoted
from app.gotemplate.values import INVALID, GoType, as_bytes, type_of

MOST_CHARACTERS = 8 << 20
_WIDEST = 1_000_000
_SPEC = re.compile(r"%([-+# 0]*)", re.ASCII)
_STRINGABLE = frozenset("vsxXq")
_FLOAT_VERBS = {"v": ("g", -1), "F": ("f", 6), "f": ("f", 6), "e": ("e", 6), "E": ("E", 6), "g": ("g", -1),
                "G": ("G", -1), "x": ("x", -1), "X": ("X", -1), "b": ("b", -1)}  # fmt: skip
_BASES = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}


@dataclass(frozen=True, slots=True)
class _Flags:
    plus: bool = False
    minus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    plus_v: bool = False
    sharp_v: bool = False
    width: int | None = None
    precision: int | None = None


_PLAIN = _Flags()


def sprint(values: Sequence[object]) -> str:
    """Values side by side, a space between two of which neither is a string. Raises TooLong."""
    if len(values) == 1:
        return text_of(values[0])
    printer = _Printer()
    before_is_string = False
    for at, value in enumerate(values):
        is_string = value is not None and value is not INVALID and type_of(value).kind == "string"
        if at and not is_string and not before_is_string:
            printer.write(" ")
        printer.argument(value, "v", _PLAIN)
        before_is_string = is_string
    return printer.text()


def text_of(value: object) -> str:
    """One value as `{{.}}` and `%v` print it. Raises TooLong."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]  # it is one
    if kind is int:
        return str(value)
    printer = _Printer()
    printer.argument(value, "v", _PLAIN)
    return printer.text()


def shown(value: object) -> str:
    """One value as `{{.}}` prints it: text_of, but for a pointer what it points to. Raises TooLong."""
    if type(value) in (str, int) or type_of(value).kind != "ptr":
        return text_of(value)
    printer = _Printer()
    printer.argument(value, "v", _PLAIN, pointed=True)
    return printer.text()


def sprintln(values: Sequence[object]) -> str:
    """Values with spaces between, and a line feed. Raises TooLong."""
    return " ".join(text_of(value) for value in values) + "\n"


def sprintf(form: str, values: Sequence[object]) -> str:
    """Values by the verbs of a format; what is wrong with it is in the text, as `%!d(string=x)`. Raises TooLong."""
    return _Formatter(form, values).text()


class _Formatter:
    def __init__(self, form: str, values: Sequence[object]) -> None:
        self._form = form
        self._values = values
        self._at = 0
        self._value = 0
        self._reordered = False
        self._good = True
        self._printer = _Printer()

    def text(self) -> str:
        form, printer = self._form, self._printer
        while self._at < len(form):
            verb = form.find("%", self._at)
            if verb < 0:
                printer.write(form[self._at :])
                break
            printer.write(form[self._at : verb])
            self._at = verb
            if not self._verb():
                printer.write("%!(NOVERB)")
                break
        rest = self._values[self._value :]
        if rest and not self._reordered:
            printer.write("%!(EXTRA ")
            for at, value in enumerate(rest):
                printer.write(", " if at else "")
                printer.typed(value)
            printer.write(")")
        return printer.text()

    def _verb(self) -> bool:
        """Prints by the verb at hand; false if the format ends before it."""
        match = _SPEC.match(self._form, self._at)
        assert match is not None
        signs, self._at, self._good = match[1], match.end(), True
        flags = _Flags("+" in signs, "-" in signs, "#" in signs, " " in signs, "0" in signs)
        after_index = self._index()
        flags, after_index = self._width(flags, after_index)
        flags, after_index = self._precision(flags, after_index)
        if not after_index:
            self._index()
        if self._at >= len(self._form):
            return False
        verb = self._form[self._at]
        self._at += 1
        if verb == "%":
            self._printer.write("%")
        elif not self._good:
            self._printer.write(f"%!{verb}(BADINDEX)")
        elif self._value >= len(self._values):
            self._printer.write(f"%!{verb}(MISSING)")
        else:
            if verb in "vw":
                flags = replace(flags, sharp_v=flags.sharp, sharp=False, plus_v=flags.plus, plus=False)
            self._printer.argument(self._values[self._value], verb, flags)
            self._value += 1
        return True

    def _index(self) -> bool:
        """Reads `[n]`."""
        if self._form[self._at : self._at + 1] != "[":
            return False
        self._reordered = True
        end = self._form.find("]", self._at)
        if end < 0 or len(self._form) - self._at < 3:
            self._good = False
            self._at += 1
            return False
        inner = self._form[self._at + 1 : end]
        self._at = end + 1
        digits = inner.isascii() and inner.isdigit() and len(inner) < 8
        if digits and 0 < int(inner) <= len(self._values):
            self._value = int(inner) - 1
            return True
        self._good = False
        return digits

    def _width(self, flags: _Flags, after_index: bool) -> tuple[_Flags, bool]:
        if self._form[self._at : self._at + 1] == "*":
            self._at += 1
            width = self._star()
            if width is None:
                self._printer.write("%!(BADWIDTH)")
                return flags, False
            if width < 0:
                return replace(flags, width=-width, minus=True, zero=False), False
            return replace(flags, width=width), False
        width = self._digits()
        if after_index and width is not None:
            self._good = False
        return replace(flags, width=width), after_index

    def _precision(self, flags: _Flags, after_index: bool) -> tuple[_Flags, bool]:
        if self._at + 1 >= len(self._form) or self._form[self._at] != ".":
            return flags, after_index
        self._at += 1
        if after_index:
            self._good = False
        after_index = self._index()
        if self._form[self._at : self._at + 1] == "*":
            self._at += 1
            precision = self._star()
            if precision is None or precision < 0:
                self._printer.write("%!(BADPREC)")
                return flags, False
            return replace(flags, precision=precision), False
        return replace(flags, precision=self._digits() or 0), after_index

    def _digits(self) -> int | None:
        """A number in the format; one with more digits than a width may have ends the format."""
        found = None
        while "0" <= self._form[self._at : self._at + 1] <= "9":
            if found is not None and found > _WIDEST:
                self._at = len(self._form)
                return None
            found = (found or 0) * 10 + int(self._form[self._at])
            self._at += 1
        return found

    def _star(self) -> int | None:
        if self._value >= len(self._values):
            return None
        value = self._values[self._value]
        self._value += 1
        return int(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _WIDEST else None


class _Printer:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._erring = False

    def text(self) -> str:
        return "".join(self._parts)

    def write(self, text: str) -> None:
        self._size += len(text)
        if self._size > MOST_CHARACTERS:
            raise TooLong
        self._parts.append(text)

    def _pad(self, text: str, flags: _Flags) -> None:
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
            self.argument(value, "v", _PLAIN)

    def _bad(self, value: object, verb: str, flags: _Flags) -> None:
        self._erring = True
        self.write(f"%!{verb}(")
        if value is None or value is INVALID:
            self.write("<nil>")
        else:
            self.write(f"{type_of(value)}=")
            self.argument(value, "v", flags)
        self.write(")")
        self._erring = False

    def argument(self, value: object, verb: str, flags: _Flags, depth: int = 0, *, pointed: bool = False) -> None:
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

    def _by_kind(self, value: object, verb: str, flags: _Flags, depth: int) -> None:
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

    def _pointer(self, value: object, go_type: GoType, verb: str, flags: _Flags, depth: int) -> None:
        element = go_type.element
        if depth or element is None or element.kind not in ("struct", "map", "slice"):
            self._pad(f"0x{id(value):x}", flags)
            return
        self.write("&")
        self._struct(value, element, verb, flags, depth)

    def _map(self, value: Mapping[object, object], go_type: GoType, verb: str, flags: _Flags, depth: int) -> None:
        self.write(f"{go_type}{{" if flags.sharp_v else "map[")
        for at, key in enumerate(sorted_keys(value)):
            if at:
                self.write(", " if flags.sharp_v else " ")
            self.argument(key, verb, flags, depth + 1)
            self.write(":")
            self.argument(value[key], verb, flags, depth + 1)
        self.write("}" if flags.sharp_v else "]")

    def _sequence(self, value: Sequence[object], go_type: GoType, verb: str, flags: _Flags, depth: int) -> None:
        self.write(f"{go_type}{{" if flags.sharp_v else "[")
        for at, item in enumerate(value):
            if at:
                self.write(", " if flags.sharp_v else " ")
            self.argument(item, verb, flags, depth + 1)
        self.write("}" if flags.sharp_v else "]")

    def _struct(self, value: object, go_type: GoType, verb: str, flags: _Flags, depth: int) -> None:
        self.write(f"{go_type}{{" if flags.sharp_v else "{")
        for at, (name, item) in enumerate(fields_of(value)):
            if at:
                self.write(", " if flags.sharp_v else " ")
            if flags.plus_v or flags.sharp_v:
                self.write(f"{name}:")
            self.argument(item, verb, flags, depth + 1)
        self.write("}")

    def _integer(self, number: int, value: object, verb: str, flags: _Flags, *, unsigned: bool = False) -> None:
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

    def _based(self, number: int, verb: str, flags: _Flags) -> None:
        digits = f"{abs(number):{_BASES[verb]}}"
        sign = "-" if number < 0 else "+" if flags.plus else " " if flags.space else ""
        zero = flags.zero and not flags.minus
        if flags.precision is not None:
            if flags.precision == 0 and number == 0:
                self.write(" " * (flags.width or 0))
                return
            digits = digits.rjust(min(flags.precision, _WIDEST), "0")
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

    def _float(self, number: float, value: object, verb: str, flags: _Flags) -> None:
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

    def _complex(self, value: complex, verb: str, flags: _Flags) -> None:
        if verb not in _FLOAT_VERBS:
            self._bad(value, verb, flags)
            return
        self.write("(")
        self._float(value.real, value, verb, flags)
        self._float(value.imag, value, verb, replace(flags, plus=True))
        self.write("i)")

    def _string(self, text: str, verb: str, flags: _Flags, value: object) -> None:
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


def _hex(data: bytes, verb: str, flags: _Flags) -> str:
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
    elif form in "xX":
        wanted = (6 if precision < 0 else precision) - len(body.removeprefix("0x").removeprefix("0X").replace(".", ""))
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
    return sorted(value, key=_rank)


def _rank(key: object) -> tuple[str, Any]:
    return ("", as_bytes(key)) if isinstance(key, str) else (type_of(key).name, key)
