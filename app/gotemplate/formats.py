"""Go's Sprintf over the values of templates: formats, with flags, widths and explicit numbers of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from app.gotemplate.printing import WIDEST, Flags, Printer

STAR: Final = "*"
_SIGNS = re.compile(r"%([-+# 0]*)", re.ASCII)
Number = int | Literal["*"] | None
"""A width or precision; STAR is one that a value gives."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One verb of a format, as `text` has it; the verb is "" where the format ends before it.

    `indexes` are the numbers of values in brackets before width, precision and verb, 0 for what is no number. It is not
    `good` if a bracket stands where none may.
    """

    text: str
    verb: str
    flags: Flags
    width: Number = None
    precision: Number = None
    indexes: tuple[int | None, int | None, int | None] = (None, None, None)
    good: bool = True


@lru_cache(maxsize=512)
def pieces_of(form: str) -> tuple[str | Spec, ...]:
    """The texts and verbs of a format."""
    return tuple(_Reader(form).pieces())


def sprintf(form: str, values: Sequence[object]) -> str:
    """Values by the verbs of a format; what is wrong with it is in the text, as `%!d(string=x)`. Raises TooLong."""
    return _Formatter(values).text(form)


class _Reader:
    def __init__(self, form: str) -> None:
        self._form = form
        self._at = 0

    def pieces(self) -> Iterator[str | Spec]:
        form = self._form
        while self._at < len(form):
            verb = form.find("%", self._at)
            end = len(form) if verb < 0 else verb
            if end > self._at:
                yield form[self._at : end]
            self._at = end
            if verb >= 0:
                yield self._spec()

    def _spec(self) -> Spec:
        start = self._at
        match = _SIGNS.match(self._form, start)
        assert match is not None
        signs, self._at = match[1], match.end()
        flags = Flags("+" in signs, "-" in signs, "#" in signs, " " in signs, "0" in signs)
        before_width, before_precision, before_verb, good = self._index(), None, None, True
        indexed = bool(before_width)
        precision: Number = None
        width = self._number()
        if width == STAR:
            indexed = False
        elif indexed and width is not None:
            good = False
        if self._form[self._at : self._at + 1] == "." and self._at + 1 < len(self._form):
            self._at += 1
            good = good and not indexed
            before_precision = self._index()
            precision = self._number() or 0
            indexed = bool(before_precision) and precision != STAR
        if not indexed:
            before_verb = self._index()
        verb = self._form[self._at : self._at + 1]
        self._at += 1
        indexes = before_width, before_precision, before_verb
        return Spec(self._form[start : self._at], verb, flags, width, precision, indexes, good)

    def _index(self) -> int | None:
        """`[n]`, 0 for what is no number."""
        if self._form[self._at : self._at + 1] != "[":
            return None
        end = self._form.find("]", self._at)
        if end < 0:
            self._at += 1
            return 0
        inner = self._form[self._at + 1 : end]
        self._at = end + 1
        return int(inner) if inner.isascii() and inner.isdigit() and len(inner) < 8 else 0

    def _number(self) -> Number:
        """A star or a number; one with more digits than a width may have ends the format."""
        if self._form[self._at : self._at + 1] == "*":
            self._at += 1
            return "*"
        found = None
        while "0" <= self._form[self._at : self._at + 1] <= "9":
            if found is not None and found > WIDEST:
                self._at = len(self._form)
                return None
            found = (found or 0) * 10 + int(self._form[self._at])
            self._at += 1
        return found


class _Formatter:
    def __init__(self, values: Sequence[object]) -> None:
        self._values = values
        self._next = 0
        self._reordered = False
        self._good = True
        self._printer = Printer()

    def text(self, form: str) -> str:
        """The whole text."""
        printer = self._printer
        for piece in pieces_of(form):
            if isinstance(piece, str):
                printer.write(piece)
            else:
                self._print(piece)
        rest = self._values[self._next :]
        if rest and not self._reordered:
            printer.write("%!(EXTRA ")
            for at, value in enumerate(rest):
                printer.write(", " if at else "")
                printer.typed(value)
            printer.write(")")
        return printer.text()

    def _print(self, spec: Spec) -> None:
        self._good = spec.good
        before_width, before_precision, before_verb = spec.indexes
        self._go_to(before_width)
        flags = self._with_width(spec.flags, spec.width)
        self._go_to(before_precision)
        flags = self._with_precision(flags, spec.precision)
        self._go_to(before_verb)
        verb, printer = spec.verb, self._printer
        if not verb:
            printer.write("%!(NOVERB)")
        elif verb == "%":
            printer.write("%")
        elif not self._good:
            printer.write(f"%!{verb}(BADINDEX)")
        elif self._next >= len(self._values):
            printer.write(f"%!{verb}(MISSING)")
        else:
            if verb in "vw":
                flags = replace(flags, sharp_v=flags.sharp, sharp=False, plus_v=flags.plus, plus=False)
            printer.argument(self._values[self._next], verb, flags)
            self._next += 1

    def _go_to(self, index: int | None) -> None:
        """The value of a number, from 1, is the next."""
        if index is None:
            return
        self._reordered = True
        if 0 < index <= len(self._values):
            self._next = index - 1
        else:
            self._good = False

    def _with_width(self, flags: Flags, width: Number) -> Flags:
        if width != STAR:
            return flags if width is None else replace(flags, width=width)
        given = self._given()
        if given is None:
            self._printer.write("%!(BADWIDTH)")
            return flags
        return replace(flags, width=-given, minus=True, zero=False) if given < 0 else replace(flags, width=given)

    def _with_precision(self, flags: Flags, precision: Number) -> Flags:
        if precision != STAR:
            return flags if precision is None else replace(flags, precision=precision)
        given = self._given()
        if given is None or given < 0:
            self._printer.write("%!(BADPREC)")
            return flags
        return replace(flags, precision=given)

    def _given(self) -> int | None:
        """The next value as a width or precision."""
        if self._next >= len(self._values):
            return None
        value = self._values[self._next]
        self._next += 1
        return int(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= WIDEST else None
