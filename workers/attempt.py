"""One attempt at a job: its function called, what it writes stored, and the end that it comes to."""

from __future__ import annotations

from functools import partial

import structlog

from bus import Bus
from bus.job_log import JobState
from workers import ends
from workers.cancelled import Cancelled
from workers.context import JobContext
from workers.errors import Misfit
from workers.function import answer
from workers.interrupt import Interrupted, Signals, process_is_ending
from workers.limits import Limits
from workers.outcomes import Fail, Retry
from workers.output import Output
from workers.process import WorkerProcess, persist
from workers.registry import Job
from workers.retrying import NextAttempt
from workers.running_job import RunningJob

log = structlog.get_logger(__name__)


class Attempt:
    """One attempt, from the moment at which it is claimed. Made on the bus's loop.

    Args:
        job: what runs.
        state: the job as it was claimed.
        bus: where its events go.
        process: what jobs of this process share.
        running: what goes on beside it.
        limits: how long it may take, from now on.
        cancelled: set when its function has to stop.
        signals: interrupt it in the main thread.
    """

    def __init__(
        self,
        job: Job,
        state: JobState,
        bus: Bus,
        process: WorkerProcess,
        running: RunningJob,
        limits: Limits,
        cancelled: Cancelled,
        signals: Signals,
    ) -> None:
        self.state = state
        self._job = job
        self._process = process
        self._running = running
        self._limits = limits
        self._cancelled = cancelled
        self._signals = signals
        self.over_time = False
        """Whether it took longer than it may."""
        self._output = Output(
            bus,
            state,
            own=running.own,
            on_over=self.stop,
            metrics=process.metrics,
            name=job.name,
            max_bytes=process.settings.job_result_max_bytes,
            cancelled=cancelled,
        )
        running.limit(limits, self._on_over_time, partial(persist, bus, ends.failed(state, limits.reason)))

    def run(self) -> ends.End | NextAttempt:
        """Run the function once. Returns how the job ends, or that it is to be tried again."""
        output, cancelled, process = self._output, self._cancelled, self._process
        content, context = self.state.request.content, self._context()
        try:
            with self._signals.function():
                value = None if cancelled.is_set() else answer(self._job, content, context, process.loop)
        except BaseException as error:
            if process_is_ending(error):
                raise
            end = self._stopped() or self._raised(error)
        else:
            most = process.settings.job_result_max_bytes
            end = self._stopped() or ends.result(self.state, value, job_name=self._job.name, max_bytes=most)
        self._running.relax()
        if isinstance(end, NextAttempt):
            output.discard()
            return end
        return partial(self._end, end)

    def stop(self) -> None:
        """Have the function left, from any thread."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            self._signals.interrupt()

    def _context(self) -> JobContext:
        return JobContext(
            job_id=self.state.job_id,
            client_id=self.state.client_id,
            attempt=self.state.attempt,
            delay_scale=self._process.settings.job_delay_scale,
            cancelled=self._cancelled,
            report=self._running.progress,
            written=self._output,
            resources=self._process.resources,
            slot=self.state.request.slot_time,
        )

    def _stopped(self) -> ends.End | None:
        """How the job ends when its function had to stop; None when nobody told it to."""
        if self._output.failure is not None:
            return ends.failed(self.state, self._output.failure)
        if self.over_time:
            return ends.failed(self.state, self._limits.reason)
        if self._output.over:
            return ends.failed(self.state, "another attempt has begun")  # which NATS refuses, as it did the output
        return ends.cancelled(self.state) if self._cancelled.is_set() else None

    def _raised(self, error: BaseException) -> ends.End | NextAttempt:
        if isinstance(error, Interrupted):
            log.info("the job was interrupted")
            return ends.failed(self.state, "it was stopped by SIGUSR1, the signal of Celery's soft time limit")
        if isinstance(error, Misfit):
            log.warning("the job's content or result does not fit", error=str(error))
        elif not isinstance(error, (Fail, Retry)):
            log.error("the job raised", exc_info=error)
        return NextAttempt.after(error, self._job, self.state) or ends.raised(self.state, error)

    def _on_over_time(self) -> None:
        self.over_time = True
        self.stop()

    async def _end(self, end: ends.End, bus: Bus) -> JobState:
        await self._output.flush()
        if self._output.failure is not None:  # since, so the text of the result is not all there
            end = ends.failed(self.state, self._output.failure)
        return await end(bus)
