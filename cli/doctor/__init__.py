"""`busctl doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from bus import SettingsError
from cli.doctor.check import Check, State, bad
from cli.errors import CommandFailed, Interrupted
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output

MARKS = {State.GOOD: ("✓", "green"), State.UNSURE: ("!", "yellow"), State.BAD: ("✗", "bold red")}
WIDTH = 12
"""Columns of an area's name."""


def _known_roles(values: list[str]) -> list[str]:
    from cli.doctor.permissions import ROLES

    for value in values:
        if value not in ROLES:
            raise typer.BadParameter(f"{value!r} is no role; there are {', '.join(ROLES)}")
    return values


Role = Annotated[
    list[str],
    typer.Option(
        "--role",
        metavar="ROLE",
        callback=_known_roles,
        help="Whose NATS permissions this user needs: web, worker, operator, cli, notify or monitor; several are given "
        "one after the other. By default the role that the user is called, else those of web, worker and operator.",
    ),
]


def doctor(
    role: Role = [],  # noqa: B006 - Typer copies it
    server: Server = None,
    timeout: Timeout = 1.2,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Find what is wrong, and say how to mend it: settings, NATS, stream, Redis, processes, and a job's way and back.

    Run it with the environment of a web process or worker. It takes less than five seconds. Exit status 1 when
    something is broken (✗), 0 when all is well or only something is to be seen to (!).

    Example: busctl doctor
    """
    output = Output(as_json=as_json, quiet=quiet)
    try:
        checks = _examined(server, timeout, tuple(role))
    except SettingsError as error:
        checks = [
            bad("settings", str(error), "correct these variables; docs/reference/settings.md says what they take")
        ]
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    for check in checks:
        show(output, check)
    broken = sum(check.state == State.BAD for check in checks)
    if broken:
        raise CommandFailed(f"{broken} of {len(checks)} checks failed; begin with the first one above")


def _examined(server: str | None, timeout: float, roles: tuple[str, ...]) -> list[Check]:
    from cli.doctor.examine import examine  # here, so that settings which cannot be used are said at once

    return asyncio.run(examine(client_settings(server, timeout), roles))


def show(output: Output, check: Check) -> None:
    """Print one line for a check, and below it what to do."""
    output.record(area=check.area, state=check.state.value, text=check.text, remedy=check.remedy)
    output.line(MARKS[check.state], (f" {check.area:{WIDTH}}", "bold"), check.text, indent=WIDTH + 2)
    if check.remedy:
        output.line((f"  {'':{WIDTH}}→ {check.remedy}", "cyan"), indent=WIDTH + 4)
