"""Who may open a WebSocket: as many as there is room for, and nobody once the process goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Gauge
from quart import Response

from quart_app.round_robin import RoundRobin
from quart_app.websocket.address_limit import AddressLimit

RETRY_AFTER = 5
"""Seconds after which a refused client may try again."""


class Admission:
    """Counts the open WebSockets of this process.

        with admission:
            ...  # accept, serve

    Args:
        limit: most WebSockets open at once.
        gauge: shows how many are open.
        addresses: how many of them one address may have.
    """

    def __init__(self, limit: int, gauge: Gauge, addresses: AddressLimit) -> None:
        self.addresses = addresses
        self.limit = limit
        self._gauge = gauge
        self._open = 0
        self._left = asyncio.Event()
        self.turn = RoundRobin().turn
        """Waits until no other client's first frame is worked on in the same turn of the event loop."""
        self._handshakes: set[asyncio.Timeout] = set()
        self.not_yet: str | None = None
        """Why nobody may come in yet."""
        self.draining = False
        """Whether handshakes are refused because the process goes."""
        self.closing = False
        """Whether open WebSockets are being closed; one that was accepted only now has to be closed too."""

    def __len__(self) -> int:
        return self._open

    def refusal(self, peer: str | None) -> Response | None:
        """What a client gets instead of a WebSocket; None when it may come in.

        Args:
            peer: its address, if it has one.
        """
        status = 503
        if self.not_yet is not None:
            reason = self.not_yet
        elif self.draining:
            reason = "this process is stopping; connect again"
        elif self._open >= self.limit:
            reason = "no room for another WebSocket; try again later"
        elif (too_much := self.addresses.refusal(peer)) is not None:
            status, reason = 429, too_much
        else:
            return None
        headers = {"Retry-After": str(RETRY_AFTER)}
        return Response(f"{reason}\n", status, headers, content_type="text/plain; charset=utf-8")

    def __enter__(self) -> None:
        self._open += 1
        self._gauge.inc()

    def __exit__(self, *_: object) -> None:
        self._open -= 1
        self._gauge.dec()
        self._left.set()

    @asynccontextmanager
    async def handshaking(self) -> AsyncIterator[None]:
        """A block in which an accepted client has not yet said who it is.

        Raises:
            TimeoutError: open WebSockets are being closed, and this one's first frame is not waited for.
        """
        async with asyncio.timeout(0 if self.closing else None) as limit:
            self._handshakes.add(limit)
            try:
                yield
            finally:
                self._handshakes.discard(limit)

    def drain(self) -> None:
        """Refuse everybody from now on."""
        self.draining = True

    def close_handshakes(self) -> None:
        """End every handshake; connections that are past theirs are for the caller to close."""
        self.closing = True
        for limit in self._handshakes:
            if not limit.expired():
                limit.reschedule(0)

    async def empty(self) -> None:
        """Return when no WebSocket is open."""
        while self._open:
            self._left.clear()
            await self._left.wait()
