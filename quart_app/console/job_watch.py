"""What is told of one job: every event as it is stored, and as its client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from bus import Bus, Stored, UnknownJob, subjects, times
from bus.messages import JobStarted, Message
from bus.messages.from_operators import NamedJob
from bus.messages.to_operators import JobEvents, JobEventsPayload, ToldEvent
from quart_app.delivery.event_parser import EventParser

LARGEST_STORED = 64 * 1024
"""Bytes up to which an event is told as it is stored."""
MOST_OUTPUT = 256 * 1024
"""Bytes of what an attempt writes that are told; its result has the whole."""
AT_ONCE = 100
"""Events in one message."""
WAIT = 0.05
"""Seconds that are waited for more before a message goes."""
MOST_PROGRESS = 10
"""Progress that may wait to be told; the latest wins."""


class JobWatch:
    """Tells about one job for as long as `run` does.

    Args:
        bus: of this process.
        shown: every event class that clients are shown, by action.
        job: which one.
    """

    def __init__(self, bus: Bus, shown: Mapping[str, type[Message]], job: NamedJob) -> None:
        self._bus = bus
        self._parser = EventParser(bus, shown)
        self._job = job
        self._output = 0
        self._first = True
        self._progress: asyncio.Queue[Stored] = asyncio.Queue(MOST_PROGRESS)

    @property
    def _cut(self) -> bool:
        return self._output > MOST_OUTPUT

    async def require(self) -> None:
        """See that there is such a job.

        Raises:
            UnknownJob, InvalidName: there is not.
            BusUnavailable: NATS is away.
        """
        if await self._bus.stream.last(subjects.job(self._job.client_id, self._job.job_id)) is None:
            raise UnknownJob(self._job.client_id, self._job.job_id)

    async def run(self, tell: Callable[[JobEvents], None], drained: Callable[[], Awaitable[None]]) -> None:
        """Tell what is stored, then what comes, until it is cancelled.

        Args:
            tell: sends a message.
            drained: waits until the other end has taken what it was told before.

        Raises:
            BusError: as for `Bus.follow`.
        """
        client_id, job_id = self._job.client_id, self._job.job_id
        steps, output = subjects.job(client_id, job_id), subjects.output(client_id, job_id)
        async with AsyncExitStack() as stack:
            progress = await self._bus.subscribe_progress(client_id, self._hear)
            stack.push_async_callback(progress.close)
            events = await stack.enter_async_context(self._bus.follow(steps, output, after=0))
            cut = False
            while True:
                told = [self._told(stored) for stored in await self._some(events)]
                found = [each for each in told if each is not None]
                if found or cut != self._cut:
                    await drained()
                    cut = self._cut
                    tell(self._message(found))

    async def _some(self, events: AsyncIterator[Stored]) -> list[Stored]:
        """A few events: as many as come soon, or the progress that was heard meanwhile."""
        found: list[Stored] = []
        while len(found) < AT_ONCE:
            try:
                async with asyncio.timeout(WAIT):
                    found.append(await anext(events))
            except TimeoutError:
                while not self._progress.empty():
                    found.append(self._progress.get_nowait())
                if found:
                    break
        return found

    def _hear(self, stored: Stored) -> None:
        address = subjects.parse(stored.subject)
        if address is not None and address.job_id == self._job.job_id:
            if self._progress.full():
                self._progress.get_nowait()
            self._progress.put_nowait(stored)

    def _told(self, stored: Stored) -> ToldEvent | None:
        address = subjects.parse(stored.subject)
        if address is not None and address.output:
            self._output += len(stored.data)
            if self._cut:
                return None
        shown = self._parser.parse(stored)
        if shown is not None and isinstance(shown.event, JobStarted):
            self._output = 0  # the client drops what the attempt before has written
        return ToldEvent(
            seq=stored.seq or None,
            at=stored.at or times.written(datetime.now(UTC)),
            size=len(stored.data),
            stored=_object(stored.data) if stored.seq else None,
            shown=None if shown is None else json.loads(shown.text),
        )

    def _message(self, events: list[ToldEvent]) -> JobEvents:
        first, self._first = self._first, False
        return JobEvents(
            payload=JobEventsPayload(
                client_id=self._job.client_id,
                job_id=self._job.job_id,
                first=first,
                events=events,
                cut=self._cut,
            )
        )


def _object(data: bytes) -> object:
    if len(data) > LARGEST_STORED:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
