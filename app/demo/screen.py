"""What the demo prints: every line with the seconds since the start; boxes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.panel import Panel
from rich.text import Text


class Screen:
    """Prints what happens. Text is printed as it is; nothing in it is taken for markup."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, text: str, style: str = "") -> None:
        """A line, or several."""
        stamp = f"{self.elapsed_s:6.1f} s  "
        first, *rest = text.splitlines() or [""]
        self._line(stamp, first, style)
        for line in rest:
            self._line(" " * len(stamp), line, style)

    def box(self, title: str, text: str, style: str) -> None:
        """A message in a frame."""
        if self._console.is_terminal:
            self._console.print(Panel(Text(text), title=Text(title), title_align="left", border_style=style))
            return
        self.say(title)
        for line in text.splitlines():
            self._line("", f"    | {line}", "")

    def _line(self, stamp: str, text: str, style: str) -> None:
        # never broken here: a command must stay one line to be copied
        self._console.print(Text.assemble((stamp, "dim"), (text, style)), soft_wrap=True)
        self._console.file.flush()
