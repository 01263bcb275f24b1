"""The Typer application behind `busctl` and `qbusctl`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands import Commands
from cli.help import WIDEST, in_colour


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
