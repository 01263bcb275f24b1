"""What a channel may use: what there is one of per process, and the connection that it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from werkzeug.datastructures import Headers

from bus import Bus, Settings
from quart_app.client_reads import ClientReads
from quart_app.console.index_reader import IndexReader
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

    @property
    def address(self) -> str:
        """Where its other end is, as the server sees it."""

    @property
    def peer(self) -> str | None:
        """The address of its other end, without a port; None when it has none, as over a Unix socket."""

    @property
    def headers(self) -> Headers:
        """Those of its handshake."""

    async def drained(self) -> None:
        """Wait until its reader has taken everything. One at a time may wait."""

    def send(self, text: str) -> None:
        """Send a message, after what waits already. Never waits; a client too slow to keep up is closed."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Do something beside, until the connection ends; None when it has."""


@dataclass(frozen=True)
class Services:
    """What a channel finds as `self.services`.

    Args:
        settings: of this process.
        jobs: every job there is, by name.
        bus: the connection to the event bus: store events, read them, ask other processes.
        client_jobs: knows whether a client may have one more job.
        client_reads: how much of the stream may be read for a client.
        enqueuer: hands stored jobs to Celery without blocking the event loop.
        index_reader: lists all jobs for operators who look.
    """

    settings: Settings
    jobs: Mapping[str, Job]
    bus: Bus
    client_jobs: ClientJobs
    client_reads: ClientReads
    enqueuer: Enqueuer
    index_reader: IndexReader

    @classmethod
    def of(cls, settings: Settings, jobs: Mapping[str, Job]) -> Self:
        """The services of a process with these settings and jobs. Nothing is connected before `started`."""
        bus = Bus(settings, name="busctl web", update_stream=True)
        return cls(
            settings,
            jobs,
            bus,
            ClientJobs(bus, settings),
            ClientReads(settings),
            Enqueuer(settings, bus),
            IndexReader(bus),
        )

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """A block in which they work.

        Raises:
            BusError: NATS cannot be used, see `Bus.connect`, or Redis is another system's.
        """
        async with self.bus, self.enqueuer:
            try:
                yield
            finally:
                await self.index_reader.close()
