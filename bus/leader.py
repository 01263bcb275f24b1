"""Leader: which of several processes does what only one needs to do, told by a lease that all of them want.

At times two may take themselves for it, so what a leader does must be harmless twice.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress

import structlog

from bus import leases
from bus.client import Bus
from bus.errors import BusError

LONGEST_PAUSE = 2.0
"""Most seconds between two renewals, and between two looks of the others."""
LONGEST_PATIENCE = 6.0
"""Most seconds without a renewal after which another takes the lease."""

log = structlog.get_logger(__name__)


class Leader:
    """One of the processes that want a lease. All of it but `leads` is used on the bus's event loop.

    Args:
        name: of the lease.
        interval: seconds; when the leader dies, another takes over within two of them, or within 8 s.
    """

    def __init__(self, name: str, interval: float) -> None:
        self._name = name
        self._pause = min(interval / 2, LONGEST_PAUSE)
        self._patience = min(1.5 * interval, LONGEST_PATIENCE)
        self._holder = secrets.token_hex(8).encode()
        self._revision: int | None = None
        """Of this process's own entry, while it leads."""
        self._seen = (0, time.monotonic())
        """The revision of another's entry, and since when it is not renewed."""
        self._campaigning: asyncio.Task[None] | None = None

    @property
    def leads(self) -> bool:
        """Whether this process does it, as far as it knows. While NATS is away, whoever led does."""
        return self._revision is not None

    async def begin(self, bus: Bus) -> None:
        """Want the lease from now on, and renew it once it is there."""
        if self._campaigning is None:
            self._campaigning = asyncio.create_task(self._campaign(bus), name=f"lease {self._name}")

    async def end(self, bus: Bus) -> None:
        """Want it no more, and let another process lead at once.

        Raises:
            BusUnavailable, NoLease: NATS is away, or refuses; the lease expires by itself.
        """
        if self._campaigning is not None:
            self._campaigning.cancel()
            with suppress(asyncio.CancelledError):
                await self._campaigning
            self._campaigning = None
        if self._revision is not None:
            self._revision = None
            await leases.give_up(bus, self._name)

    async def look(self, bus: Bus) -> None:
        """Renew the lease once, or take one that nobody renews.

        Raises:
            BusUnavailable, NoLease: NATS is away, or refuses.
            StreamConflict: the bucket is another program's.
        """
        if self._revision is not None:
            self._revision = await leases.put_after(bus, self._name, self._holder, self._revision)
        if self._revision is None:
            await leases.declare(bus)
            revision, holder = await leases.get(bus, self._name)
            if holder in (None, self._holder) or self._is_stale(revision):
                self._revision = await leases.put_after(bus, self._name, self._holder, revision)

    async def _campaign(self, bus: Bus) -> None:
        trouble = ""
        while True:
            try:
                await self.look(bus)
                trouble = ""
            except Exception as error:
                unexpected = not isinstance(error, BusError)
                if str(error) != trouble:
                    text = "the lease could not be taken or renewed; trying again"
                    log.warning(text, lease=self._name, error=str(error), exc_info=unexpected)
                trouble = str(error)
            await asyncio.sleep(self._pause)

    def _is_stale(self, revision: int) -> bool:
        now = time.monotonic()
        if revision != self._seen[0]:
            self._seen = (revision, now)
        return now - self._seen[1] >= self._patience
