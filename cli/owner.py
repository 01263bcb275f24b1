"""Whose job it is, when only its id is known."""

from __future__ import annotations

from bus import Bus, job_log, subjects
from cli.errors import CommandFailed
from cli.output import shortened


async def owner_of(bus: Bus, job_id: str) -> str:
    """The client id of the one client that has a job of this id.

    Raises:
        CommandFailed: none has, or several.
        BusUnavailable: NATS is away or silent.
    """
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
