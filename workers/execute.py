"""Claim a job, run it, append its end: what every Celery task of this system does.

A task is acknowledged when `execute` returns, so it returns only when the job has its end in the stream, or when
somebody else answers for the job.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
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
    InvalidName,
    Settings,
    StreamConflict,
    SyncBus,
    UnknownJob,
    UnsupportedServer,
    holder,
    job_log,
)
from bus.job_log import CorruptJob, JobState
from bus.messages import JobResult
from workers import ends
from workers.ends import End
from workers.hold import Hold
from workers.interrupt import Interrupted, interruptible
from workers.lost_bus import end_when_lost
from workers.registry import Job, JobContext
from workers.ticket import Ticket

log = structlog.get_logger(__name__)

T = TypeVar("T")
Verb = Callable[[Bus], Coroutine[Any, Any, T]]

RETRY_FIRST = 0.2
RETRY_LONGEST = 5.0
"""Seconds between two attempts to reach NATS: doubled from the first up to the longest."""

LAST_RESORT = 30.0
"""Seconds past a job's time limit after which Celery kills a prefork child that is stuck in foreign code."""

AWAY = (BusUnavailable, UnsupportedServer, StreamConflict)
"""What may pass by waiting: NATS is down, or was started wrongly and will be started rightly."""


def register(app: Celery, jobs: Mapping[str, Job], settings: Settings) -> SyncBus:
    """Make each job a Celery task named `jobs.<type>` that takes a client id, a job id, and perhaps a ticket.

    Returns:
        The bus that the tasks use; it connects in each process that uses it.
    """
    bus = SyncBus(settings, name="busctl worker", update_stream=True)
    for job in jobs.values():
        app.task(_task(job, bus, settings), name=job.task_name, bind=True, time_limit=job.time_limit + LAST_RESORT)

    def close(**_: object) -> None:
        bus.close()

    end_when_lost(bus)
    worker_process_shutdown.connect(close, weak=False)
    worker_shutdown.connect(close, weak=False)
    return bus


def _task(job: Job, bus: SyncBus, settings: Settings) -> Callable[..., None]:
    def run(task: Task, client_id: str, job_id: str, ticket: object = None) -> None:
        execute(job, client_id, job_id, bus, settings, Ticket.read(ticket))

    run.__doc__ = job.summary
    return run


def execute(
    job: Job, client_id: str, job_id: str, bus: SyncBus, settings: Settings, ticket: Ticket | None = None
) -> None:
    """Bring one job to its stored end, or leave it to whoever answers for it.

    While NATS is away it waits for it: the task stays with this worker, unacknowledged.

    Args:
        ticket: what the task tells of the job; without it, or when the job has moved on since, the job is read.
    """
    with structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id, type=job.name):
        execution = Execution(job, client_id, job_id, bus, settings)
        try:
            execution.run(ticket)
        except (UnknownJob, CorruptJob, InvalidName) as error:
            log.warning("dropped a task without a job behind it", error=str(error))


