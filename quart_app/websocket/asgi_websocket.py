"""Quart's ASGI connection without its inbound queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from quart.asgi import ASGIWebsocketConnection

from quart_app.websocket.visit import NO_CLOSE_FRAME, closed_by_client

DISCARD_SECONDS = 60.0
"""Deadline for the disconnect that every server announces once a handler has ended."""


class PullingWebsocket(ASGIWebsocketConnection):
    """A WebSocket whose frames stay in the server until the handler asks for one.

    Quart's own class takes every frame as it comes, into a queue without a bound, with a task for that and another for
    the handler. Here a handler that is busy leaves the server's own bounded queue to fill, and with it the TCP window.
    As with Quart, the handler learns that the client has left by `CancelledError`, the next time it receives.
    """

    async def __call__(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        source = _Source(receive, self.scope)
        self.queue = source  # type: ignore[assignment]
        websocket = self._create_websocket_from_scope(send)
        try:
            await self.handle_websocket(websocket, send)
        except asyncio.CancelledError:
            if not source.ended:
                raise
        finally:
            if not source.ended:
                self.app.add_background_task(source.discard)

    async def close_connection(self, send: Callable[[Any], Awaitable[None]], code: int, reason: str) -> None:
        """Close once, even when the caller does not wait until a client that does not read has been told."""
        self._closed = True
        await send({"type": "websocket.close", "code": code, "reason": reason})


class _Source:
    """What Quart calls in place of its queue."""

    __slots__ = ("_receive", "_scope", "ended")

    def __init__(self, receive: Callable[[], Awaitable[Any]], scope: Any) -> None:
        self._receive = receive
        self._scope = scope
        self.ended = False

    def get(self) -> Awaitable[str | bytes | None]:
        """The next frame; cancels who waits for it when the client has left."""
        return self._next(cancel=True)

    async def discard(self) -> None:
        """Take what still comes, up to the disconnect: a server with a full queue could not close the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while await self._next(cancel=False) is not None:
                    pass

    async def _next(self, *, cancel: bool) -> str | bytes | None:
        while not self.ended:
            event = await self._receive()
            if event["type"] == "websocket.receive":
                text: str | None = event.get("text")
                frame: str | bytes = text if text is not None else event["bytes"]
                return frame
            self.ended = event["type"] == "websocket.disconnect"
            if self.ended:
                closed_by_client(self._scope, event.get("code", NO_CLOSE_FRAME))
        if cancel:
            raise asyncio.CancelledError
        return None
