"""What a command can fail with, and the exit status of each."""

from __future__ import annotations

from collections.abc import Sequence

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class CommandFailed(Exception):
    """A command could not do what it was asked; exit 1. The message says what happened and what to do next.

    Args:
        below: lines that follow the message.
    """

    def __init__(self, message: str = "", *, below: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.below = below


class Interrupted(CommandFailed):
    """Ctrl+C; exit 130. The message says what had been done until then."""


class Unread(CommandFailed):
    """Nobody reads what the command prints, as behind `| head`; exit 1, and nothing is said."""
