"""The Typer application behind `busctl` and `qbusctl`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bus import BusError
from cli.cancel import cancel
from cli.dev import dev
from cli.errors import CommandFailed, Interrupted, Unread
from cli.jobs import jobs
from cli.notify import notify
from cli.output import forget_odd_sizes, show_error, show_note
from cli.serve import serve
from cli.streams import flush_standard_streams, open_standard_streams
from cli.submit import submit
from cli.watch import watch
from cli.worker import TAKES_ALL, worker
from workers.errors import JobDefinitionError

FAILED, USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="busctl",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel="Run the system")(dev)
app.command(rich_help_panel="Run the system")(serve)
app.command(rich_help_panel="Run the system", context_settings=TAKES_ALL)(worker)
app.command(rich_help_panel="Talk to it")(notify)
app.command(rich_help_panel="Talk to it")(submit)
app.command(rich_help_panel="Talk to it")(jobs)
app.command(rich_help_panel="Talk to it")(cancel)
app.command(rich_help_panel="Talk to it")(watch)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"busctl {version('busctl')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Show the version and exit.")
]


@app.callback(invoke_without_command=True)
def busctl(context: typer.Context, show_version: Version = False) -> None:
    """Slow work from a web page, live answers, announcements from a terminal.

    Try it: busctl dev, then open http://127.0.0.1:8000/system/ and, in another terminal, busctl notify "Hello"

    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run `busctl` with the arguments of this process, and exit."""
    open_standard_streams()
    forget_odd_sizes()
    status = _run()
    try:
        flush_standard_streams()
    except CommandFailed as error:
        status = status or _failed(error)
    sys.exit(status)


def _run() -> int:
    try:
        return app(_decoded(sys.argv[1:]), prog_name="busctl", standalone_mode=False) or 0
    except Interrupted as interrupted:
        show_note(str(interrupted))
        return INTERRUPTED
    except typer.Abort:
        show_note("interrupted")
        return INTERRUPTED
    except typer.TyperException as error:
        show_error(_usage(error))
        return USAGE
    except (BusError, CommandFailed, JobDefinitionError) as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    if not isinstance(error, Unread):
        show_error(str(error))
    return FAILED


def _usage(error: typer.TyperException) -> str:
    describe = getattr(error, "format_message", error.__str__)
    message = describe().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "busctl"
    return f"{message}; see '{command} --help'"


def _decoded(arguments: list[str]) -> list[str]:
    """The arguments as text. They are UTF-8 whatever the locale says, unless only the locale can make sense of them.

    Raises:
        TyperException: one is neither.
    """
    texts = []
    for argument in arguments:
        data = os.fsencode(argument)
        try:
            texts.append(data.decode())
        except UnicodeDecodeError:
            if any("\udc80" <= character <= "\udcff" for character in argument):
                raise typer.BadParameter(f"an argument is not valid UTF-8: {data!r}; encode it so") from None
            texts.append(argument)
    return texts
