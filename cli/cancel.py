"""`busctl cancel`: call a job off."""

from __future__ import annotations

import asyncio
from typing import Annotated

from bus import Bus, BusUnavailable, job_log, liveness, subjects
from bus.job_log import JobState
from cli.errors import CommandFailed, Interrupted
from cli.names import Job, client_option
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output, shortened

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

    Example: busctl cancel 3f1c0a5be2774d0f
    """
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)

    async def run() -> tuple[JobState, bool]:
        async with Bus(settings, name="busctl cancel") as bus:
            return await _cancel(bus, client or await _owner(bus, job), job)

    try:
        state, had_ended = asyncio.run(run())
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; see with 'busctl watch --job {job}' whether it was cancelled") from None
    output.record(job_id=job, client_id=state.client_id, state=state.state, seq=state.seq, text=state.last.payload)
    if had_ended:
        raise CommandFailed(f"job {job} had ended already: {shortened(state.last.payload)}")
    output.line("Job ", (job, "bold"), " cancelled.")


async def _owner(bus: Bus, job_id: str) -> str:
    owners = {step.client_id async for step in job_log.steps(bus.stream, subjects.any_client(job_id))}
    match sorted(owners):
        case []:
            raise CommandFailed(
                f"no job {job_id} is known (never submitted, or past retention); 'busctl jobs' lists those that are"
            )
        case [owner]:
            return owner
        case several:
            raise CommandFailed(
                f"{len(several)} clients have a job {job_id}: {shortened(', '.join(several))}; "
                "say whose you mean with --client"
            )


async def _cancel(bus: Bus, client_id: str, job_id: str) -> tuple[JobState, bool]:
    before = await job_log.read(bus.stream, client_id, job_id)
    if before.ended:
        return before, True
    after = await job_log.cancel(bus.stream, client_id, job_id)
    if after.state != "job_cancelled":
        return after, True
    try:
        await liveness.tell_cancelled(bus, after.instance, job_id)
    except BusUnavailable as error:
        raise CommandFailed(
            f"job {job_id} is cancelled, but NATS went away before its worker was told: it may work on for a while, "
            "and what it returns is not shown"
        ) from error
    return after, False
