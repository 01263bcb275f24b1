"""`busctl jobs`: which jobs there are, and how they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from bus import Bus, Settings, schedules, subjects
from bus.schedules import Remembered
from cli import schedule_table
from cli.errors import Interrupted
from cli.job_table import JobTable
from cli.listed_job import ListedJob
from cli.listings import ALL, FAILED, OPEN, SCHEDULED, Listing, look
from cli.names import client_option
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output

Open = Annotated[bool, typer.Option("--open", metavar="", help="Only jobs that have not ended.")]
Failed = Annotated[bool, typer.Option("--failed", metavar="", help="Only jobs that have failed.")]
Scheduled = Annotated[
    bool,
    typer.Option("--scheduled", metavar="", help="Only jobs that wait for their time, the soonest first."),
]
Client = Annotated[str | None, client_option("Only jobs of this client.")]
Limit = Annotated[
    int,
    typer.Option(
        "--limit", metavar="N", min=1, max=100_000, help="Show so many, the newest, or the soonest with --scheduled."
    ),
]


def jobs(
    open_only: Open = False,
    failed_only: Failed = False,
    scheduled_only: Scheduled = False,
    client: Client = None,
    limit: Limit = 20,
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """List jobs and how they stand, the newest last.

    AGE is how long ago a job was submitted, TOOK how long it took from then to its end, TRY how often a worker
    has begun it. A job that was submitted for later is scheduled until its time has come.

    With --scheduled, the recurring schedules of jobs follow: the times for which there is a job and will be one.

    Example: busctl jobs --open --limit 50
    """
    listing = _listing(open_only, failed_only, scheduled_only)
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    table = JobTable(output, listing.columns, with_client=client is None)

    def show(job: ListedJob) -> None:
        if as_json:
            output.record(**job.record())
        elif not quiet:
            table.add(job)

    try:
        count, recurring = asyncio.run(_list(settings, client, listing, limit, show))
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    finally:
        table.end()
    if not count:
        output.note(f"No {listing.name}.")
    if count == limit:
        output.note(f"The {listing.first} {limit}; --limit shows more, if there are.")
    schedule_table.show(output, recurring)


def _listing(open_only: bool, failed_only: bool, scheduled_only: bool) -> Listing:
    if failed_only and (open_only or scheduled_only):
        other = "--open" if open_only else "--scheduled"
        raise typer.BadParameter(f"{other} does not go with --failed: a job that has failed has ended")
    if scheduled_only:
        return SCHEDULED  # each of which is open
    return OPEN if open_only else FAILED if failed_only else ALL


async def _list(
    settings: Settings, client_id: str | None, listing: Listing, limit: int, show: Callable[[ListedJob], None]
) -> tuple[int, list[Remembered]]:
    """Show the jobs. Returns how many, and which schedules follow."""
    subject = subjects.ALL_JOBS if client_id is None else subjects.steps(client_id)
    recurring = listing is SCHEDULED and client_id in (None, subjects.SCHEDULES_CLIENT)
    count = 0
    async with Bus(settings, name="busctl jobs") as bus:
        for key in await listing.find(bus, subject, limit):
            job = await look(bus, *key)
            if job is not None and listing.has(job):
                show(job)
                count += 1
        return count, await schedules.read_all(bus) if recurring else []
