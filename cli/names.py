"""Names on the command line: each must fit into one NATS subject, which is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from bus import InvalidName, subjects
from cli import completion


def name(kind: str) -> Callable[[str | None], str | None]:
    """A check for an argument or option that names a client, a group or a job."""

    def check(value: str | None) -> str | None:
        try:
            return None if value is None else subjects.token(kind, value)
        except InvalidName as error:
            raise typer.BadParameter(str(error)) from None

    return check


Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        callback=name("job id"),
        autocompletion=completion.job_ids,
        help="The job's id, or its beginning.",
        show_default=False,
    ),
]


def client_option(what: str) -> typer.models.OptionInfo:
    """The option `--client`, which means something else in every command."""
    option: typer.models.OptionInfo = typer.Option("--client", metavar="NAME", callback=name("client id"), help=what)
    return option
