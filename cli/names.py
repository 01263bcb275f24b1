"""Names on the command line: each must fit into one NATS subject, which is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable

import typer

from bus import InvalidName, subjects


def name(kind: str) -> Callable[[str | None], str | None]:
    """A check for an argument or option that names a client, a group or a job."""

    def check(value: str | None) -> str | None:
        try:
            return None if value is None else subjects.token(kind, value)
        except InvalidName as error:
            raise typer.BadParameter(str(error)) from None

    return check


def job_argument(offered: Callable[[str], list[str]]) -> typer.models.ArgumentInfo:
    """The argument that names a job.

    Args:
        offered: the ids that a shell offers for the beginning of one.
    """
    argument: typer.models.ArgumentInfo = typer.Argument(
        metavar="JOB", callback=name("job id"), autocompletion=offered, help="The job's id, or its beginning."
    )
    return argument


def client_option(what: str) -> typer.models.OptionInfo:
    """The option `--client`, which means something else in every command."""
    option: typer.models.OptionInfo = typer.Option("--client", metavar="NAME", callback=name("client id"), help=what)
    return option
