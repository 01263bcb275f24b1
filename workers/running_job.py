"""What goes on beside a running job, on the bus's loop: answering for it, limiting its time, showing its progress."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog
from billiard.process import current_process

from bus import Bus, BusError, job_log
from bus.liveness import Instance
from bus.messages import JobProgress
from workers.limits import Limits
from workers.process import WorkerProcess

log = structlog.get_logger(__name__)


class AlreadyRunning(Exception):
    """This process works on the job already."""


class RunningJob:
    """One job, for as long as this process works on it and answers for it.

    `begin`, `limit` and `let_go` run on the bus's loop.

    Args:
        client_id, job_id: the job.
        process: this process.
        on_cancel: called on the loop when the job was cancelled.
    """

    def __init__(self, client_id: str, job_id: str, process: WorkerProcess, on_cancel: Callable[[], None]) -> None:
        self._client_id = client_id
        self._job_id = job_id
        self._process = process
        self._on_cancel = on_cancel
        self._instance: Instance | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._timed: object | None = None
        """Stands for the attempt whose time runs."""
        self._has_let_go = False
        self._latest: JobProgress | None = None
        self._progressing = False

    async def begin(self, bus: Bus) -> str:
        """Answer for the job from now on, as the instance that is returned.

        Raises:
            AlreadyRunning: this process does so already, for another task.
            NoLease, BusUnavailable: this process cannot prove that it lives.
        """
        instance = await self._process.instance(bus)
        if self._instance is not instance:

            def on_cancel() -> None:
                self.own(self._look_at_cancel(bus))

            if not instance.begin(self._job_id, on_cancel):
                raise AlreadyRunning
            self._loop = asyncio.get_running_loop()
            self._instance = instance
        return instance.id

    def answers_as(self, instance: str | None) -> bool:
        """Whether it is for this task, and as that instance, that this process answers for the job."""
        return self._instance is not None and self._instance.id == instance

    def limit(self, limits: Limits, on_over: Callable[[], None], give_up: Callable[[], Awaitable[object]]) -> None:
        """Call `on_over` when the time is over, and run `give_up` if the job does not notice it.

        A function that goes on all the same is ended with its process, if that is Celery's to replace.
        """
        if self._watch is not None:
            self._watch.cancel()  # of the attempt before
        self._timed = timed = object()
        self._watch = self.own(_limit(limits, lambda: self._timed is timed, on_over, give_up))

    def relax(self) -> None:
        """Stop limiting the time, from any thread: this attempt is over."""
        self._timed = None  # without a word to the loop: that would wake it once more for each job

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Note progress, from any thread. The latest is sent at most once in `progress_interval`."""
        self._latest = JobProgress(payload=fraction, message=message, job_id=self._job_id)
        if not self._progressing and self._loop is not None:
            self._progressing = True
            self._loop.call_soon_threadsafe(lambda: self.own(self._send_progress()))

    def end(self) -> None:
        """Let go, from any thread: soon there is no progress, no limit and no answer."""
        if self._loop is not None and not self._has_let_go:
            with suppress(RuntimeError):  # the loop is closed, and this went with it
                self._loop.call_soon_threadsafe(self.let_go)

    async def _look_at_cancel(self, bus: Bus) -> None:
        """Somebody says that the job was cancelled. Whoever may ask this process may say so: the log is believed."""
        try:
            cancelled = (await job_log.read(bus.stream, self._client_id, self._job_id)).ended
        except BusError as error:  # if it was, the next step of the job is refused
            log.warning("it cannot be seen whether the job was cancelled", error=str(error))
            return
        if cancelled:
            self._on_cancel()
        else:
            log.warning("somebody says that the job was cancelled, and it was not")

    def let_go(self) -> None:
        """Let go at once, on the bus's loop."""
        self._has_let_go = True
        for task in self._tasks:
            task.cancel()
        if self._instance is not None:
            self._instance.end(self._job_id)
            self._instance = None

    async def _send_progress(self) -> None:
        try:
            while (latest := self._latest) is not None and self._instance is not None:
                self._latest = None
                await self._instance.bus.publish_progress(latest, self._client_id, self._job_id)
                await asyncio.sleep(self._process.settings.progress_interval)
        finally:  # whatever was wrong with one message, the next begins anew
            self._progressing = False

    def own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the job, on the loop, until the job is let go at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _limit(
    limits: Limits, runs: Callable[[], bool], on_over: Callable[[], None], give_up: Callable[[], Awaitable[object]]
) -> None:
    await asyncio.sleep(limits.soft)
    if not runs():
        return
    try:
        on_over()
    except Exception:
        log.exception("the job could not be told that its time is over")
    await asyncio.sleep(limits.grace)
    if not runs():
        return
    try:
        await give_up()
    except Exception:
        log.exception("the failure of a job over its time could not be stored")
    await asyncio.sleep(limits.last_resort)
    if runs() and current_process().name != "MainProcess":
        log.error("killing this process, whose job does not end")
        os.kill(os.getpid(), signal.SIGKILL)
