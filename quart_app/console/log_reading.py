"""LogReading: reads the steps of all jobs into an index, from some point of the stream on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

from bus import Bus, BusError, CorruptJob, Interruption, StreamState, subjects
from bus.job_log import step_of
from bus.stored import Stored
from quart_app.console.job_index import JobIndex

AT_ONCE = 50
"""Events that are read before others get a turn of the event loop."""
LOOK_EVERY = 1.0
"""Seconds between two looks at what time does."""
LOOKS_UNTIL_CUT = 5
"""Such looks between two that ask what retention has cut."""


class LogReading:
    """Reads into one index for as long as `run` does.

    Args:
        bus: of this process.
        stream: as it was just now.
        after: the sequence after which to begin.
    """

    def __init__(self, bus: Bus, stream: StreamState, *, after: int) -> None:
        self._bus = bus
        self._after = max(after, stream.first_seq - 1)
        self._last = stream.last_seq
        self._seen = self._after
        self._taken = 0
        self._caught_up = asyncio.Event()
        self.index = JobIndex()
        if self._seen >= self._last:
            self._caught_up.set()

    @property
    def share(self) -> float:
        """How much of what the stream had at the beginning was read by now, from 0 to 1."""
        if self._caught_up.is_set():
            return 1.0
        return (self._seen - self._after) / (self._last - self._after)

    async def caught_up(self) -> None:
        """Wait until all of that was read."""
        await self._caught_up.wait()

    async def run(self) -> None:
        """Read what is stored, then what comes, until it is cancelled.

        Raises:
            BusError: as for `Bus.follow`.
        """
        keeping = asyncio.create_task(self._keep_up(), name="keep the console's jobs up to date")
        try:
            follow = self._bus.follow(subjects.ALL_JOBS, after=self._after, on_interruption=self._interrupted)
            async with follow as events:
                for number in count(1):
                    self._take(await anext(events))
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def _take(self, stored: Stored) -> None:
        self._seen = stored.seq
        self._taken += 1
        if self._seen >= self._last:
            self._caught_up.set()
        with suppress(CorruptJob):  # another program's
            self.index.apply(step_of(stored))

    def _interrupted(self, interruption: Interruption) -> None:
        if interruption is Interruption.MADE_ANEW:
            self.index.clear()

    async def _keep_up(self) -> None:
        """Do what time does: jobs come due, and retention cuts others."""
        taken = -1
        for look in count(1):
            await asyncio.sleep(LOOK_EVERY)
            self.index.release()
            if taken == self._taken and self._bus.connected:
                self._caught_up.set()  # the stream's last events are of no job
            taken = self._taken
            if look % LOOKS_UNTIL_CUT == 0:
                with suppress(BusError):
                    self.index.cut_before((await self._bus.stream.state()).first_seq)
