"""Job: a handle on one job, which follows it over connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, Protocol

from busctl_client.errors import BusctlError
from busctl_client.events import Frame, JobState
from busctl_client.output import Output
from busctl_client.signal import Signal

ENDED: frozenset[JobState] = frozenset({"done", "failed", "cancelled", "refused"})
ANSWER_WITHIN = 30.0
"""Seconds that cancel and retry wait for, unless they are told otherwise."""


class Desk(Protocol):
    """What a job needs of its client."""

    @property
    def trouble(self) -> BusctlError | None:
        """Why nothing comes any more; None while something may."""

    def submit(self, task_type: str, content: Any) -> Job:
        """Ask for a new one."""

    async def cancel(self, job: Job) -> None:
        """Have it called off, and wait for the answer."""

    def retry(self, job: Job, key: str | None) -> Job:
        """Ask for a new one like it, or once more for this one."""


class Job:
    """One job. Its attributes say how it stands; the client changes them, nobody else should."""

    def __init__(
        self,
        desk: Desk,
        *,
        key: str,
        task_type: str,
        content: Any,
        state: JobState = "sending",
        retry_of: str | None = None,
    ) -> None:
        self.id: str | None = None
        """What the server calls it, from when it is accepted."""
        self.key = key
        """Its idempotency key."""
        self.task_type = task_type
        """The job type that was asked for."""
        self.content = content
        """What it was given to work on."""
        self.runs: str | None = None
        """The job type that runs, where that is another one: `default`, for an unknown type."""
        self.retry_of = retry_of
        """The id of the job that is done again by this one."""
        self.not_before: datetime | None = None
        """When it may begin, if it was submitted for later."""
        self.state: JobState = state
        """How it stands: `sending`, not confirmed by the server yet; `unsent`, not accepted for now, or not sent again
        since the server could not take one of those that were sent, so that `retry()` may do; `refused`, not accepted;
        `scheduled`, it waits for `not_before`; `queued`, for a worker; `started`; `retrying`, another attempt follows;
        `interrupted`, history was cut and nobody knows, but events may still put it right; `done`, `failed` or
        `cancelled`, it has ended."""
        self.attempt = 0
        """How often a worker has begun."""
        self.reasons: dict[int, str] = {}
        """Why attempts brought no result, by attempt."""
        self.progress: float | None = None
        """How far it has come, from 0 to 1, if it says so."""
        self.message = ""
        """What it says is going on."""
        self.at: datetime | None = None
        """When its latest step was stored."""
        self.value: Any = None
        """What it gave, once it is done."""
        self.error: BusctlError | None = None
        """What `result()` raises, while it does."""
        self.changed = Signal()
        self.output = Output(self.changed, self.check)
        """What it writes: `async for piece in job.output`; `job.output.text` is what there is by now."""
        self.frame: Frame | None = None
        """What asks the server for it, where this client did."""
        self._desk = desk

    def __repr__(self) -> str:
        return f"<Job {self.task_type} {self.id or self.key} {self.state}>"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    async def accepted(self, timeout: float | None = None) -> Job:
        """Wait until the server has stored it: from then on its end will come. Returns the job.

        Args:
            timeout: seconds; None waits for as long as the client lives.

        Raises:
            Refused: it is not accepted, and why.
            JobLost: it cannot be known whether it was.
            TimeoutError: neither within `timeout`. It is sent on.
            ConnectionClosed: the client is closed.
        """
        await self._until(lambda: self.id is not None, timeout)
        return self

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for what the job gives: its text, or the value that its type declares.

        Args:
            timeout: seconds; None waits for as long as the client lives.

        Raises:
            JobFailed, JobCancelled: it ended otherwise.
            Refused: it was never accepted.
            JobLost: how it ended cannot be known.
            TimeoutError: it did not end within `timeout`. It goes on; wait again, or cancel it.
            ConnectionClosed: the client is closed. The job goes on all the same.
        """
        await self._until(lambda: self.ended, timeout)
        if self.error is not None:
            raise self.error
        return self.value

    async def cancel(self, timeout: float | None = ANSWER_WITHIN) -> JobState:
        """Call it off, waiting or running. Returns how it ended: `done` or `failed` when it was faster.

        Args:
            timeout: seconds; None waits for as long as the client lives.

        Raises:
            Refused: the server does not do it, for now or for good.
            JobLost: how it ended cannot be known.
            TimeoutError: there was no answer within `timeout`. It may be called off all the same.
            ConnectionClosed: the client is closed.
        """
        async with asyncio.timeout(timeout):
            await self.accepted()
            if not self.ended:
                await self._desk.cancel(self)
        return self.state

    async def retry(self, *, key: str | None = None, timeout: float | None = ANSWER_WITHIN) -> Job:
        """Do it again, once it has ended: a new job with the same request. Returns that one, accepted.

        A job that is `unsent` is sent again itself.

        Args:
            key: idempotency key of the new job, as in `Client.submit`.
            timeout: seconds; None waits for as long as the client lives.

        Raises:
            Refused: it has not ended yet, or does not fit its type any more.
            TimeoutError: there was no answer within `timeout`. The new job may be accepted still.
            ConnectionClosed: the client is closed.
        """
        async with asyncio.timeout(timeout):
            if self.state != "unsent":
                await self.accepted()
            return await self._desk.retry(self, key).accepted()

    def again(self) -> Job:
        """Submit the same type and content anew, with a key of its own."""
        return self._desk.submit(self.task_type, self.content)

    async def changes(self) -> AsyncIterator[Job]:
        """The job itself, now and whenever something about it is new, until it has ended. What is missed is not kept.

        Raises:
            JobLost, ConnectionClosed: its end will not be seen.
        """
        seen = -1
        while True:
            if seen != self.changed.count:
                seen = self.changed.count
                yield self
            elif self.ended:
                return
            else:
                self.check()
                await self.changed.wait()

    def follow(self, other: Job) -> None:
        """Be where the other is: both are the same job."""
        self.state, self.attempt, self.reasons = other.state, other.attempt, dict(other.reasons)
        self.progress, self.message, self.at = other.progress, other.message, other.at
        self.value, self.error = other.value, other.error
        self.runs, self.retry_of, self.not_before = other.runs, other.retry_of, other.not_before
        self.output.follow(other.output)

    def check(self) -> None:
        """Raise why nothing more comes, if that is so."""
        trouble = self.error or self._desk.trouble
        if trouble is not None:
            raise trouble

    async def _until(self, condition: Callable[[], bool], timeout: float | None) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                self.check()
                await self.changed.wait()
