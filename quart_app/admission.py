"""Who may open a WebSocket: as many as there is room for, and nobody once the process goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Gauge
from quart import Response

RETRY_AFTER = 5
"""Seconds after which a refused client may try again."""


class Admission:
    """Counts the open WebSockets of this process.

        with admission:
            ...  # accept, serve

    Args:
        limit: most WebSockets open at once.
        gauge: shows how many are open.
    """

    def __init__(self, limit: int, gauge: Gauge) -> None:
        self._limit = limit
        self._gauge = gauge
        self._open = 0
        self._left = asyncio.Event()
        self._newcomers: set[asyncio.Timeout] = set()
        self.draining = False
        """Whether handshakes are refused because the process goes."""
        self.dismissed = False
        """Whether clients are being sent away; one that has come in only now has to go too."""

    def __len__(self) -> int:
        return self._open

    def refusal(self) -> Response | None:
        """What a client gets instead of a WebSocket; None when it may come in."""
        if self.draining:
            reason = "this process is stopping; connect again"
        elif self._open >= self._limit:
            reason = "no room for another WebSocket; try again later"
        else:
            return None
        return Response(f"{reason}\n", 503, {"Retry-After": str(RETRY_AFTER)}, content_type="text/plain; charset=utf-8")

    def __enter__(self) -> None:
        self._open += 1
        self._gauge.inc()

    def __exit__(self, *_: object) -> None:
        self._open -= 1
        self._gauge.dec()
        self._left.set()

    @asynccontextmanager
    async def introduction(self) -> AsyncIterator[None]:
        """A block in which a client that came in says who it is.

        Raises:
            TimeoutError: clients are being sent away, and nobody waits for this one's word.
        """
        async with asyncio.timeout(0 if self.dismissed else None) as limit:
            self._newcomers.add(limit)
            try:
                yield
            finally:
                self._newcomers.discard(limit)

    def drain(self) -> None:
        """Refuse everybody from now on."""
        self.draining = True

    def dismiss(self) -> None:
        """End every introduction; clients that are known already are for the caller to send away."""
        self.dismissed = True
        for limit in self._newcomers:
            if not limit.expired():
                limit.reschedule(0)

    async def empty(self) -> None:
        """Return when no WebSocket is open."""
        while self._open:
            self._left.clear()
            await self._left.wait()
