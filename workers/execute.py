"""Claim a job, run it, append its end: what every Celery task of this system does."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

import structlog
from celery import Celery, Task
from celery.signals import worker_process_shutdown, worker_shutdown

from bus import (
    AppendRefused,
    Bus,
    BusUnavailable,
    EventTooLarge,
    InvalidName,
    Settings,
    StreamConflict,
    SyncBus,
    UnknownJob,
    UnsupportedServer,
    job_log,
)
from bus.job_log import CorruptJob, JobState
from workers.registry import Job, JobContext

log = structlog.get_logger(__name__)

T = TypeVar("T")

RETRY_FIRST = 0.2
RETRY_LONGEST = 5.0
"""Seconds between two attempts to reach NATS: doubled from the first up to the longest."""

LONGEST_REASON = 300
"""Characters of an exception's message that a client is shown."""


def register(app: Celery, jobs: Mapping[str, Job], settings: Settings) -> None:
    """Make each job a Celery task named `jobs.<type>` that takes a client id and a job id."""
    bus = SyncBus(settings, name="busctl worker", update_stream=True)
    for job in jobs.values():
        app.task(_task(job, bus, settings), name=job.task_name, bind=True)

    def close(**_: object) -> None:
        bus.close()

    worker_process_shutdown.connect(close, weak=False)
    worker_shutdown.connect(close, weak=False)


def _task(job: Job, bus: SyncBus, settings: Settings) -> Callable[[Task, str, str], None]:
    def run(task: Task, client_id: str, job_id: str) -> None:
        execute(job, client_id, job_id, bus, settings)

    run.__doc__ = job.summary
    return run


def execute(job: Job, client_id: str, job_id: str, bus: SyncBus, settings: Settings) -> None:
    """Run one job to its stored end. Returning acknowledges the task, so it returns only when the end is stored.

    While NATS is away it waits for it: the task stays with this worker, unacknowledged.
    """
    with structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id, type=job.name):
        try:
            claimed = _claim(client_id, job_id, bus)
        except (UnknownJob, CorruptJob, InvalidName) as error:
            log.warning("dropped a task without a job behind it", error=str(error))
            return
        if claimed is None:
            return
        log.info("job started", attempt=claimed.attempt)
        end = _run(job, claimed, settings)
        message_id = secrets.token_hex(12)
        try:
            _persist(bus, lambda bus: end(bus, message_id))
        except AppendRefused:
            log.warning("the job was ended by somebody else meanwhile; this result is dropped")
        else:
            log.info("job ended")


def _claim(client_id: str, job_id: str, bus: SyncBus) -> JobState | None:
    message_id = secrets.token_hex(12)
    while True:
        state: JobState = _persist(bus, lambda bus: job_log.read(bus.stream, client_id, job_id))
        if state.ended:
            log.info("the job has ended already; nothing to do")
            return None
        try:
            return _persist(bus, partial(_start, state, message_id))
        except AppendRefused:
            log.info("another worker took the job at the same moment; looking again")


async def _start(state: JobState, message_id: str, bus: Bus) -> JobState:
    return await job_log.start(bus.stream, state, message_id=message_id)


End = Callable[[Bus, str], Coroutine[Any, Any, JobState]]


def _run(job: Job, state: JobState, settings: Settings) -> End:
    """Run the function and say how the job ends. Whatever it raises or returns ends the job, never the worker."""
    context = JobContext(state.job_id, state.client_id, state.attempt, settings.job_delay_scale)
    try:
        text = job(state.request.content, context)
    except (Exception, SystemExit) as error:
        if _pool_is_stopping(error):
            raise
        log.exception("the job raised")
        return _failed(state, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    if not isinstance(text, str):
        return _failed(state, f"{job.name} returned {type(text).__name__}, not text")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return _failed(state, f"{job.name} returned text that is no valid Unicode")
    if size > settings.job_result_max_bytes:
        return _failed(state, f"the result has {size} bytes; at most {settings.job_result_max_bytes} are allowed")

    async def finish(bus: Bus, message_id: str) -> JobState:
        try:
            return await job_log.finish(bus.stream, state, text, message_id=message_id)
        except EventTooLarge as error:
            return await job_log.fail(bus.stream, state, str(error), message_id=message_id)

    return finish


def _pool_is_stopping(error: BaseException) -> bool:
    # Celery ends a worker by subclasses of SystemExit, billiard a child by negative exit codes. Then the job has
    # not failed: the task is not acknowledged and runs again.
    return isinstance(error, SystemExit) and (
        type(error) is not SystemExit or (isinstance(error.code, int) and error.code < 0)
    )


def _failed(state: JobState, reason: str) -> End:
    # The reason may quote anything the job touched: keep it short, printable and encodable.
    short = reason.encode("utf-8", "replace").decode()[:LONGEST_REASON]

    async def fail(bus: Bus, message_id: str) -> JobState:
        return await job_log.fail(bus.stream, state, short, message_id=message_id)

    log.warning("the job failed", reason=short)
    return fail


def _persist(bus: SyncBus, verb: Callable[[Bus], Coroutine[Any, Any, T]]) -> T:
    """Repeat `verb` with growing delays until NATS answers."""
    delay = RETRY_FIRST
    while True:
        try:
            return bus.call(verb)
        except (BusUnavailable, UnsupportedServer, StreamConflict) as error:
            log.warning("waiting for NATS", error=str(error), retry_in=delay)
            time.sleep(delay)
            delay = min(2 * delay, RETRY_LONGEST)
