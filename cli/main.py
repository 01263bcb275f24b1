"""The Typer application behind `busctl` and `qbusctl`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bus import BusError
from cli.cancel import cancel
from cli.dev import dev
from cli.errors import CommandFailed, Interrupted
from cli.jobs import jobs
from cli.notify import notify
from cli.output import show_error, show_note, tolerate_narrow_encodings
from cli.serve import serve
from cli.submit import submit
from cli.watch import watch
from cli.worker import TAKES_ALL, worker
from workers.registry import JobDefinitionError

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
    tolerate_narrow_encodings()
    try:
        _require_unicode(sys.argv[1:])
        app(prog_name="busctl")
    except Interrupted as interrupted:
        show_note(str(interrupted))
        sys.exit(INTERRUPTED)
    except (BusError, CommandFailed, JobDefinitionError) as error:
        show_error(str(error))
        sys.exit(FAILED)


def _require_unicode(arguments: list[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            show_error(f"an argument is no valid UTF-8: {argument.encode(errors='surrogateescape')!r}; encode it so")
            sys.exit(USAGE)
