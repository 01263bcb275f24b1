"""A WebSocket that Quart lets in, and that is served past Quart's request machinery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from quart import Response, Websocket
from quart.asgi import ASGIWebsocketConnection
from werkzeug.datastructures import Headers
from werkzeug.http import parse_cookie

from quart_app.close_codes import INTERNAL_ERROR
from quart_app.websocket.visit import NO_CLOSE_FRAME, closed_by_client

DISCARD_SECONDS = 60.0
"""Deadline for the disconnect that every server announces once a handler has ended."""

Serve = Callable[["PullingWebsocket"], Awaitable[Response | None]]


class RoutedWebsocket(Websocket):
    """What a view sees as `quart.websocket`."""

    asgi: PullingWebsocket


class PullingWebsocket(ASGIWebsocketConnection):
    """A WebSocket whose frames stay in the server until its handler asks for one.

    Quart's own class takes every frame as it comes, into a queue without a bound, with a task for that and another for
    the handler. Here a handler that is busy leaves the server's own bounded queue to fill, and with it the TCP window.
    As with Quart, the handler learns that the client has left by `CancelledError`, the next time it receives.

    A view may serve it itself, or return what `served_by` does. Then Quart's contexts, the matched route and the parsed
    request are gone while the WebSocket is open: they would be 5 KB of it.
    """

    _serve: Serve | None = None
    _outcome: Callable[[], Response | None] | None = None
    """What became of `_serve`, for the view to return or raise."""

    async def __call__(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        source = _Source(receive, self.scope)
        self.queue = source  # type: ignore[assignment]
        self._send = send
        try:
            await self._ask_quart()
            if self._serve is not None:
                await self._stay(self._serve)
        except asyncio.CancelledError:
            if not source.ended:
                raise
        finally:
            if not source.ended:
                self.app.add_background_task(source.discard)

    def served_by(self, serve: Serve) -> Response | None:
        """For a view to return: have `serve` called once Quart has done its part.

        What it returns or raises is then treated as what a view returns or raises: before the WebSocket was accepted
        it is the answer to the handshake. Afterwards what it raises closes the WebSocket with 1011.
        """
        if self._outcome is not None:
            return self._outcome()
        self._serve = serve
        return None

    async def _ask_quart(self) -> None:
        """Let Quart route it, call its hooks and its view, and send what these refuse it with."""
        websocket = self._create_websocket_from_scope(self._send)
        websocket.asgi = self  # type: ignore[attr-defined]
        await self.handle_websocket(websocket, self._send)

    async def _stay(self, serve: Serve) -> None:
        try:
            refusal = await serve(self)
        except Exception as error:
            failure = error
            if self._accepted and not self._closed:  # Quart, which logs it, would close with 1000
                await self.close(INTERNAL_ERROR.code, INTERNAL_ERROR.reason)

            def outcome() -> Response | None:
                raise failure
        else:
            if refusal is None and self._closed:
                return

            def outcome() -> Response | None:
                return refusal

        self._outcome = outcome
        await self._ask_quart()

    @property
    def headers(self) -> Headers:
        """Those of the handshake, made anew at each call."""
        return Headers([(name.decode("latin1"), value.decode("latin1")) for name, value in self.scope["headers"]])

    @property
    def cookies(self) -> dict[str, str]:
        """Those of the handshake; of several with one name the first."""
        return parse_cookie("; ".join(self.headers.getlist("Cookie"))).to_dict()

    async def accept(self, subprotocol: str | None = None) -> None:
        """Accept the handshake."""
        self._accepted = True
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})

    def receive(self) -> Awaitable[Any]:
        """The next frame: text, bytes, or None. Raises `CancelledError` when the client has left."""
        return self.queue.get()

    async def send(self, data: str) -> None:
        """Send a text frame. Lets others have their turn first, as Quart's own does."""
        await asyncio.sleep(0)
        await self._send({"type": "websocket.send", "bytes": None, "text": data})

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye."""
        await self.close_connection(self._send, code, reason)

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
