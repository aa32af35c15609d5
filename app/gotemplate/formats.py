"""Go's Sprintf over the values of templates: formats, with flags, widths and explicit numbers of values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from app.gotemplate.printing import WIDEST, Flags, Printer

_SPEC = re.compile(r"%([-+# 0]*)", re.ASCII)


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
        self._printer = Printer()

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
        flags = Flags("+" in signs, "-" in signs, "#" in signs, " " in signs, "0" in signs)
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

    def _width(self, flags: Flags, after_index: bool) -> tuple[Flags, bool]:
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

    def _precision(self, flags: Flags, after_index: bool) -> tuple[Flags, bool]:
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
            if found is not None and found > WIDEST:
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
        return int(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= WIDEST else None
