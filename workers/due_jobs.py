"""DueJobs: enqueues the jobs that waited in the log, now that their turn has come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from celery import Celery

from bus import Bus, CorruptJob, SyncBus, UnknownJob, job_log
from bus.job_log import JobState
from workers import redis_tasks
from workers.open_jobs import OpenJob
from workers.open_jobs_reader import OpenJobsReader
from workers.redis_owner import Identity
from workers.task_message import send

log = structlog.get_logger(__name__)

State = JobState | UnknownJob | CorruptJob

LARGEST_BATCH = 100
"""Jobs enqueued in one command."""


class DueJobs:
    """Makes the tasks of the jobs that are due in a table of open jobs.

    Nothing is stored about it: whoever takes over looks once which of them have a task in Redis.

    Args:
        celery: to enqueue with.
        bus: the bus.
        reader: keeps the table.
    """

    def __init__(self, celery: Celery, bus: SyncBus, reader: OpenJobsReader) -> None:
        self._celery = celery
        self._bus = bus
        self._reader = reader
        self._table = reader.table
        self._knows_redis = False

    def begin_anew(self) -> None:
        """Another process may have enqueued some of them meanwhile."""
        self._knows_redis = False

    def enqueue(self) -> int:
        """Enqueue them. Returns how many.

        Raises:
            BusError, OperationalError, RedisError, OSError: NATS or Redis is away; the rest stays due.
        """
        due, count = self._table.due, 0
        if due and not self._knows_redis:
            in_redis = redis_tasks.job_ids(self._celery, self._table.queues)
            for job in due:
                if job.job_id in in_redis:
                    self._table.enqueued(job)
            self._knows_redis, due = True, self._table.due
        for first in range(0, len(due), LARGEST_BATCH):
            batch = due[first:][:LARGEST_BATCH]
            tasks = self._read(batch)
            if tasks:
                send(self._celery, tasks, Identity(self._reader.epoch))
            for job in batch:
                self._table.enqueued(job)
            count += len(tasks)
        return count

    def _read(self, batch: Sequence[OpenJob]) -> list[JobState]:
        tasks = []
        for job, state in zip(batch, self._states(batch), strict=True):
            if isinstance(state, JobState):
                if state.seq == job.seq:  # else it has moved on since
                    tasks.append(state)
            else:
                log.warning("gave up a job whose events are gone or foreign", job_id=job.job_id, error=str(state))
                self._table.forget(job)
        return tasks

    def _states(self, batch: Sequence[OpenJob]) -> list[State]:
        kept = [_kept(job) for job in batch]
        if None not in kept:
            return [job for job in kept if job is not None]
        return self._bus.call(lambda bus: _read_all(bus, batch))


def _kept(job: OpenJob) -> JobState | None:
    """The job as it was queued, if that was kept. Should it have moved on since, its worker finds out."""
    step = job.kept
    if step is None or step.request is None:
        return None
    return JobState(job.client_id, job.job_id, step.request, step.event, step.seq, step.event.ref)


async def _read_all(bus: Bus, jobs: Sequence[OpenJob]) -> list[State]:
    async def read(job: OpenJob) -> State:
        try:
            return await job_log.read(bus.stream, *job.key)
        except (UnknownJob, CorruptJob) as error:
            return error

    return await asyncio.gather(*map(read, jobs))
