"""What operators do with jobs, one or many: cancel them, or do them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Literal

from bus import BusError
from bus.messages.from_operators import NamedJob
from bus.messages.to_operators import JobsActed, JobsActedPayload, NotActed, RetriedJob
from quart_app.console.audit import Audit
from quart_app.services import Services
from workers import submission
from workers.errors import BacklogFull, JobNotEnded, WorkersError

AT_ONCE = 8
"""Jobs in hand at a time."""
TELL_EVERY = 0.3
"""Seconds between two messages that tell how far it has come."""
MOST_ERRORS = 5
MOST_RETRIED = 20
WAIT_FOR_ROOM = 0.5
"""Seconds until it is tried again when too many jobs wait for Redis."""
GIVE_UP = 60
"""How often, for one job."""


class JobActions:
    """Does one thing with each of these jobs, and tells how far it has come.

    Args:
        services: of this process.
        audit: gets a line for each job.
        verb: what is done.
        jobs: with which; one that is named twice counts once.
    """

    def __init__(
        self, services: Services, audit: Audit, verb: Literal["cancel", "retry"], jobs: list[NamedJob]
    ) -> None:
        self._services = services
        self._audit = audit
        self._verb = verb
        once = dict.fromkeys(jobs)
        self._total = len(once)
        self._left: Iterator[NamedJob] = iter(once)
        self._stopped = False
        self._over = False
        self._done = self._skipped = self._failed = 0
        self._errors: list[NotActed] = []
        self._retried: list[RetriedJob] = []

    def stop(self) -> None:
        """Leave the jobs as they are that were not begun."""
        self._stopped = True

    def told(self) -> JobsActed:
        """How far it has come."""
        return JobsActed(
            payload=JobsActedPayload(
                verb=self._verb,
                total=self._total,
                done=self._done,
                skipped=self._skipped,
                failed=self._failed,
                errors=self._errors,
                retried=self._retried,
                over=self._over,
            )
        )

    async def run(self, tell: Callable[[JobsActed], None]) -> None:
        """Do it, to the end unless `stop` is called or it is cancelled; jobs in hand are finished in the first case."""
        telling = asyncio.create_task(self._tell(tell), name="tell how far it has come")
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(AT_ONCE, self._total)):
                    tasks.create_task(self._work())
        finally:
            telling.cancel()
        self._over = True
        tell(self.told())

    async def _tell(self, tell: Callable[[JobsActed], None]) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            tell(self.told())

    async def _work(self) -> None:
        for job in self._left:
            if self._stopped:
                return
            try:
                done = await (self._cancel(job) if self._verb == "cancel" else self._retry(job))
            except (BusError, WorkersError) as error:
                self._failed += 1
                if len(self._errors) < MOST_ERRORS:
                    self._errors.append(NotActed(client_id=job.client_id, job_id=job.job_id, msg=str(error)))
                self._audit.note(f"{self._verb}_job", "failed", job.client_id, job_id=job.job_id, error=str(error))
            else:
                self._done += done
                self._skipped += not done

    async def _cancel(self, job: NamedJob) -> bool:
        done = await submission.cancel(self._services.bus, job.client_id, job.job_id, by="an operator")
        self._audit.note("cancel_job", "done" if done.cancelled else "skipped", job.client_id, job_id=job.job_id)
        return done.cancelled

    async def _retry(self, job: NamedJob) -> bool:
        new_job_id = submission.new_job_id(job.client_id)
        for attempt in range(GIVE_UP):
            try:
                await submission.retry(
                    self._services.bus,
                    self._services.jobs,
                    job.job_id,
                    client_id=job.client_id,
                    job_id=new_job_id,
                    queue=self._services.enqueuer.place(),
                    client_jobs=self._services.client_jobs,
                )
                break
            except JobNotEnded:
                self._audit.note("retry_job", "skipped", job.client_id, job_id=job.job_id)
                return False
            except BacklogFull:
                if self._stopped or attempt + 1 == GIVE_UP:
                    raise
                await asyncio.sleep(WAIT_FOR_ROOM)
        self._audit.note("retry_job", "done", job.client_id, job_id=job.job_id, new_job_id=new_job_id)
        if len(self._retried) < MOST_RETRIED:
            self._retried.append(RetriedJob(client_id=job.client_id, job_id=job.job_id, new_job_id=new_job_id))
        return True
