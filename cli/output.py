"""What commands print: for people with Rich, for programs as one JSON object a line."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from bus.escape import escaped

Part = str | tuple[str, str]
"""A text, or a text and its style."""

_SPACES = re.compile(r"\r\n|\n|\t")
_TO_BE_TYPED = re.compile(r"'busctl [^']*'")
_UNBROKEN = "\N{NO-BREAK SPACE}"


def printable(text: str) -> str:
    """`text` on one line, safe to show on a terminal: breaks and tabs are spaces, and what is not seen is escaped."""
    return escaped(_SPACES.sub(" ", text))


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, length: int = 200) -> str:
    """`text`, safe to show, cut to at most `length` characters."""
    shown = printable(text[: length + 1])
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def room() -> int | None:
    """How many columns a line on standard output may take; None where everything is shown whole.

    That is the width of a terminal, or $COLUMNS. A pipe or a file has none, unless $COLUMNS is set together with what
    makes Rich take it for a terminal, such as $FORCE_COLOR.
    """
    wanted = int(os.environ.get("COLUMNS", 0))
    if not sys.stdout.isatty():
        return wanted or None if Console().is_terminal else None
    with suppress(OSError):
        return wanted or os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return wanted or 80


class Output:
    """Where one command prints.

    Args:
        as_json: `record` prints and `line` does not.
        quiet: neither prints. Errors are always shown, on standard error.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._console = Console(highlight=False)

    def line(self, *parts: Part, indent: int = 0) -> None:
        """A line for people. Nothing in a text is taken for markup.

        Args:
            indent: the column below which a terminal goes on with what is too long for one line; 0 for no matter where.
        """
        if self._as_json or self._quiet:
            return
        shown = [(printable(part), "") if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts]
        text = Text.assemble(*shown)
        if indent and self._console.is_terminal:
            begun, left = text[:indent], max(1, self._console.width - indent)
            lines = text[indent:].wrap(self._console, left)
            text = Text("\n" + " " * indent).join(lines)
            text = Text.assemble(begun, text)
        self._console.print(text, soft_wrap=True)

    def text(self, text: str, *, behind: str = "") -> None:
        """Text for people as it comes: its lines are kept, and the last one is not ended.

        Args:
            behind: the character that was shown before it.
        """
        if not self._as_json and not self._quiet:
            print(_lines(behind + text).removeprefix(_lines(behind)), end="", flush=True)

    def note(self, message: str) -> None:
        """A line for people that is no part of the result, on standard error."""
        if not self._as_json and not self._quiet:
            say(Console(stderr=True, highlight=False), message, "dim")

    def record(self, /, **fields: object) -> None:
        """A line for programs: one JSON object."""
        if self._as_json and not self._quiet:
            print(json.dumps(fields), flush=True)


def say(console: Console, message: str, style: str = "") -> None:
    """A line for people beside the output. Nothing in it is taken for markup."""
    _print(console, Text(style=style), message)


def show_error(message: str, *, below: Sequence[str] = ()) -> None:
    """Say on standard error what went wrong.

    Args:
        below: lines that follow.
    """
    console = Console(stderr=True, highlight=False)
    with suppress(SystemExit):  # how Rich says that nobody reads
        _print(console, Text("error: ", "bold red"), message)
        for line in below:
            _print(console, Text("  "), line, indent="  ")


def show_warning(message: str) -> None:
    """Say on standard error what is unwise, though it works."""
    _print(Console(stderr=True, highlight=False), Text("warning: ", "bold yellow"), message)


def show_note(message: str) -> None:
    """Say something on standard error that is not an error, below what the terminal echoed for Ctrl+C."""
    console = Console(stderr=True, highlight=False)
    with suppress(SystemExit):
        if console.is_terminal:
            console.print()
        _print(console, Text(), message)


def _print(console: Console, begun: Text, message: str, indent: str = "") -> None:
    """Print a line that has begun; in a terminal broken between words, but not within a command that is to be typed."""
    text = printable(message)
    if console.is_terminal:
        kept = _TO_BE_TYPED.sub(lambda command: command[0].replace(" ", _UNBROKEN), text)
        lines = textwrap.TextWrapper(console.width, break_long_words=False, break_on_hyphens=False)
        lines.initial_indent, lines.subsequent_indent = "." * len(begun), indent
        text = lines.fill(kept)[len(begun) :].replace(_UNBROKEN, " ")
    style = "" if begun.plain else begun.style
    console.print(Text.assemble(begun, (text, style)), soft_wrap=True)
