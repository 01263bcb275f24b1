"""How much of the event stream one client has read for it: when it comes back, and when it asks how jobs stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from bus import Settings
from quart_app.errors import TooFast
from quart_app.rate_by_key import RateByKey

EVENT_BYTES = 2048
"""Bytes that take about as long to read as what is to be done for each event whatever its size."""
PATIENCE = 10.0
"""Longest that a client is kept waiting for what it owes, in seconds; more is refused."""
TURN = 60.0
"""Longest that it is kept waiting for others of itself, such as thirty tabs that come back together."""


class ClientReads:
    """What this process reads from the stream for each client, within `client_read_rate` and `client_read_burst`.

    What is read is charged afterwards, when it is known. So one answer may be of any size, and the next waits until it
    is paid for; a client that does not ask without end never notices.

    Args:
        settings: the two.
    """

    def __init__(self, settings: Settings) -> None:
        self._rate = RateByKey(settings.client_read_rate, settings.client_read_burst)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def wait(self, client_id: str) -> None:
        """Return when what was read for this client before is paid for.

        Raises:
            TooFast: that is in more than `PATIENCE` seconds.
        """
        while seconds := self._rate.owes(client_id):
            if seconds > PATIENCE:
                raise TooFast(seconds)
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def alone(self, client_id: str) -> AsyncIterator[None]:
        """A block that no other of this client is in at the same time, entered when `wait` has returned.

        Raises:
            TooFast: as `wait`, or the others took longer than `TURN`.
        """
        lock = self._locks.setdefault(client_id, asyncio.Lock())
        try:
            async with asyncio.timeout(TURN):
                await lock.acquire()
        except TimeoutError as error:
            raise TooFast(TURN) from error
        try:
            await self.wait(client_id)
            yield
        finally:
            lock.release()

    def charge(self, client_id: str, *, events: int, size: int) -> None:
        """Note what was read: so many events, and the bytes of all."""
        self._rate.charge(client_id, events * EVENT_BYTES + size)
