"""Run a job in a test, without any server.

from workers.testing import run

done = run(shout, "hello")
assert done.result == "HELLO!"
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from bus import Bus, Settings
from bus.job_log import JobRequest, JobState
from bus.messages import JobStarted
from workers import ends
from workers.cancelled import Cancelled
from workers.context import JobContext
from workers.function import answer
from workers.job_loop import JobLoop
from workers.registry import Job
from workers.resources import Resources
from workers.retrying import NextAttempt
from workers.written import NOW, Written, in_coroutine


@dataclass
class Run:
    """What became of a job.

    Args:
        result: what its client gets, when it is done, as JSON has it; else None.
        failure: why it failed, as its client is told; None when it did not.
        cancelled: whether it was cancelled.
        output: what it yielded and wrote in its last attempt, each piece for itself. A worker joins small ones.
        progress: the arguments of each `job.progress`, of all attempts.
        attempts: how often its function was called.
        retries: why each attempt before the last failed, and for how many seconds a worker would wait then.
        error: what its function raised at last.
    """

    result: Any = None
    failure: str | None = None
    cancelled: bool = False
    output: list[str] = field(default_factory=list)
    progress: list[tuple[float | None, str | None]] = field(default_factory=list)
    attempts: int = 0
    retries: list[NextAttempt] = field(default_factory=list)
    error: BaseException | None = None


def run(
    job: Job,
    content: Any,
    *,
    job_id: str = "job",
    client_id: str = "client",
    delay_scale: float = 0.0,
    cancel_after: int | None = None,
    max_bytes: int | None = None,
    slot: datetime | None = None,
) -> Run:
    """Run a job of any kind (plain, async, generator, async generator) as a worker does, up to its last attempt.

    There is no pause between two attempts, and no time limit. Resources are opened and closed in each run.

    Args:
        content: what a client sends, as JSON has it.
        job_id, client_id: what the job sees of its client.
        delay_scale: factor on pretended work; by default there is none.
        cancel_after: cancel the job as soon as it has written so many pieces.
        max_bytes: the largest result; by default `BUS_JOB_RESULT_MAX_BYTES` as it is when unset.
        slot: what the job sees as the time for which its schedule made it, with a time zone.

    Raises:
        KeyboardInterrupt: you pressed Ctrl+C.
    """
    if max_bytes is None:
        max_bytes = int(Settings.model_fields["job_result_max_bytes"].default)
    runner = _Runner(job, content, job_id, client_id, delay_scale, cancel_after, max_bytes, slot)
    if not in_coroutine():
        return runner.run()
    with ThreadPoolExecutor(1) as thread:  # a plain job must not find itself in a coroutine
        return thread.submit(runner.run).result()


@dataclass
class _Runner:
    job: Job
    content: Any
    job_id: str
    client_id: str
    delay_scale: float
    cancel_after: int | None
    max_bytes: int
    slot: datetime | None

    def run(self) -> Run:
        done, loop = Run(), JobLoop()
        resources = Resources(loop)
        try:
            while not done.cancelled and done.attempts < self.job.max_attempts:
                done.attempts += 1
                end = self._attempt(done, loop, resources)
                if not isinstance(end, NextAttempt):
                    self._tell(end, done)
                    break
                done.retries.append(end)
        finally:
            resources.close()
            loop.close()
        return done

    def _attempt(self, done: Run, loop: JobLoop, resources: Resources) -> ends.End | NextAttempt:
        cancelled = Cancelled()
        written = _Pieces(self.job.name, self.max_bytes, cancelled, self.cancel_after)
        done.output, done.error = written.pieces, None
        state = self._state(done.attempts)
        context = JobContext(
            job_id=self.job_id,
            client_id=self.client_id,
            attempt=done.attempts,
            delay_scale=self.delay_scale,
            cancelled=cancelled,
            report=lambda fraction, message: done.progress.append((fraction, message)),
            written=written,
            resources=resources,
            slot=self.slot,
        )
        try:
            value = answer(self.job, self.content, context, loop)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            done.error = error
            following = NextAttempt.after(error, self.job, state)
            if following is not None:
                return following
            end = ends.raised(state, error)
        else:
            end = ends.result(state, value, job_name=self.job.name, max_bytes=self.max_bytes)
        finally:
            done.cancelled = cancelled.is_set()
        return end if written.failure is None else ends.failed(state, written.failure)

    def _state(self, attempt: int) -> JobState:
        request = JobRequest(task_type=self.job.name, job_type=self.job.name, content=self.content)
        started = JobStarted(payload="", attempt=attempt)
        return JobState(self.client_id, self.job_id, request, started, 1, None, attempt)

    def _tell(self, end: ends.End, done: Run) -> None:
        if done.cancelled:
            return
        log = _Log()
        asyncio.run(end(cast(Bus, log)))
        done.result = log.event["payload"] if log.event["action"] == "job_result" else None
        done.failure = log.event.get("reason")


class _Pieces(Written):
    """Notes each piece for itself, and cancels the job when it has written enough."""

    def __init__(self, name: str, max_bytes: int, cancelled: Cancelled, cancel_after: int | None) -> None:
        super().__init__(name, max_bytes, cancelled)
        self._cancel_after = cancel_after

    @property
    def pieces(self) -> list[str]:
        return self._texts

    def _added(self) -> Any:
        if len(self._texts) == self._cancel_after:
            self._cancelled.set()
        return NOW


class _Log:
    """Stands in for a bus, and keeps the one event that is appended."""

    def __init__(self) -> None:
        self.stream = self
        self.event: dict[str, Any] = {}

    async def append(self, subject: str, data: bytes, **_: object) -> int:
        self.event = json.loads(data)
        return 2
