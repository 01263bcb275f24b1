"""Listings: which jobs `busctl jobs` lists, and how they are found in the stream."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bus import Bus, CorruptJob, UnknownJob, job_log, subjects
from bus.attempts import attempts
from bus.messages import JobFailed
from cli.columns import Column
from cli.job_table import JOB_COLUMNS, SCHEDULED_COLUMNS
from cli.listed_job import ListedJob
from cli.when import ahead

FIRST_WINDOW = 1000
"""Events at the stream's end that are looked at first; eight times as many when they hold too few jobs."""

Key = tuple[str, str]
"""Client id and job id."""


async def _newest(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The jobs that were submitted last, found from the stream's end backwards."""
    state = await bus.stream.state()
    window = FIRST_WINDOW
    while True:
        after = max(state.first_seq - 1, state.last_seq - window)
        found: dict[Key, None] = {}
        async for step in job_log.steps(bus.stream, subject, after=after):
            if step.request is not None:
                found[step.client_id, step.job_id] = None
                if len(found) > limit:
                    del found[next(iter(found))]
        if len(found) == limit or after < state.first_seq:
            return list(found)
        window *= 8


async def _open(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The open jobs that were submitted last. Remembers the ids of jobs that are open, and nothing else."""
    found: dict[Key, None] = {}
    async for step in job_log.steps(bus.stream, subject):
        if step.event.ended:
            found.pop((step.client_id, step.job_id), None)
        elif step.request is not None:
            found[step.client_id, step.job_id] = None
    return list(found)[-limit:]


async def _failed(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The jobs that failed last."""
    found: dict[Key, None] = {}
    async for step in job_log.steps(bus.stream, subject):
        if isinstance(step.event, JobFailed):
            found[step.client_id, step.job_id] = None
            if len(found) > limit:
                del found[next(iter(found))]
    return list(found)


async def _scheduled(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The jobs that wait for their time, the soonest first. Remembers those, and nothing else."""
    found: dict[Key, datetime] = {}
    async for step in job_log.steps(bus.stream, subject):
        key = step.client_id, step.job_id
        begins = step.request.begins if step.request is not None else found.get(key)
        if step.event.state == "job_queued" and begins is not None and ahead(begins) is not None:
            found[key] = begins
        else:
            found.pop(key, None)
    return heapq.nsmallest(limit, found, key=found.__getitem__)


@dataclass(frozen=True, slots=True)
class Listing:
    """Which jobs are listed.

    Args:
        find: how they are found.
        name: what they are called.
        has: whether a job is one of them still, once it was looked at.
        columns: of their table.
        first: which of them are shown when there are more.
    """

    find: Callable[[Bus, str, int], Awaitable[list[Key]]]
    name: str
    has: Callable[[ListedJob], bool]
    columns: tuple[Column, ...] = JOB_COLUMNS
    first: str = "newest"


ALL = Listing(_newest, "jobs", lambda job: True)
OPEN = Listing(_open, "open jobs", lambda job: not job.state.ended)
FAILED = Listing(_failed, "failed jobs", lambda job: job.state.ended)
SCHEDULED = Listing(_scheduled, "scheduled jobs", lambda job: job.begins is not None, SCHEDULED_COLUMNS, "soonest")


async def look(bus: Bus, client_id: str, job_id: str) -> ListedJob | None:
    """One job as it stands now; None if it is gone, or half of it is.

    Raises:
        BusUnavailable: NATS is away or silent.
    """
    try:
        state = await job_log.read(bus.stream, client_id, job_id)
    except (UnknownJob, CorruptJob):  # retention has cut it meanwhile, or another program wrote there
        return None
    if state.request_is_cut:
        return None  # what is left of it is cut next
    steps = [step async for step in job_log.steps(bus.stream, subjects.job(client_id, job_id))]
    return ListedJob(state, attempts(steps), steps[0].at, steps[-1].at) if steps else None
