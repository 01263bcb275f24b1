"""The options that commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bus import Settings
from bus.log import configure_logging
from cli.help import PANEL
from cli.output import show_warning


def seconds(least: float, most: float) -> Callable[[float], float]:
    """A check for an option that is a time; it refuses `nan` too."""

    def check(value: float) -> float:
        if not least <= value <= most:
            raise typer.BadParameter(f"{value:g} is not between {least:g} and {most:g} seconds")
        return value

    return check


def directory(value: str | Path) -> Path:
    """The directory that an option names; nothing would be the current one."""
    if not str(value):
        raise typer.BadParameter("it must not be empty")
    return Path(value)


def _no_color(value: bool) -> bool:
    # Rich and the processes that a command starts all look at this variable.
    if value:
        os.environ["NO_COLOR"] = "1"
    return value


def _warn_of_secret(context: typer.Context, value: str | None) -> str | None:
    if value is not None and "@" in value and not context.params.get("quiet"):
        show_warning(
            "whoever uses this machine can read a password on a command line; put the URL into NATS_URL, or into a "
            "file that NATS_URL_FILE names"
        )
    return value


Server = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--server",
        metavar="URL",
        callback=_warn_of_secret,
        help="NATS server, or several separated by commas; by default $NATS_URL or nats://127.0.0.1:4222.",
        rich_help_panel=PANEL,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        callback=seconds(0.1, 3600),
        help="Longest to wait for NATS to answer.",
        rich_help_panel=PANEL,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON object a line.", rich_help_panel=PANEL)
]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        metavar="",
        is_eager=True,  # other options ask whether they may print
        help="Print nothing but errors.",
        rich_help_panel=PANEL,
    ),
]
NoColor = Annotated[
    bool,
    typer.Option(
        "--no-color",
        metavar="",
        callback=_no_color,
        is_eager=True,
        help="Print without colours; so does $NO_COLOR.",
        rich_help_panel=PANEL,
    ),
]


def client_settings(server: str | None, timeout: float) -> Settings:
    """Settings of a short-lived client: those of the environment, with the options of its command line.

    Log lines below errors are left out, since the command says itself what it does.

    Raises:
        SettingsError: a variable or option has a value that cannot be used.
    """
    overrides: dict[str, object] = {"connect_timeout": timeout, "log_level": "error"}
    if server:
        overrides["nats_url"] = server
    settings = Settings.load(**overrides)
    settings = settings.model_copy(update={"append_timeout": min(settings.append_timeout, timeout)})
    configure_logging(settings, whole_process=True)
    return settings
