"""The worker's main process: what Celery does to tasks outside of their functions, told to the job log.

Celery can discard a task (revoked), end its child (terminated, over its hard time limit), or lose it. Then nobody is
left in the child to say so, and the task is acknowledged or goes back to Redis.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import structlog
from billiard.exceptions import Terminated, WorkerLostError
from celery.concurrency.solo import TaskPool as SoloPool
from celery.exceptions import WorkerShutdown
from celery.signals import task_revoked, worker_init, worker_shutdown
from celery.worker.request import Request
from celery.worker.state import active_requests

from bus import Bus, BusError, job_log, leases, liveness
from bus.job_log import JobState
from workers import submission
from workers.limits import Limits
from workers.metrics import WorkerMetrics
from workers.process import Verb, WorkerProcess
from workers.registry import Job

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
"""What may wait to be told while NATS is away; what finds no room is found by the reconciler."""


class MainProcess:
    """Tells the bus what happened to tasks, from a thread of its own, so that Celery's loop never waits for NATS.

    Args:
        process: the bus, and the names of the children.
        jobs: the registered jobs by name.
        metrics: of the worker.
    """

    def __init__(self, process: WorkerProcess, jobs: Mapping[str, Job], metrics: WorkerMetrics) -> None:
        self.metrics = metrics
        self.bus = process.bus
        self._process = process
        self._jobs = {job.task_name: job for job in jobs.values()}
        self._waiting: queue.Queue[tuple[str, Verb[object]] | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._soft: float | None = None
        self._hard: float | None = None
        self.request_class = _request_class(self)
        worker_init.connect(self._take_limits, weak=False)
        task_revoked.connect(self.on_revoked, weak=False)
        worker_shutdown.connect(self._stop, weak=False)

    def limits(self, *limits: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        """The smallest hard and soft time limit, of these and of the worker's command line."""
        hard, soft = zip((self._hard, self._soft), *limits, strict=True)
        return min(filter(None, hard), default=None), min(filter(None, soft), default=None)

    def on_child_lost(self, pid: int | None) -> None:
        """A child died: its jobs are nobody's, at once."""
        if pid is not None and pid != os.getpid():
            self.metrics.children_lost.inc()
            instance = self._process.instance_id(pid)
            self._tell("a child died", lambda bus: leases.give_up(bus, instance))

    def overdue(self) -> set[str]:
        """The children, as instances, that are in a job whose time is over."""
        return {
            self._process.instance_id(request.worker_pid)
            for request, limits in self._active()
            if time.time() > request.time_start + limits.soft + limits.grace
        }

    def kill_stuck(self, gone: set[str]) -> None:
        """Kill children that nothing runs in any more, such as one that is deep in a regular expression.

        A child keeps to its time limits itself, as long as its threads get a turn. One that does not renew its lease
        either, long after its time was over, is of no use.
        """
        for request, limits in self._active():
            pid = request.worker_pid
            if self._process.instance_id(pid) not in gone:
                continue
            if time.time() > request.time_start + limits.soft + limits.grace + limits.last_resort:
                log.error("killing a child that is stuck in its job", pid=pid, task=request.name)
                self._tell_over_time(request.args, limits.reason, self._process.instance_id(pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _active(self) -> Iterator[tuple[Request, Limits]]:
        for request in list(active_requests):
            job = self._jobs.get(request.name)
            if job is not None and request.time_start is not None and request.worker_pid != os.getpid():
                yield request, Limits.of(job, request.request_dict["timelimit"])

    def on_hard_limit(self, args: Any, reason: str) -> None:
        """A child is about to be killed for its time limit."""
        self._tell_over_time(args, reason)

    def _tell_over_time(self, args: Any, reason: str, instance: str | None = None) -> None:
        if job := _job(args):
            self._tell("a time limit", lambda bus: _fail(bus, *job, reason, instance))

    def on_revoked(self, request: Any = None, terminated: bool = False, **_: object) -> None:
        """An operator revoked a task, and Celery discards it or has ended the child that ran it."""
        if job := _job(request.args):
            log.info("a task was revoked; its job is cancelled", job_id=job[1], terminated=terminated)
            self._tell("a revoked task", lambda bus: cancel_revoked(bus, *job, terminated=terminated))

    def _take_limits(self, sender: Any, **_: object) -> None:
        # Celery would kill a child that waits with a finished result; only the child knows when its function returned.
        self._hard, self._soft = sender.time_limit, sender.soft_time_limit
        sender.time_limit = sender.soft_time_limit = None

    def _tell(self, what: str, verb: Verb[object]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="main process", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((what, verb))
        except queue.Full:
            log.error("too much waits for NATS; the reconciler will find the job", what=what)

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            what, verb = waiting
            try:
                self._process.persist(verb)
            except BusError as error:
                log.warning("the job log was not told", what=what, error=str(error))

    def _stop(self, **_: object) -> None:
        if self._thread is not None:
            with suppress(queue.Full):  # then it has enough to do until the process ends
                self._waiting.put_nowait(None)
            self._thread.join(self._process.settings.append_timeout)


def _request_class(main_process: MainProcess) -> type[Request]:
    class TaskRequest(Request):  # type: ignore[misc]
        """A task as the main process sees it."""

        def __init__(self, message: Any, **options: Any) -> None:
            super().__init__(message, **options)
            task = self.task
            asked = self.request_dict.get("timelimit") or (None, None)
            limits = main_process.limits(asked, (task.time_limit, task.soft_time_limit))
            self.request_dict["timelimit"] = limits  # for the child, which keeps to them
            self.time_limits = (None, None)

        def terminate(self, pool: Any, signal: Any = None) -> None:
            try:
                super().terminate(pool, signal)
            except NotImplementedError:  # by pools without children; there the job itself is told
                main_process.on_revoked(self, terminated=True)

        def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
            try:
                super().cancel(pool, signal, emit_retry)
            except NotImplementedError:  # by pools without children, in the signal handler of a cold shutdown
                if isinstance(pool, SoloPool):
                    # It leaves the job. WorkerTerminate would too, and nothing would give up this worker's lease.
                    raise WorkerShutdown from None
                log.warning("this worker ends when its job does: a thread cannot be left", task=self.name)

        def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> None:
            error = getattr(exc_info.exception, "exc", exc_info.exception)
            if isinstance(error, (WorkerLostError, Terminated)):
                main_process.on_child_lost(self.worker_pid)
            super().on_failure(exc_info, *args, **options)

        def on_timeout(self, soft: bool, timeout: float) -> None:
            if not soft:
                main_process.on_hard_limit(
                    self.args, f"it took longer than {timeout:g} s, the time limit of its worker"
                )
                main_process.on_child_lost(self.worker_pid)
            super().on_timeout(soft, timeout)

    return TaskRequest


def _job(args: Any) -> tuple[str, str] | None:
    match args:
        case [str(client_id), str(job_id), *_]:
            return client_id, job_id
        case _:
            return None


async def cancel_revoked(bus: Bus, client_id: str, job_id: str, *, terminated: bool = False) -> None:
    """Cancel a job whose task an operator revoked.

    Args:
        terminated: the child that runs it is ended too. Otherwise Celery's revoke leaves a running task alone, and so
            does this.
    """
    job = await job_log.read(bus.stream, client_id, job_id)
    if job.ended or (job.started and not terminated and await liveness.is_running(bus, job.instance, job_id)):
        return
    await submission.cancel(bus, client_id, job_id, by="an operator")


async def _fail(bus: Bus, client_id: str, job_id: str, reason: str, instance: str | None) -> JobState:
    job = await job_log.read(bus.stream, client_id, job_id)
    elsewhere = instance is not None and job.instance != instance
    return job if job.ended or elsewhere else await job_log.fail(bus.stream, job, reason)
