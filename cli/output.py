"""What commands print: for people with Rich, for programs as one JSON object a line."""

from __future__ import annotations

import json
import sys
import unicodedata

from rich.console import Console
from rich.text import Text

# Characters that reorder the text around them could make a message look like another one.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """`text` on one line, without control characters and lone surrogates: safe to show on a terminal."""
    kept = []
    for character in text:
        if character in "\n\t":
            kept.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cs") and character not in _REORDERING:
            kept.append(character)
    return "".join(kept)


def shortened(text: str, length: int = 200) -> str:
    """`text`, safe to show, cut to at most `length` characters."""
    shown = printable(text[: length + 1])
    return shown if len(shown) <= length else shown[: length - 1] + "…"


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

    def line(self, *parts: str | tuple[str, str]) -> None:
        """A line for people, from texts and (text, style) pairs. Nothing in a text is taken for markup."""
        if self._as_json or self._quiet:
            return
        shown = [(printable(part), "") if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts]
        self._console.print(Text.assemble(*shown), soft_wrap=True)

    def record(self, /, **fields: object) -> None:
        """A line for programs: one JSON object."""
        if self._as_json and not self._quiet:
            print(json.dumps(fields), flush=True)


def show_error(message: str) -> None:
    """Say on standard error what went wrong."""
    text = Text.assemble(("error: ", "bold red"), printable(message))
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def show_warning(message: str) -> None:
    """Say on standard error what is unwise, though it works."""
    text = Text.assemble(("warning: ", "bold yellow"), printable(message))
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def show_note(message: str) -> None:
    """Say something on standard error that is no error, below what the terminal echoed for Ctrl+C."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        console.print()
    console.print(Text(printable(message)), soft_wrap=True)


def tolerate_narrow_encodings() -> None:
    """Let a terminal that cannot show a character show a `?`, instead of failing the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
