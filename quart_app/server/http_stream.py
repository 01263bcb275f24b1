"""Hypercorn's HTTP/1.1, corrected; `hypercorn_inside` says in what, and installs it."""

from __future__ import annotations

from typing import Any

import h11
from hypercorn.events import Closed
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Body, EndBody, Event, StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from quart_app.server.inbox import Inbox
from quart_app.server.websocket_stream import FRAMES_BETWEEN_LOOKS, Shared


class Ended:
    """In place of an h11 connection whose peer is gone: nothing more comes of it, and nothing can be sent."""

    our_state = None
    their_state = h11.ERROR
    they_are_waiting_for_100_continue = False
    trailing_data = (b"", False)

    def receive_data(self, data: bytes) -> None:
        """Drop it."""

    def next_event(self) -> Any:
        """Nothing, for whoever waits to take the next request."""
        return h11.NEED_DATA

    def send(self, event: Any) -> bytes:
        """Drop it."""
        return b""


class Http1Protocol(H11Protocol):
    """HTTP/1.1 that stays HTTP/1.1, whatever a request asks for, and one new request in a turn of the event loop."""

    def __init__(self, *args: Any, shared: Shared) -> None:
        super().__init__(*args)
        self._shared = shared

    async def handle(self, event: ConnectionEvent) -> None:
        if isinstance(event, Closed):
            self.connection = Ended()  # type: ignore[assignment]
            await self.can_read.set()
        await super().handle(event)

    async def _check_protocol(self, event: Any) -> None:
        """An upgrade that is not to a WebSocket is not made (RFC 9110 section 7.8 allows that)."""

    async def _create_stream(self, request: Any) -> None:
        if request.http_version.startswith(b"1."):
            await self._shared.round.turn()
            await super()._create_stream(request)
        else:
            await self._send_error_response(505)
            await self.send(Closed())


class PacedHTTPStream(HTTPStream):
    """A request whose body is taken a little at a time, and not waited on when nobody wants it."""

    def __init__(self, *args: Any, shared: Shared) -> None:
        super().__init__(*args)
        self._shared = shared
        self._taken = 0
        self._answered = False

    async def handle(self, event: Event) -> None:
        if isinstance(event, Body | EndBody):
            self._taken += 1
            if self._taken % FRAMES_BETWEEN_LOOKS == 0:
                await self._shared.round.turn()
            if self._answered:
                return
        elif isinstance(event, StreamClosed) and self._answered:
            self.closed = True
            return
        await super().handle(event)

    async def app_send(self, message: Any) -> None:
        if message is None:
            self._answered = True
            inbox: Inbox = self.app_put.__self__  # type: ignore[attr-defined]
            inbox.clear()
        await super().app_send(message)
