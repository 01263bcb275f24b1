"""Submit a job from Python code that is not async, and wait for what it gives.

    answer = submit("translate", "hello").wait(timeout=30)

A script, a Flask or Django view, a notebook. Async code calls `workers.submission` with a `Bus` of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import structlog

from bus import Bus, CorruptJob, Settings, SyncBus, job_log, subjects
from bus.job_log import JobState
from bus.log import log_to_their_loggers
from bus.messages import JobEvent, JobResult, TaskPayload
from workers import submission
from workers.client_jobs import ClientJobs
from workers.errors import NoResult, UnknownTaskType
from workers.hand_in import hand_in
from workers.registry import Job, discover_for
from workers.value_type import as_json

log = structlog.get_logger(__name__)

CLIENT = "python"
"""Whose jobs these are, unless `submit` is told otherwise."""
GRACE = 60.0
"""Seconds past its own deadline that a wait may take to begin and to end when NATS is silent."""
FOREVER = 10 * 365 * 86_400.0


def submit(
    task_type: str,
    content: Any = "",
    *,
    client: str = CLIENT,
    key: str | None = None,
    not_before: datetime | None = None,
) -> SubmittedJob:
    """Accept a job: when this returns it is stored, and will run.

    Settings are those of the environment: NATS_URL, REDIS_URL, BUS_JOBS. The first call connects to NATS; that
    connection is kept for the next ones until `close`, and all threads may use it.

    Args:
        task_type: the name of the job.
        content: what the job takes: a text, or for a typed job a model or its JSON.
        client: whose job it is. A page whose client that is shows it too.
        key: with the same key, the same client gets the same job, however often it asks.
        not_before: when it may begin, with a time zone; None for at once.

    Raises:
        UnknownTaskType: there is no job of that name.
        Misfit: the job does not take this content, or JSON cannot say it.
        ValueError: the key is no valid Unicode, or `not_before` has no time zone.
        InvalidName: the client id cannot be one (a `ValueError` too).
        TooManyJobs, TooManyBytes, TooFarAhead, EventTooLarge: as for `workers.submission.submit`; nothing is stored.
        BusUnavailable: NATS is away or silent; nothing is stored, or (`maybe_done`) perhaps it is: use a key.
        SettingsError, JobDefinitionError: a setting or a job cannot be used.
    """
    used = _used()
    if task_type not in used.jobs:
        raise UnknownTaskType(task_type, used.jobs)
    task = TaskPayload(task_type=task_type, content=as_json(content))
    job_id = submission.new_job_id(client, key)

    async def accept(bus: Bus) -> None:
        async def enqueue(job: JobState) -> None:
            await hand_in(bus, used.settings, job, log.warning)

        await submission.submit(
            bus,
            used.jobs,
            task,
            client_id=client,
            job_id=job_id,
            queue=nullcontext(enqueue),
            client_jobs=ClientJobs(bus, used.settings),
            not_before=not_before,
        )

    used.bus.call(accept)
    return SubmittedJob(job_id, client)


def close() -> None:
    """End the connection that `submit` keeps. The next call makes another, by the settings of the environment then.

    A program that ends need not call it; tests do that have a bus of their own.
    """
    with _making:
        if _made.cache_info().currsize:
            _made().bus.close()
            _made.cache_clear()


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job that was accepted.

    Args:
        job_id: its id, for `busctl watch --job` and the others.
        client: whose job it is.
    """

    job_id: str
    client: str

    def wait(self, timeout: float | None = None) -> Any:
        """What the job gives: a text, or the JSON of what a typed job returns.

        Args:
            timeout: the longest to wait, in seconds; None for as long as it takes.

        Raises:
            NoResult: it failed, or was cancelled.
            TimeoutError: it has not ended in that time. It goes on; this may be called again.
            BusUnavailable: NATS is away when this begins, or refuses this process.
        """

        subject = subjects.job(self.client, self.job_id)

        async def end(bus: Bus) -> JobEvent | None:
            try:
                async with asyncio.timeout(timeout) as limit, bus.follow(subject, after=0) as steps:
                    async for stored in steps:
                        with suppress(CorruptJob):  # another program wrote on the job's subject
                            if (event := job_log.step_of(stored).event).ended:
                                return event
            except TimeoutError:
                if not limit.expired():
                    raise
            return None

        event = _used().bus.call(end, timeout=FOREVER if timeout is None else timeout + GRACE)
        if event is None:
            raise TimeoutError(f"job {self.job_id} has not ended within {timeout:g} s; it goes on")
        if isinstance(event, JobResult):
            return event.payload
        raise NoResult(self.job_id, event)


@dataclass(frozen=True, slots=True)
class _Used:
    settings: Settings
    bus: SyncBus
    jobs: Mapping[str, Job]


def _used() -> _Used:
    with _making:  # or two threads that begin at once would make two
        return _made()


_making = threading.Lock()


@cache
def _made() -> _Used:
    log_to_their_loggers()
    settings = Settings.load()
    return _Used(settings, SyncBus(settings, name="busctl python", declare=False), discover_for(settings))
