"""What a command can fail with, and the exit status of each."""

from __future__ import annotations


class CommandFailed(Exception):
    """A command could not do what it was asked; exit 1. The message says what happened and what to do next."""


class Interrupted(CommandFailed):
    """Ctrl+C; exit 130. The message says what had been done until then."""


class Unread(CommandFailed):
    """Nobody reads what the command prints, as behind `| head`; exit 1, and nothing is said."""
