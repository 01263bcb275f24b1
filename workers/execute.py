"""Claim a job, run it, append its end: what every Celery task of this system does.

A task is acknowledged when `execute` returns, so it returns only when the job has its end in the stream, or when
somebody else answers for the job.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping

import structlog
from billiard.common import terminate_handler_fired
from billiard.process import current_process
from celery import Celery, Task
from celery.exceptions import Reject
from celery.signals import worker_process_shutdown, worker_shutdown

from bus import AppendRefused, Bus, InvalidName, NoLease, Settings, SyncBus, UnknownJob, job_log, liveness
from bus.job_log import CorruptJob, JobState
from bus.messages import JobResult
from bus.tracebacks import described
from workers import ends
from workers.context import JobContext
from workers.ends import End
from workers.hold import AlreadyHeld, Hold
from workers.interrupt import Interrupted, Signals
from workers.limits import Limits
from workers.lost_bus import end_when_lost
from workers.main_process import MainProcess
from workers.process import WorkerProcess, persist
from workers.registry import Job
from workers.ticket import Ticket

log = structlog.get_logger(__name__)

NO_LEASE_PAUSE = 3.0
"""Seconds that a worker that may take no job keeps a task from going round."""


def register(app: Celery, jobs: Mapping[str, Job], settings: Settings) -> MainProcess:
    """Make each job a Celery task named `jobs.<type>` that takes a client id, a job id, and perhaps a ticket.

    Returns:
        What the worker's main process does about tasks besides.
    """
    bus = SyncBus(settings, name="busctl worker", update_stream=True)
    process = WorkerProcess(bus, settings)
    main_process = MainProcess(process, jobs)
    for job in jobs.values():
        app.task(_task(job, process), name=job.task_name, bind=True, Request=main_process.request_class)

    def close(**_: object) -> None:
        process.close()

    end_when_lost(bus)
    worker_process_shutdown.connect(close, weak=False)
    worker_shutdown.connect(close, weak=False)
    return main_process


def _task(job: Job, process: WorkerProcess) -> Callable[..., None]:
    def run(task: Task, client_id: str, job_id: str, ticket: object = None) -> None:
        limits = Limits.of(job, task.request.timelimit)
        system = getattr(task.request, "system", None)
        execute(job, client_id, job_id, process, Ticket.read(ticket), limits, system=system)

    run.__doc__ = job.summary
    return run


def execute(
    job: Job,
    client_id: str,
    job_id: str,
    process: WorkerProcess,
    ticket: Ticket | None = None,
    limits: Limits | None = None,
    *,
    system: str | None = None,
) -> None:
    """Bring one job to its stored end, or leave it to whoever answers for it.

    While NATS is away it waits for it: the task stays with this worker, unacknowledged.

    Args:
        ticket: what the task tells of the job; without it, or when the job has moved on since, the job is read.
        limits: how long one attempt may take; by default what the job asks for.
        system: the epoch of the event stream that the task says its job is in.

    Raises:
        Reject: this worker cannot prove that it lives, and the task goes back to Redis; or the job is unknown here,
            and the task may be another system's: it is left in Redis.
    """
    with (
        structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id, type=job.name),
        Signals() as signals,
    ):
        execution = Execution(job, client_id, job_id, process, limits or Limits.of(job), signals)
        try:
            execution.run(ticket)
        except UnknownJob as error:
            if not execution.is_of(system):
                log.warning("left a task in Redis that may be another system's", error=described(error))
                raise Reject("another system's task", requeue=False) from None
            log.warning("dropped a task whose job is gone", error=described(error))
        except (CorruptJob, InvalidName) as error:
            log.warning("dropped a task without a job behind it", error=described(error))
        except AlreadyHeld:
            log.info("this process works on the job already; this task is dropped")
        except NoLease as error:
            log.error("gave a task back", error=described(error))
            time.sleep(NO_LEASE_PAUSE)
            raise Reject(str(error), requeue=True) from error
        finally:
            execution.let_go()


class Execution:
    """One worker's work on one job: as many attempts as the job may have, then its end."""

    def __init__(
        self, job: Job, client_id: str, job_id: str, process: WorkerProcess, limits: Limits, signals: Signals
    ) -> None:
        self._job = job
        self._client_id = client_id
        self._job_id = job_id
        self._process = process
        self._limits = limits
        self._signals = signals
        self._cancelled = threading.Event()
        self._over_time = False
        self._hold = Hold(client_id, job_id, process, self._on_cancel)

    def run(self, ticket: Ticket | None) -> None:
        """Claim the job, run it, and store its end.

        Raises:
            UnknownJob, CorruptJob, InvalidName: there is no such job.
            NoLease: this process may take no job.
        """
        if ticket is not None and ticket.attempt < self._job.max_attempts:
            state = ticket.job(self._client_id, self._job_id)
        else:
            state = self._read()
        while not state.ended:
            if state.started and self._is_running(state):
                log.info("another worker runs the job; this task is dropped")
                return
            if state.attempt >= self._job.max_attempts:
                self._end(ends.failed(state, ends.worker_died(state)))
                return
            claimed = self._claim(state)
            if claimed is not None:
                self._attempts(claimed)
                return
            state = self._read()
        log.info("the job has ended already; nothing to do")

    def is_of(self, system: str | None) -> bool:
        """Whether the event stream is the one of this epoch."""
        return self._process.persist(lambda bus: bus.stream.state()).epoch == system

    def let_go(self) -> None:
        """Whatever happened: this process no longer answers for the job."""
        self._hold.end()

    def _read(self) -> JobState:
        return self._process.persist(lambda bus: job_log.read(bus.stream, self._client_id, self._job_id))

    def _is_running(self, state: JobState) -> bool:
        return self._process.persist(lambda bus: liveness.is_running(bus, state.instance, state.job_id))

    def _claim(self, state: JobState) -> JobState | None:
        """Answer for the job and begin its next attempt, whose time runs from now on."""
        message_id = secrets.token_hex(12)

        async def claim(bus: Bus) -> JobState:
            instance = await self._hold.begin(bus)
            claimed = await job_log.start(bus.stream, state, instance=instance, message_id=message_id)
            too_long = ends.failed(claimed, self._limits.reason)
            self._hold.limit(self._limits, self._on_over_time, lambda: persist(bus, too_long))
            return claimed

        try:
            return self._process.persist(claim)
        except AppendRefused:
            log.info("somebody else took the next step of the job; looking again")
            return None

    def _attempts(self, state: JobState) -> None:
        while True:
            log.debug("job started", attempt=state.attempt)
            end = self._attempt(state)
            self._hold.relax()
            if end is not None:
                self._end(end)
                return
            self._signals.release()
            pause = self._job.backoff * 2 ** (state.attempt - 1)
            log.info("the job will be tried again", seconds=pause)
            again = None if self._cancelled.wait(pause) else self._claim(state)
            if again is None:
                log.info("the job was ended by somebody else meanwhile")
                return
            state = again

    def _attempt(self, state: JobState) -> End | None:
        """Run the function once. Returns how the job ends, or None when it is to be tried again."""
        context = JobContext(
            self._job_id,
            self._client_id,
            state.attempt,
            self._process.settings.job_delay_scale,
            self._cancelled,
            self._hold.progress,
        )
        try:
            with self._signals.function():
                value = "" if self._cancelled.is_set() else self._job(state.request.content, context)
        except Interrupted:
            log.info("the job was interrupted")
            end = ends.failed(state, "it was stopped by SIGUSR1, the signal of Celery's soft time limit")
        except BaseException as error:
            if _process_is_ending(error):
                raise
            log.exception("the job raised")
            if isinstance(error, self._job.retry_on) and state.attempt < self._job.max_attempts:
                return None
            return ends.raised(state, error)
        else:
            end = ends.result(
                state, value, job_name=self._job.name, max_bytes=self._process.settings.job_result_max_bytes
            )
        if self._over_time:
            return ends.failed(state, self._limits.reason)
        return ends.cancelled(state) if self._cancelled.is_set() else end

    def _end(self, end: End) -> None:
        try:
            ended = self._process.persist(end, between=self._signals.release_if_overdue)
        except AppendRefused:
            log.info("the job was ended by somebody else meanwhile; this end is dropped")
        else:
            done = log.debug if isinstance(ended.last, JobResult) else log.info
            done("job ended", action=ended.last.action, attempt=ended.attempt)

    def _on_cancel(self) -> None:
        self._cancelled.set()
        self._signals.interrupt()

    def _on_over_time(self) -> None:
        self._over_time = True
        self._on_cancel()


def _process_is_ending(error: BaseException) -> bool:
    # A signal's handler raised it, billiard's in a child, or Celery's where the main process runs jobs itself. Then the
    # job has not failed: the task is not acknowledged and runs again. What a job raises on its own is its own.
    if not isinstance(error, SystemExit) or threading.current_thread() is not threading.main_thread():
        return False
    return terminate_handler_fired() or (type(error) is not SystemExit and current_process().name == "MainProcess")
