"""How a command that failed ends: what it says on standard error, and its exit status."""

from __future__ import annotations

import typer

from bus import BusError
from cli.errors import CommandFailed, Interrupted, Unread
from cli.output import show_error, show_note
from workers.errors import WorkersError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


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
        case BusError() | CommandFailed() | WorkersError():
            show_error(str(error))
            return FAILED
    raise error


def _usage(error: typer.TyperException) -> str:
    describe = getattr(error, "format_message", error.__str__)
    message = describe().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "busctl"
    return f"{message}; see '{command} --help'"
