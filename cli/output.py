"""What commands print: for people with Rich, for programs as one JSON object a line."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from bus.escape import escaped

Part = str | tuple[str, str]
"""A text, or a text and its style."""

_SPACES = re.compile(r"\r\n|\n|\t")


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

    def line(self, *parts: Part) -> None:
        """A line for people. Nothing in a text is taken for markup."""
        if self._as_json or self._quiet:
            return
        shown = [(printable(part), "") if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts]
        self._console.print(Text.assemble(*shown), soft_wrap=True)

    def text(self, text: str, *, behind: str = "") -> None:
        """Text for people as it comes: its lines are kept, and the last one is not ended.

        Args:
            behind: the character that was shown before it.
        """
        if not self._as_json and not self._quiet:
            print(_lines(behind + text).removeprefix(_lines(behind)), end="", flush=True)

    def record(self, /, **fields: object) -> None:
        """A line for programs: one JSON object."""
        if self._as_json and not self._quiet:
            print(json.dumps(fields), flush=True)


def say(console: Console, message: str, style: str = "") -> None:
    """A line for people beside the output. Nothing in it is taken for markup."""
    console.print(Text(printable(message), style), soft_wrap=True)


def show_error(message: str) -> None:
    """Say on standard error what went wrong."""
    text = Text.assemble(("error: ", "bold red"), printable(message))
    with suppress(SystemExit):  # how Rich says that nobody reads
        Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def show_warning(message: str) -> None:
    """Say on standard error what is unwise, though it works."""
    text = Text.assemble(("warning: ", "bold yellow"), printable(message))
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def show_note(message: str) -> None:
    """Say something on standard error that is not an error, below what the terminal echoed for Ctrl+C."""
    console = Console(stderr=True, highlight=False)
    with suppress(SystemExit):
        if console.is_terminal:
            console.print()
        console.print(Text(printable(message)), soft_wrap=True)
