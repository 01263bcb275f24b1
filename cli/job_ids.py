"""Which job is meant, when somebody types its id, or enough of its beginning."""

from __future__ import annotations

from bus import Bus, job_log, subjects
from cli.errors import CommandFailed
from cli.output import shortened

LEAST = 4
"""Characters of an id that can stand for all of it."""
MOST_NAMED = 5
"""Jobs that an error names."""

Key = tuple[str, str]
"""Client id and job id."""


async def find(bus: Bus, given: str, client_id: str | None = None) -> Key:
    """The one job that is meant.

    An id that is whole costs one read. Else NATS is asked for the subjects of all jobs.

    Args:
        given: the job's id, or its beginning.
        client_id: whose it is, if that was said.

    Raises:
        CommandFailed: there is none, or there are several.
        BusUnavailable: NATS is away or silent.
    """
    subject = subjects.any_client(given) if client_id is None else subjects.job(client_id, given)
    owners = {step.client_id async for step in job_log.steps(bus.stream, subject)}
    match sorted(owners):
        case []:
            return await _beginning(bus, given, client_id)
        case [owner]:
            return owner, given
        case several:
            raise CommandFailed(
                f"{len(several)} clients have a job {given}: {shortened(', '.join(several))}; "
                "say whose you mean with --client"
            )


async def _beginning(bus: Bus, given: str, client_id: str | None) -> Key:
    found: list[Key] = []
    if len(given) >= LEAST:
        async for subject in bus.stream.subjects(subjects.ALL_JOBS if client_id is None else subjects.steps(client_id)):
            address = subjects.parse(subject)
            if address is not None and address.client_id and (address.job_id or "").startswith(given):
                found.append((address.client_id, address.job_id or ""))
    match found:
        case [] if len(given) < LEAST:
            raise CommandFailed(f"{given} is too short for the beginning of an id; type {LEAST} characters at least")
        case []:
            whose = "" if client_id is None else f" of the client {client_id}"
            raise CommandFailed(
                f"no job {given}{whose} is known (never submitted, or past retention); 'busctl jobs' lists those that "
                "are"
            )
        case [key]:
            return key
        case several:
            named = ", ".join(f"{job} of {client}" for client, job in several[:MOST_NAMED])
            more = ", …" if len(several) > MOST_NAMED else ""
            raise CommandFailed(f"{len(several)} jobs begin with {given}: {named}{more}; type more of the one you mean")
