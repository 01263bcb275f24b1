"""ClientJobs: whether a client may have one more job, and whether its task may go to Redis at once.

The worker that reconciles knows all open jobs and is asked. It is asked seldom: what it said, and what was submitted
here since, is enough to know until that reaches a limit. When in doubt the task is left to the reconciler, which makes
it within milliseconds if it is the job's turn.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from bus import Bus, BusUnavailable, Settings, subjects
from bus.job_log import JobState
from workers.errors import TooManyBytes, TooManyJobs
from workers.open_jobs import SCHEDULED

log = structlog.get_logger(__name__)

ASK_TIMEOUT = 0.5
ASK_EVERY = 0.05
"""Seconds for which an answer about a client is good, even where it says that a limit is reached."""
SILENCE = 1.0
"""Seconds until somebody is asked again after nobody answered."""
MOST_CLIENTS = 10_000
"""Clients that are remembered, those of the latest submits; about others is asked."""


class Answer(BaseModel):
    """What open jobs a client had when the last event had the sequence `seq`.

    Args:
        open: how many, as `OpenJobs.count` has it.
        bytes: how much of the stream they took.
    """

    model_config = ConfigDict(strict=True)

    seq: NonNegativeInt
    open: dict[str, NonNegativeInt]
    bytes: NonNegativeInt = 0


@dataclass(slots=True, eq=False)
class _Job:
    """A job that is, or was, submitted here. Its sequence is known once it is stored."""

    queue: str
    size: int = 0
    seq: int = 0


@dataclass(slots=True, eq=False)
class _Client:
    answer: Answer = field(default_factory=lambda: Answer(seq=0, open={}))
    answered: bool = False
    """Whether somebody answered when it was last asked about."""
    asked_at: float = float("-inf")
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    since: dict[str, _Job] = field(default_factory=dict)
    """What was submitted here since the answer, and is not known to have ended, by job."""
    here: Counter[str] = field(default_factory=Counter)
    """How many these are in each queue, together with those that are being submitted here."""
    bytes_here: int = 0

    def most(self, queue: str | None = None) -> int:
        """How many open jobs the client has at most; in one queue, or in all of them."""
        if queue is None:
            return sum(self.answer.open.values()) + self.here.total()
        return self.answer.open.get(queue, 0) + self.here[queue]

    @property
    def most_bytes(self) -> int:
        """How many bytes of the stream its open jobs take at most."""
        return self.answer.bytes + self.bytes_here

    def begin(self, queue: str) -> _Job:
        """Count a job that is about to be submitted."""
        self.here[queue] += 1
        return _Job(queue)

    def measure(self, job: _Job, size: int) -> None:
        """Count the bytes of one that is counted."""
        self.bytes_here += size - job.size
        job.size = size

    def keep(self, job: _Job, stored: JobState) -> None:
        """Go on counting one that is stored, unless the answer does already."""
        self.forget(stored.job_id)
        if stored.seq <= self.answer.seq:
            self.drop(job)
        else:
            job.seq = stored.seq
            self.since[stored.job_id] = job

    def drop(self, job: _Job) -> None:
        """Count one no more."""
        self.here[job.queue] -= 1
        self.bytes_here -= job.size

    def forget(self, job_id: str) -> None:
        """Count a stored one no more, if it was submitted here since the answer."""
        if (job := self.since.pop(job_id, None)) is not None:
            self.drop(job)

    def learn(self, answer: Answer) -> None:
        """Take an answer, which has all that was stored before it."""
        self.answer = answer
        for job_id in [job_id for job_id, job in self.since.items() if job.seq <= answer.seq]:
            self.forget(job_id)


@dataclass(slots=True)
class Acceptance:
    """One more job of a client, that is about to be stored.

    Args:
        waits: whether its task is left to the reconciler, which makes it when it is the job's turn.
        allow: to be called before it is stored with the bytes of the stream that it will take. Raises `TooManyBytes`
            when the client's open jobs may not take so many more. None: they may take any number.
        stored: the job, to be set once it is.
    """

    waits: bool
    allow: Callable[[int], Awaitable[None]] | None = None
    stored: JobState | None = None


class ClientJobs:
    """What this process knows of the open jobs of those clients that submit here.

    Args:
        bus: where to ask.
        settings: `client_window`, `client_open_jobs` and `client_stream_share`.
    """

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._bus = bus
        self._window = settings.client_window
        self._limit = settings.client_open_jobs
        self._share = settings.client_stream_share
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._silent_until = float("-inf")

    @asynccontextmanager
    async def accept(self, client_id: str, queue: str, *, scheduled: bool = False) -> AsyncIterator[Acceptance]:
        """A block in which one more job of a client is stored.

        While nobody answers, as without any worker, only jobs that were submitted here count.

        Args:
            queue: in which it is to wait for a worker.
            scheduled: whether it has to wait for its time first, and takes no place in the queue until then.

        Raises:
            TooManyJobs: the client has as many open jobs as it may.
        """
        if scheduled:
            queue = SCHEDULED
        client = self._clients.setdefault(client_id, _Client())
        self._clients.move_to_end(client_id)
        while len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        if client.asked_at == float("-inf") or client.most(queue) >= self._window:
            await self._ask(client_id, client)
        if not await self._comes_true(lambda: client.most() < self._limit, client_id, client):
            raise TooManyJobs(self._limit)
        job = client.begin(queue)

        async def allow(size: int) -> None:
            client.measure(job, 0)  # it may have been tried before
            most = await self._bus.stream.max_bytes()
            limit = int(self._share * most) if most > 0 else math.inf

            def fits() -> bool:
                return not client.most_bytes or client.most_bytes + size <= limit

            if not await self._comes_true(fits, client_id, client):
                raise TooManyBytes(size, client.most_bytes, int(limit))
            client.measure(job, size)

        acceptance = Acceptance(waits=scheduled or client.most(queue) > self._window, allow=allow)
        try:
            yield acceptance
        finally:
            if acceptance.stored is None:
                client.drop(job)
            else:
                client.keep(job, acceptance.stored)
                if acceptance.waits:
                    await self._bus.notify(subjects.OPEN_JOBS, client_id.encode())

    def ended(self, client_id: str, job_id: str) -> None:
        """Note that a job has ended, for whoever hears of it anyway: then less has to be asked."""
        if (client := self._clients.get(client_id)) is not None:
            client.forget(job_id)

    async def _comes_true(self, fits: Callable[[], bool], client_id: str, client: _Client) -> bool:
        """Whether there is room for a client's job, by what is known or else by asking.

        It is asked a second time, because the reconciler, which may not have read of the latest ends, does so when it
        is asked. Then whoever was shown an end can submit the next job.
        """
        if not fits():
            await self._ask(client_id, client)
        if not fits() and client.answered:
            await asyncio.sleep(ASK_EVERY)
            await self._ask(client_id, client)
        return fits()

    async def _ask(self, client_id: str, client: _Client) -> None:
        async with client.asking:
            now = time.monotonic()
            if now < max(client.asked_at + ASK_EVERY, self._silent_until):
                return
            answer = await self._answer(client_id)
            client.asked_at = time.monotonic()
            client.answered = answer is not None
            if answer is None:
                self._silent_until = client.asked_at + SILENCE
            else:
                client.learn(answer)

    async def _answer(self, client_id: str) -> Answer | None:
        try:
            answer = await self._bus.request(subjects.OPEN_JOBS, client_id.encode(), timeout=ASK_TIMEOUT)
            return None if answer is None else Answer.model_validate_json(answer)
        except (BusUnavailable, ValidationError) as error:
            log.debug("nobody tells how many open jobs a client has", client_id=client_id, error=str(error))
            return None
