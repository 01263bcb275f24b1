"""What the handlers of channels may use: one of each per process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from bus import Bus, Settings
from workers.enqueue import Enqueuer
from workers.registry import Job


@dataclass(frozen=True)
class Services:
    """What a channel finds as `self.services`.

    Args:
        settings: of this process.
        jobs: every job there is, by name.
        bus: the connection to the event bus: store events, read them, ask other processes.
        enqueuer: hands stored jobs to Celery without blocking the event loop.
    """

    settings: Settings
    jobs: Mapping[str, Job]
    bus: Bus
    enqueuer: Enqueuer

    @classmethod
    def of(cls, settings: Settings, jobs: Mapping[str, Job]) -> Self:
        """The services of a process with these settings and jobs. Nothing is connected before `started`."""
        bus = Bus(settings, name="busctl web", update_stream=True)
        return cls(settings, jobs, bus, Enqueuer(settings, bus))

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """A block in which they work.

        Raises:
            BusError: NATS cannot be used, see `Bus.connect`, or Redis is another system's.
        """
        async with self.bus, self.enqueuer:
            yield
