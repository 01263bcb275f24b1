"""What a channel may use: what there is one of per process, and the connection that it serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, Self

from bus import Bus, Settings
from quart_app.identity.identity import Identity
from workers.client_jobs import ClientJobs
from workers.enqueue import Enqueuer
from workers.registry import Job


class Membership(Protocol):
    """The groups that a connection has joined, besides those that every connection of its channel is in."""

    @property
    def joined(self) -> Collection[str]:
        """Their names."""

    async def join(self, group: str, *, most: int) -> None:
        """Join a group, unless `most` are joined already."""

    async def leave(self, group: str) -> bool:
        """Leave a group. False when it was not joined."""


class ChannelConnection(Protocol):
    """What a channel sees of the connection that it serves."""

    @property
    def client_id(self) -> str:
        """Whose it is."""

    @property
    def identity(self) -> Identity:
        """Who that is."""

    @property
    def membership(self) -> Membership:
        """The groups that it has joined."""


@dataclass(frozen=True)
class Services:
    """What a channel finds as `self.services`.

    Args:
        settings: of this process.
        jobs: every job there is, by name.
        bus: the connection to the event bus: store events, read them, ask other processes.
        client_jobs: knows whether a client may have one more job.
        enqueuer: hands stored jobs to Celery without blocking the event loop.
    """

    settings: Settings
    jobs: Mapping[str, Job]
    bus: Bus
    client_jobs: ClientJobs
    enqueuer: Enqueuer

    @classmethod
    def of(cls, settings: Settings, jobs: Mapping[str, Job]) -> Self:
        """The services of a process with these settings and jobs. Nothing is connected before `started`."""
        bus = Bus(settings, name="busctl web", update_stream=True)
        return cls(settings, jobs, bus, ClientJobs(bus, settings), Enqueuer(settings, bus))

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """A block in which they work.

        Raises:
            BusError: NATS cannot be used, see `Bus.connect`, or Redis is another system's.
        """
        async with self.bus, self.enqueuer:
            yield
