"""`busctl cancel`: call a job off."""

from __future__ import annotations

import asyncio
from typing import Annotated

from rich.console import Console

from bus import Bus, Settings
from cli import completion
from cli.errors import CommandFailed, Interrupted
from cli.events import STATES
from cli.job_ids import find
from cli.names import client_option, job_argument
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output, say
from workers import submission
from workers.submission import Cancellation

Job = Annotated[str, job_argument(completion.open_job_ids)]
Client = Annotated[str | None, client_option("Whose job it is; needed only when two clients have a job of that id.")]


def cancel(
    job: Job,
    client: Client = None,
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Call a job off, whoever's it is, queued or running.

    Exits with 0 when the job is cancelled, and with 1 when it had ended already or is not known.

    Example: busctl cancel 3f1c0a5b
    """
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    try:
        done = asyncio.run(_cancel(settings, client, job))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; see with 'busctl watch --job {job}' whether it was cancelled") from None
    state = done.job
    job = state.job_id
    output.record(job_id=job, client_id=state.client_id, state=state.state, seq=state.seq, text=state.last.payload)
    if not done.cancelled:
        raise CommandFailed(
            f"job {job} had ended already: {STATES[state.state]}",
            below=[f"'busctl retry {job}' does it again"],
        )
    output.line("Job ", (job, "bold"), " cancelled.")
    if done.untold is not None:
        note = "its worker could not be told, because NATS went away: it may work on for a while, and in vain"
        say(Console(stderr=True, highlight=False, quiet=quiet), note, "yellow")


async def _cancel(settings: Settings, client_id: str | None, job_id: str) -> Cancellation:
    async with Bus(settings, name="busctl cancel") as bus:
        return await submission.cancel(bus, *await find(bus, job_id, client_id))
