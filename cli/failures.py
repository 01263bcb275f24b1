"""How a command that failed ends: what it says on standard error, and its exit status."""

from __future__ import annotations

import sys

import typer

from bus import BusError
from cli.commands import COMMANDS
from cli.errors import FAILED, INTERRUPTED, USAGE, CommandFailed, Interrupted, Unread
from cli.output import show_error, show_note
from workers.errors import WorkersError

PLAINER = (
    ("Value error, ", ""),
    ("Input should be", "it should be"),
    ("a valid integer, unable to parse string as an integer", "a whole number"),
    ("a valid number, unable to parse string as a number", "a number"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
)
"""What is said of an argument that cannot be read, and how people say it."""


def tell(error: Exception) -> int:
    """Say what went wrong. Returns the exit status.

    Raises:
        Exception: the error, when it is none that a command can fail with.
    """
    match error:
        case Interrupted():
            show_note(str(error))
            return INTERRUPTED
        case typer.Abort():
            show_note("interrupted")
            return INTERRUPTED
        case typer.TyperException():
            show_error(_usage(error))
            return USAGE
        case Unread():
            return FAILED
        case CommandFailed():
            show_error(str(error), below=error.below)
            return FAILED
        case BusError() | WorkersError():
            show_error(str(error))
            return FAILED
    raise error


def _usage(error: typer.TyperException) -> str:
    describe = getattr(error, "format_message", error.__str__)
    message = describe().strip().rstrip(".").removeprefix("Invalid value: ")
    for said, plainer in PLAINER:
        message = message.replace(said, plainer)
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else _called()
    return f"{message} See '{command} --help'" if message.endswith("?") else f"{message}; see '{command} --help'"


def _called() -> str:
    """The command, as far as it can be told from the arguments of this process."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    return f"busctl {named}" if named in COMMANDS else "busctl"
