"""`busctl retry`: do a job again that has ended."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Annotated

from rich.console import Console

from bus import Bus, BusUnavailable, Settings, Stored, subjects
from bus.job_log import JobState
from cli import completion
from cli.errors import CommandFailed, Interrupted
from cli.events import record, standing
from cli.job_ids import find
from cli.names import client_option, job_argument
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output, say
from cli.submit import JobKey
from workers import submission
from workers.client_jobs import ClientJobs
from workers.hand_in import hand_in
from workers.submission import Submission

Job = Annotated[str, job_argument(completion.ended_job_ids)]
Client = Annotated[str | None, client_option("Whose job it is; needed only when two clients have a job of that id.")]


def retry(
    job: Job,
    key: JobKey = None,
    client: Client = None,
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Do a job again that has ended, whoever's it is: submit a new one with the same request, and print its id.

    The new job is the same client's, and the job that has ended stays as it is. Exits with 0 once the new one is
    stored, and with 1 when the job has not ended or is not known.

    Example: busctl retry 3f1c0a5b
    """
    command = Retry(job, client, key, Console(stderr=True, highlight=False, quiet=quiet))
    output = Output(as_json=as_json, quiet=quiet)
    try:
        submitted = asyncio.run(command.run(client_settings(server, timeout)))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; see with 'busctl jobs' whether it is done again") from None
    new = submitted.job
    if not submitted.accepted:
        command.say(f"that key was used before, by job {new.job_id}: {standing(new)}")
    stored = Stored(new.seq, subjects.job(new.client_id, new.job_id), new.last.encode().encode())
    output.record(**record(stored))
    output.line(new.job_id)


class Retry:
    """One job that is done again.

    Args:
        job_id: the job that has ended.
        client_id: whose it is, if that was said.
        key: the new job's idempotency key.
        beside: standard error, for notes.
    """

    def __init__(self, job_id: str, client_id: str | None, key: str | None, beside: Console) -> None:
        self._job_id = job_id
        self._client_id = client_id
        self._key = key
        self._beside = beside

    async def run(self, settings: Settings) -> Submission:
        """Submit the new one.

        Raises:
            BusError, CommandFailed, UnknownTaskType, JobDefinitionError: nothing was submitted, or perhaps it was.
        """
        from workers.registry import discover_for  # here, because it imports every job, and other commands need none

        jobs = discover_for(settings)
        async with Bus(settings, name="busctl retry") as bus:

            async def enqueue(job: JobState) -> None:
                await hand_in(bus, settings, job, self.say)

            client_id, job_id = await find(bus, self._job_id, self._client_id)
            try:
                return await submission.retry(
                    bus,
                    jobs,
                    job_id,
                    client_id=client_id,
                    job_id=submission.new_job_id(client_id, self._key),
                    queue=nullcontext(enqueue),
                    client_jobs=ClientJobs(bus, settings),
                )
            except BusUnavailable as error:
                if error.maybe_done:
                    raise CommandFailed(f"{error}: see 'busctl jobs --client {client_id}'") from error
                raise

    def say(self, message: str) -> None:
        """Say something on standard error."""
        say(self._beside, message, "yellow")
