"""How a web process goes: refuse, wait, send away, cut, end."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import structlog

from bus import Settings
from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.hub import Hub
from quart_app.finish import FINISH_TIMEOUT
from quart_app.server.listener import Listener
from quart_app.websocket.admission import Admission

log = structlog.get_logger(__name__)

CLOSES_A_SECOND = 1000
"""How many clients are sent away in a second, so that those of a large process do not all reconnect at once."""
STEP = 0.02
"""Seconds between two groups of clients that are sent away together."""
LAST_MOMENT = 1.0
"""Seconds that clients have to go once somebody is in a hurry."""
REQUESTS_TIMEOUT = 3.0
"""Seconds that HTTP requests in flight get when no WebSocket is left."""


class Drain:
    """The orderly end of one web process.

    Args:
        settings: `drain_delay` and `drain_timeout`.
        admission: refuses new clients, and knows how many there are.
        hub: has the connections that are to be closed.
        listener: what it is served on.
    """

    def __init__(self, settings: Settings, admission: Admission, hub: Hub, listener: Listener) -> None:
        self._settings = settings
        self._admission = admission
        self._hub = hub
        self._listener = listener
        self._limit: asyncio.Timeout | None = None
        self.lost: str | None = None
        """Why this process cannot work any more, if that is why it goes."""
        self.begun = asyncio.Event()
        self.hurried = asyncio.Event()

    def begin(self) -> None:
        """Begin; once it has begun, this changes nothing."""
        self._admission.drain()
        self.begun.set()

    def give_up(self, reason: str) -> None:
        """Begin, because this process cannot work any more."""
        log.error("this process cannot work any more and ends", reason=reason)
        self.lost = reason
        self.begin()

    def hurry(self) -> None:
        """Begin if need be, wait for nothing that can be left out, and give clients a last moment."""
        self.begin()
        self.hurried.set()
        if self._limit is not None and not self._limit.expired():
            soon = asyncio.get_running_loop().time() + LAST_MOMENT
            self._limit.reschedule(min(soon, self._limit.when() or soon))

    def signalled(self) -> None:
        """Begin at the first call, hurry at the next."""
        if self.begun.is_set():
            self.hurry()
        else:
            self.begin()

    async def run(self) -> None:
        """Return when it has begun and no client is left."""
        await self.begun.wait()
        log.info("stopping", connections=len(self._admission))
        await self._pause(self._settings.drain_delay)
        try:
            async with asyncio.timeout(self._settings.drain_timeout) as self._limit:
                if self.hurried.is_set():
                    self.hurry()
                await self._send_away()
                await self._admission.empty()
        except TimeoutError:
            log.warning("cutting off clients that did not go in time", connections=len(self._admission))
            self._listener.cut()
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_TIMEOUT + 1):
                    await self._admission.empty()
        asyncio.get_running_loop().call_later(REQUESTS_TIMEOUT, self._listener.cut)

    async def _send_away(self) -> None:
        """Close in random order, spread over a time that grows with the number of clients."""
        self._admission.close_handshakes()
        leaving = list(self._hub)
        random.shuffle(leaving)
        rate = max(CLOSES_A_SECOND, len(leaving) / (self._settings.drain_timeout / 2))
        group = max(1, round(rate * STEP))
        for first in range(0, len(leaving), group):
            for connection in leaving[first : first + group]:
                connection.close(SERVICE_RESTART)
            await self._pause(STEP)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hurried.wait()
