"""ClientJobs: whether a client may have one more job, and whether its task may go to Redis at once.

The worker that reconciles knows all open jobs and is asked. It is asked seldom: what it said, and what was submitted
here since, is enough to know until that reaches a limit. When in doubt the task is left to the reconciler, which makes
it within milliseconds if it is the job's turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from bus import Bus, BusUnavailable, Settings, subjects
from bus.job_log import JobState
from workers.errors import TooManyJobs
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
    """How many open jobs a client had, as `OpenJobs.count` has it, when the last event had the sequence `seq`."""

    model_config = ConfigDict(strict=True)

    seq: NonNegativeInt
    open: dict[str, NonNegativeInt]


@dataclass(slots=True, eq=False)
class _Client:
    answer: Answer = field(default_factory=lambda: Answer(seq=0, open={}))
    asked_at: float = float("-inf")
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    since: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Sequence and queue of what was submitted here since the answer, and is not known to have ended, by job."""
    under_way: Counter[str] = field(default_factory=Counter)
    """What is being submitted here."""

    def most(self, queue: str | None = None) -> int:
        """How many open jobs the client has at most; in one queue, or in all of them."""
        since = Counter(queue for _, queue in self.since.values())
        if queue is None:
            return sum(self.answer.open.values()) + since.total() + self.under_way.total()
        return self.answer.open.get(queue, 0) + since[queue] + self.under_way[queue]


@dataclass(slots=True)
class Acceptance:
    """One more job of a client, that is about to be stored.

    Args:
        waits: whether its task is left to the reconciler, which makes it when it is the job's turn.
        stored: the job, to be set once it is.
    """

    waits: bool
    stored: JobState | None = None


class ClientJobs:
    """What this process knows of the open jobs of those clients that submit here.

    Args:
        bus: where to ask.
        settings: `client_window` and `client_open_jobs`.
    """

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._bus = bus
        self._window = settings.client_window
        self._limit = settings.client_open_jobs
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
        if client.asked_at == float("-inf") or client.most(queue) >= self._window or client.most() >= self._limit:
            await self._ask(client_id, client)
        if client.most() >= self._limit:
            raise TooManyJobs(self._limit)
        acceptance = Acceptance(waits=scheduled or client.most(queue) >= self._window)
        client.under_way[queue] += 1
        try:
            yield acceptance
        finally:
            client.under_way[queue] -= 1
            if acceptance.stored is not None:
                client.since[acceptance.stored.job_id] = acceptance.stored.seq, queue
                if acceptance.waits:
                    await self._bus.notify(subjects.OPEN_JOBS, client_id.encode())

    def ended(self, client_id: str, job_id: str) -> None:
        """Note that a job has ended, for whoever hears of it anyway: then less has to be asked."""
        if (client := self._clients.get(client_id)) is not None:
            client.since.pop(job_id, None)

    async def _ask(self, client_id: str, client: _Client) -> None:
        async with client.asking:
            now = time.monotonic()
            if now < max(client.asked_at + ASK_EVERY, self._silent_until):
                return
            answer = await self._answer(client_id)
            client.asked_at = time.monotonic()
            if answer is None:
                self._silent_until = client.asked_at + SILENCE
                return
            client.answer = answer
            client.since = {job_id: stored for job_id, stored in client.since.items() if stored[0] > answer.seq}

    async def _answer(self, client_id: str) -> Answer | None:
        try:
            answer = await self._bus.request(subjects.OPEN_JOBS, client_id.encode(), timeout=ASK_TIMEOUT)
            return None if answer is None else Answer.model_validate_json(answer)
        except (BusUnavailable, ValidationError) as error:
            log.debug("nobody tells how many open jobs a client has", client_id=client_id, error=str(error))
            return None
