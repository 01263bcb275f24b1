"""JobSubmission: one job of `busctl submit`, from there to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from datetime import datetime
from typing import Any

from rich.console import Console

from bus import Bus, BusUnavailable, CorruptJob, Settings, Stored, job_log, subjects, traces
from bus.job_log import JobState
from bus.messages import TaskPayload
from cli.errors import CommandFailed
from cli.events import INTERRUPTIONS, is_news, record, result, standing, text
from cli.job_bar import JobBar
from cli.live_text import LiveText
from cli.output import Output, say
from cli.when import local, waits_until
from workers import submission
from workers.client_jobs import ClientJobs
from workers.errors import TooManyBytes, TooManyJobs
from workers.hand_in import hand_in
from workers.registry import Job
from workers.submission import Submission


class JobSubmission:
    """One job on its way.

    Args:
        task: what to do.
        jobs: the registered jobs by name.
        client_id: whose job it is.
        job_id: the id it gets.
        not_before: when it may begin; None for at once.
        output: where its id, events and result go.
        beside: standard error, for notes and progress.
        as_json: events are printed as they come.
    """

    def __init__(
        self,
        task: TaskPayload,
        jobs: Mapping[str, Job],
        *,
        client_id: str,
        job_id: str,
        not_before: datetime | None,
        output: Output,
        beside: Console,
        as_json: bool,
    ) -> None:
        self.outlook = "nothing was submitted"
        """What has become of the job so far."""
        self._task = task
        self._jobs = jobs
        self._client_id = client_id
        self._job_id = job_id
        self._not_before = not_before
        self._output = output
        self._beside = beside
        self._as_json = as_json
        self._live = LiveText(output, self._say)

    async def run(self, settings: Settings, *, wait: bool, patience: float | None) -> None:
        """Submit it, and wait for its end at most `patience` seconds.

        Raises:
            BusError: it was not submitted, or perhaps not.
            CommandFailed: it did not end well, or not in time.
        """
        async with Bus(settings, name="busctl submit") as bus:
            if not wait:
                self._show_accepted(await self._submit(bus, settings))
                return
            try:
                async with asyncio.timeout(patience):
                    end = await self._wait(bus, settings)
                self._show_end(end)
            except TimeoutError:
                raise CommandFailed(f"job {self._job_id} has not ended within {patience:g} s; {self.outlook}") from None
            finally:
                self._live.end_line()

    async def _submit(self, bus: Bus, settings: Settings) -> JobState:
        async def enqueue(job: JobState) -> None:
            self._accepted()
            await hand_in(bus, settings, job, lambda message: self._say(message, "yellow"))

        listed = f"see 'busctl jobs --client {self._client_id}'"
        self.outlook = f"the job may have been accepted: {listed}"
        try:
            submitted = await submission.submit(
                bus,
                self._jobs,
                self._task,
                client_id=self._client_id,
                job_id=self._job_id,
                queue=nullcontext(enqueue),
                client_jobs=ClientJobs(bus, settings),
                not_before=self._not_before,
                traceparent=traces.read(os.environ.get("TRACEPARENT")),
            )
            self._accepted()
        except (TooManyBytes, TooManyJobs) as error:
            raise CommandFailed(f"{error}; {listed}") from error
        except BusUnavailable as error:
            if error.maybe_done:
                raise CommandFailed(f"{error}: {listed}") from error
            raise
        self._tell_of(submitted)
        return submitted.job

    def _accepted(self) -> None:
        self.outlook = f"the job goes on: follow it with 'busctl watch --job {self._job_id}'"

    def _tell_of(self, submitted: Submission) -> None:
        job = submitted.job
        if (time := waits_until(job)) is not None:
            self.outlook = (
                f"the job is scheduled for {local(time)}: follow it with 'busctl watch --job {self._job_id}', "
                f"or call it off with 'busctl cancel {self._job_id}'"
            )
        if submitted.accepted:
            if time is not None:
                self._say(standing(job))
            return
        anew = self._not_before is not None and self._not_before != job.request.begins
        kept = "; it keeps the time that it was given first" if anew else ""
        self._say(f"that key was used before, by job {self._job_id}: {standing(job)}{kept}")

    async def _wait(self, bus: Bus, settings: Settings) -> dict[str, Any]:
        steps, output = subjects.job(self._client_id, self._job_id), subjects.output(self._client_id, self._job_id)
        with ExitStack() as stack:
            bar = None
            if self._beside.is_terminal and not self._beside.quiet and not self._as_json:
                bar = stack.enter_context(JobBar(self._beside))

            def on_progress(stored: Stored) -> None:
                address = subjects.parse(stored.subject)
                if bar is not None and address is not None and address.job_id == self._job_id:
                    bar.progress(record(stored))

            if bar is not None:
                await bus.subscribe_progress(self._client_id, on_progress)
            async with bus.follow(
                steps, output, after=0, on_interruption=lambda interruption: self._say(INTERRUPTIONS[interruption])
            ) as events:
                await self._submit(bus, settings)
                async for stored in events:
                    event = record(stored)
                    if self._as_json and is_news(event):
                        self._output.record(**event)
                    if event["action"] == "job_started":
                        self._accepted()
                    if event["action"] == "job_output":
                        if bar is not None:
                            bar.stop()
                        self._live.piece(event)
                    elif bar is not None and is_news(event):
                        bar.step(event)
                    if event["action"] == "job_retrying":
                        self._say(text(event))
                    with suppress(CorruptJob):  # another program wrote on the job's subject
                        if job_log.step_of(stored).event.ended:
                            return event
        raise AssertionError("a job is followed until it ends")

    def _show_accepted(self, job: JobState) -> None:
        stored = Stored(job.seq, subjects.job(job.client_id, job.job_id), job.last.encode().encode())
        self._output.record(**record(stored))
        self._output.line(job.job_id)

    def _show_end(self, event: dict[str, Any]) -> None:
        match event["action"]:
            case "job_result":
                self._live.finish(result(event))
            case "job_cancelled":
                raise CommandFailed(f"job {self._job_id} was cancelled; submit it again if it is still wanted")
            case _:
                first, *others = str(event.get("reason") or text(event)).splitlines() or ["for no reason that is told"]
                again = f"'busctl retry {self._job_id}' does it again"
                raise CommandFailed(f"job {self._job_id} failed: {first}", below=[*others, again])

    def _say(self, message: str, style: str = "") -> None:
        say(self._beside, message, style)
