"""The Typer application behind `busctl` and `qbusctl`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import Commands
from cli.errors import INTERRUPTED, CommandFailed
from cli.help import WIDEST, in_colour
from cli.streams import flush_standard_streams, forget_odd_sizes, open_standard_streams

NAMES = ("busctl", "qbusctl")
"""systemd has a busctl too, hence the second one."""


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version  # here, because it is slow and needed nowhere else

        typer.echo(f"busctl {version('busctl')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Show the version and exit.")
]


def busctl(context: typer.Context, show_version: Version = False) -> None:
    """Slow work from a web page, live answers, announcements from a terminal.

    Try it: busctl dev, then open http://127.0.0.1:8000/system/ and, in another terminal, busctl notify "Hello"

    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), color=in_colour())


def application() -> typer.Typer:
    """`busctl` with its commands."""
    app = typer.Typer(
        name="busctl",
        cls=Commands,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    )
    app.callback(invoke_without_command=True)(busctl)
    return app


def main() -> None:
    """Run `busctl` with the arguments of this process, and exit."""
    open_standard_streams()
    forget_odd_sizes()
    status = _run()
    try:
        flush_standard_streams()
    except CommandFailed as error:
        status = status or _told(error)
    sys.exit(status)


def _run() -> int:
    try:
        return application()(_decoded(sys.argv[1:]), prog_name=_called(), standalone_mode=False) or 0
    except KeyboardInterrupt:  # before the command, or a completion, has begun
        return INTERRUPTED
    except Exception as error:
        return _told(error)


def _called() -> str:
    """The name by which it was called, for which the shell's completion is."""
    name = Path(sys.argv[0]).name
    return name if name in NAMES else NAMES[0]


def _told(error: Exception) -> int:
    from cli.failures import tell  # here, because only a failure needs it

    return tell(error)


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
