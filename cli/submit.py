"""`busctl submit`: submit a job, perhaps for later, and perhaps wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from rich.console import Console

from bus import Settings, client_ids
from bus.messages import TaskPayload
from cli import completion
from cli.content import content_of
from cli.errors import Interrupted
from cli.help import PANEL
from cli.job_submission import JobSubmission
from cli.names import client_option
from cli.options import AsJson, NoColor, Quiet, Server, client_settings, seconds
from cli.output import Output, say, shortened
from cli.streams import given
from cli.when import At, In, begins
from workers import submission
from workers.registry import DEFAULT, Job, discover_for, resolve

NATS_TIMEOUT = 5.0
MOST_NAMED = 12
"""Job types that are named to whoever asks for another one."""


def _length(what: str, most: int) -> Any:
    def check(value: str | None) -> str | None:
        if value is not None and not 1 <= len(value) <= most:
            raise typer.BadParameter(f"{what} has 1 to {most} characters, not {len(value)}")
        return value

    return check


JobType = Annotated[
    str,
    typer.Argument(
        metavar="TYPE",
        callback=_length("a job type", 64),
        autocompletion=completion.job_types,
        help="What to do.",
        show_default=False,
    ),
]
Content = Annotated[
    list[str],
    typer.Argument(
        metavar="CONTENT",
        help="The text to work on, or what else the job takes: JSON, or name=value for each field; - for what comes on "
        "standard input.",
        show_default=False,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", metavar="", help="Wait for the job's end and print its result.")]
ANY_TYPE = "--any-type"
AnyType = Annotated[
    bool,
    typer.Option(ANY_TYPE, metavar="", help=f"Take a TYPE that is not known here; then {DEFAULT} runs it."),
]
JobKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        callback=_length("a key", 128),
        help="The same key from the same client is the same job.",
    ),
]
Client = Annotated[str, client_option("Whose job it is.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        callback=lambda value: None if value is None else seconds(0.1, 86_400)(value),
        help=f"Longest to wait for NATS to answer ({NATS_TIMEOUT:g} if not given), and with --wait for the job's end "
        "(no limit if not given).",
        rich_help_panel=PANEL,
    ),
]


def submit(
    job_type: JobType,
    content: Content,
    wait: Wait = False,
    any_type: AnyType = False,
    after: In = None,
    at: At = None,
    key: JobKey = None,
    client: Client = client_ids.COMMAND_LINE,
    server: Server = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Submit a job and print its id; with --wait, print its result.

    Exits with 0 once the job is stored, even while Redis is away: it runs when Redis is back. With --wait, exits
    with 0 for a result, and with 1 when the job failed, was cancelled or took too long. What the job writes while it
    runs is printed as it comes.

    With --in or --at it is stored now and begins then, and --wait waits for that too. 'busctl jobs --scheduled' lists
    what is still to begin, and 'busctl cancel' calls it off.

    Example: busctl submit translate hello --wait
    """
    not_before = begins(after, at, datetime.now(UTC))
    beside = Console(stderr=True, highlight=False, quiet=quiet)
    try:
        words = [given(content[0], "content")] if len(content) == 1 else content
        settings = client_settings(server, NATS_TIMEOUT if timeout is None else timeout)
        jobs = _find_jobs(settings, job_type, beside, any_type=any_type)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was submitted") from None
    command = JobSubmission(
        TaskPayload(task_type=job_type, content=content_of(resolve(jobs, job_type), words)),
        jobs,
        client_id=client,
        job_id=submission.new_job_id(client, key),
        not_before=not_before,
        output=Output(as_json=as_json, quiet=quiet),
        beside=beside,
        as_json=as_json,
    )
    try:
        asyncio.run(command.run(settings, wait=wait, patience=timeout))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {command.outlook}") from None


def _find_jobs(settings: Settings, asked: str, beside: Console, *, any_type: bool) -> Mapping[str, Job]:
    """The jobs there are, one of which is of this type, or may run what is of any.

    Raises:
        BadParameter: none is; the message says which one may be meant.
        UnknownTaskType: none is, and there is none for any type either.
    """
    jobs = discover_for(settings)
    if asked in jobs:
        return jobs
    if not any_type:
        meant = get_close_matches(asked, jobs, n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"there is {', '.join(sorted(jobs)[:MOST_NAMED])}"
        raise typer.BadParameter(f"there is no job type {shortened(asked)!r}; {hint} ({ANY_TYPE} submits it as it is)")
    if resolve(jobs, asked).name != asked:
        say(beside, f"no job type {shortened(asked)!r}: running {DEFAULT}")
    return jobs