class Execution:
    """One worker's work on one job: as many attempts as the job may have, then its end."""

    def __init__(self, job: Job, client_id: str, job_id: str, bus: SyncBus, settings: Settings) -> None:
        self._job = job
        self._client_id = client_id
        self._job_id = job_id
        self._bus = bus
        self._settings = settings
        self._cancelled = threading.Event()
        self._over_time = False
        self._interrupt: Callable[[], None] = lambda: None
        self._hold = Hold(client_id, job_id, settings, self._on_cancel)

    def run(self, ticket: Ticket | None) -> None:
        """Claim the job, run it, and store its end.

        Raises:
            UnknownJob, CorruptJob, InvalidName: there is no such job.
        """
        if ticket is not None and ticket.attempt < self._job.max_attempts:
            state = ticket.job(self._client_id, self._job_id)
        else:
            state = self._read()
        while not state.ended:
            if state.started and self._persist(lambda bus: holder.is_held(bus, self._job_id)):
                log.info("another worker runs the job; this task is dropped")
                return
            if state.attempt >= self._job.max_attempts:
                self._end(ends.failed(state, f"the worker died, and that was attempt {state.attempt} of as many"))
                return
            claimed = self._claim(state)
            if claimed is not None:
                self._attempts(claimed)
                return
            state = self._read()
        log.info("the job has ended already; nothing to do")

    def _read(self) -> JobState:
        return self._persist(lambda bus: job_log.read(bus.stream, self._client_id, self._job_id))

    def _claim(self, state: JobState) -> JobState | None:
        """Answer for the job and begin its next attempt, whose time runs from now on."""
        message_id = secrets.token_hex(12)

        async def claim(bus: Bus) -> JobState:
            await self._hold.begin(bus)
            try:
                claimed = await job_log.start(bus.stream, state, message_id=message_id)
            except AppendRefused:
                await self._hold.end()
                raise
            self._hold.limit(self._job.time_limit, self._on_over_time, partial(_give_up, bus, self._too_long(claimed)))
            return claimed

        try:
            return self._persist(claim)
        except AppendRefused:
            log.info("somebody else took the next step of the job; looking again")
            return None

    def _attempts(self, state: JobState) -> None:
        while True:
            log.debug("job started", attempt=state.attempt)
            end = self._attempt(state)
            if end is not None:
                self._end(end)
                return
            self._hold.relax()
            pause = self._job.backoff * 2 ** (state.attempt - 1)
            log.info("the job will be tried again", seconds=pause)
            again = None if self._cancelled.wait(pause) else self._claim(state)
            if again is None:
                log.info("the job was ended by somebody else meanwhile")
                self._persist(lambda bus: self._hold.end())
                return
            state = again

    def _attempt(self, state: JobState) -> End | None:
        """Run the function once. Returns how the job ends, or None when it is to be tried again."""
        context = JobContext(
            self._job_id,
            self._client_id,
            state.attempt,
            self._settings.job_delay_scale,
            self._cancelled,
            self._hold.progress,
        )
        value: object = ""
        try:
            with interruptible() as self._interrupt:
                if not self._cancelled.is_set():
                    value = self._job(state.request.content, context)
        except Interrupted:
            log.info("the job was interrupted")
        except (Exception, SystemExit) as error:
            if _pool_is_stopping(error):
                raise
            log.exception("the job raised")
            if isinstance(error, self._job.retry_on) and state.attempt < self._job.max_attempts:
                return None
            return ends.failed(state, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        if self._over_time:
            return self._too_long(state)
        if self._cancelled.is_set():
            return ends.cancelled(state)
        return ends.result(state, value, job_name=self._job.name, max_bytes=self._settings.job_result_max_bytes)

    def _too_long(self, state: JobState) -> End:
        return ends.failed(state, f"it took longer than {self._job.time_limit:g} s")

    def _end(self, end: End) -> None:
        async def end_and_let_go(bus: Bus) -> JobState:
            try:
                ended = await end(bus)
            except AppendRefused:
                await self._hold.end()
                raise
            await self._hold.end()
            return ended

        try:
            ended = self._persist(end_and_let_go)
        except AppendRefused:
            log.info("the job was ended by somebody else meanwhile; this end is dropped")
        else:
            done = log.debug if isinstance(ended.last, JobResult) else log.info
            done("job ended", action=ended.last.action, attempt=ended.attempt)

    def _on_cancel(self) -> None:
        self._cancelled.set()
        self._interrupt()

    def _on_over_time(self) -> None:
        self._over_time = True
        self._cancelled.set()
        self._interrupt()

    def _persist(self, verb: Verb[T]) -> T:
        """Repeat `verb` with growing delays until NATS answers."""
        delay = RETRY_FIRST
        while True:
            try:
                return self._bus.call(verb)
            except AWAY as error:
                log.warning("waiting for NATS", error=str(error), retry_in=delay)
                time.sleep(delay)
                delay = min(2 * delay, RETRY_LONGEST)


async def _give_up(bus: Bus, too_long: End) -> None:
    """Store the failure of a job that does not notice that its time is over."""
    delay = RETRY_FIRST
    while True:
        try:
            await too_long(bus)
        except AppendRefused:
            return
        except AWAY as error:
            log.warning("waiting for NATS", error=str(error), retry_in=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_LONGEST)
        else:
            log.warning("the job took too long and does not notice it; its failure is stored without it")
            return


def _pool_is_stopping(error: BaseException) -> bool:
    # Celery ends a worker by subclasses of SystemExit, billiard a child by negative exit codes. Then the job has
    # not failed: the task is not acknowledged and runs again.
    return isinstance(error, SystemExit) and (
        type(error) is not SystemExit or (isinstance(error.code, int) and error.code < 0)
    )
