"""IndexReader: keeps an index of all jobs for as long as somebody looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from bus import Bus, BusError
from quart_app.console.job_index import JobIndex
from quart_app.console.log_reading import LogReading

LINGER = 60.0
"""Seconds for which it goes on when nobody looks any more: a reload of the page comes back to it."""
RECENT = 3000
"""Events at the stream's end that are read first, so that the newest jobs are there at once."""
TRY_AGAIN = 1.0
"""Seconds until NATS is asked again that was away."""

log = structlog.get_logger(__name__)


class IndexReader:
    """One for each process. Nothing is read, and nothing is kept, while nobody looks.

    Args:
        bus: of this process.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lookers = 0
        self._whole: LogReading | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._complete = asyncio.Event()
        """Set while `index` is of all jobs."""
        self.index = JobIndex()
        """Of the newest jobs, and in time of all. Then it is another one, which lookers have to notice."""

    @property
    def share(self) -> float:
        """How much of the stream was read by now, from 0 to 1."""
        return 0.0 if self._whole is None else self._whole.share

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """A block in which `index` is kept up to date."""
        self._lookers += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="read the job log for the console")
        try:
            yield
        finally:
            self._lookers -= 1
            if not self._lookers:
                self._ending = asyncio.get_running_loop().call_later(LINGER, self._end)

    async def whole(self) -> None:
        """Wait until all jobs are in `index`, inside of `looking`."""
        await self._complete.wait()

    async def close(self) -> None:
        """Read no more."""
        reading = self._reading
        self._end()
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)

    def _end(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        if self._reading is not None:
            self._reading.cancel()
        self._ending = self._reading = self._whole = None
        self._complete.clear()
        self.index = JobIndex()

    async def _read(self) -> None:
        while True:
            try:
                await self._read_twice()
            except BusError as error:
                if self._bus.closed:
                    return
                log.warning("the jobs cannot be listed; trying again", error=str(error))
            except Exception:
                log.exception("listing the jobs failed; trying again")
            await asyncio.sleep(TRY_AGAIN)

    async def _read_twice(self) -> None:
        """Read the newest jobs, and all of them beside that."""
        stream = await self._bus.stream.state()
        self._whole = whole = LogReading(self._bus, stream, after=0)
        reading = [asyncio.create_task(whole.run(), name="read all jobs")]
        try:
            if whole.share < 1 and stream.last_seq - stream.first_seq > RECENT:
                recent = LogReading(self._bus, stream, after=stream.last_seq - RECENT)
                reading.append(asyncio.create_task(recent.run(), name="read the newest jobs"))
                self.index = recent.index
                await self._until(whole, reading)
                reading[1].cancel()
            self.index = whole.index
            self._complete.set()
            await reading[0]
        finally:
            self._complete.clear()
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    @staticmethod
    async def _until(whole: LogReading, reading: list[asyncio.Task[None]]) -> None:
        """Wait until all jobs are read, or one of the readings has failed, which is raised."""
        caught_up = asyncio.create_task(whole.caught_up(), name="wait until all jobs are read")
        try:
            await asyncio.wait([caught_up, *reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            caught_up.cancel()
        for task in reading:
            if task.done():
                await task
