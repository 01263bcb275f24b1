"""The one file that knows Hypercorn's inside. Written against Hypercorn 0.18.

Five things its configuration cannot say:

* permessage-deflate is always offered, and a small compressed frame can unpack to hundreds of megabytes before the
  size limit sees it (RFC 7692 section 8 warns of this): here it is offered only when asked for.
* the task that sends WebSocket pings sleeps on after its socket has closed, which keeps the connection in memory for
  another ping interval and holds up a shutdown: here a timer does it, and ends with the socket.
* after a message past the size limit it closes with 1009, but keeps the connection and all that still comes: here it
  reads on for a moment, so that the peer can see why, keeps nothing, and closes the connection.
* a peer that sends pings and reads no pong is waited for without end: here no longer than the read timeout.
* every frame takes a dict, an event, an encoding, two locks and half a dozen coroutines on its way to the socket: over
  HTTP/1.1, `quart_app.wire` goes past them. HTTP/2 multiplexes its streams and goes the ordinary way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import hypercorn.protocol.h2 as h2
import hypercorn.protocol.h11 as h11
import structlog
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.events import Body, Data, Event, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from wsproto.events import CloseConnection, Ping
from wsproto.frame_protocol import CloseReason

from quart_app.wire import EXTENSION, Turn, Wire

log = structlog.get_logger(__name__)

LINGER = 1.0
"""Seconds from a close frame for a message that is too big to the end of the connection."""

RELIED_ON = ("_accept", "_send_pings", "_send_wsproto_event", "app_send", "handle")


class PromptWSStream(WSStream):
    """Hypercorn's WebSocket stream, with deflate only when asked for and pings that end with the socket."""

    def __init__(self, *args: Any, deflate: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deflate = deflate
        self._timer: asyncio.TimerHandle | None = None
        self._too_big = False

    async def handle(self, event: Event) -> None:
        if self._too_big and isinstance(event, Body | Data):
            return
        if isinstance(event, StreamClosed) and self._timer is not None:
            self._timer.cancel()
        await super().handle(event)

    async def _send_wsproto_event(self, event: Any) -> None:
        await super()._send_wsproto_event(event)
        # In any other state the app has closed, and ends the stream itself.
        if isinstance(event, CloseConnection) and self.state is ASGIWebsocketState.CONNECTED and not self.closed:
            self._too_big = event.code == CloseReason.MESSAGE_TOO_BIG
            if self._too_big:
                self._after(LINGER, self.send, StreamClosed(stream_id=self.stream_id))

    async def _accept(self, message: Any) -> None:
        if not self._deflate:
            self.handshake.extensions = None
        await super()._accept(message)

    async def _send_pings(self) -> None:
        if self.closed or self._too_big:
            return
        if self._timer is not None:
            await self._send_wsproto_event(Ping())
        # Sockets that were opened together are not pinged together for long.
        self._after((self.config.websocket_ping_interval or 0) * random.uniform(0.8, 1), self._send_pings)  # noqa: S311

    def _after(self, seconds: float, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do this later, instead of what was to be done later, unless the socket is closed by then."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.task_group.spawn, work, *args)


class WiredWSStream(PromptWSStream):
    """A WebSocket over HTTP/1.1 that announces its wire to the app."""

    def __init__(self, app: Callable[..., Awaitable[None]], *args: Any, turn: Turn, **kwargs: Any) -> None:
        super().__init__(self._announcing(app), *args, **kwargs)
        self._wire = Wire(_writer(self.send), turn)

    def _announcing(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        def announced(scope: Any, *rest: Any) -> Awaitable[None]:
            if not (self._deflate and self.handshake.extensions):  # a deflated frame is made for one connection alone
                scope["extensions"][EXTENSION] = {"wire": self._wire}
            return app(scope, *rest)

        return announced

    async def handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            self._wire.open = False
        await super().handle(event)

    async def app_send(self, message: Any) -> None:
        self._wire.flush()
        await super().app_send(message)

    async def _accept(self, message: Any) -> None:
        await super()._accept(message)
        self._wire.open = True

    async def _send_wsproto_event(self, event: Any) -> None:
        if isinstance(event, CloseConnection):
            self._wire.flush()
            self._wire.open = False
        try:
            async with asyncio.timeout(self.config.read_timeout):
                await super()._send_wsproto_event(event)
        except TimeoutError:
            self._wire.abort()


def _writer(stream_send: Any) -> asyncio.StreamWriter:
    """The writer behind what a WSStream over HTTP/1.1 sends with: H11Protocol.stream_send, TCPServer.protocol_send."""
    writer: asyncio.StreamWriter = stream_send.__self__.send.__self__.writer
    return writer


def install(*, deflate: bool = False) -> bool:
    """Let Hypercorn open its WebSockets as the classes above.

    With a Hypercorn that is built otherwise, nothing is changed and one warning says so.

    Args:
        deflate: offer permessage-deflate; a connection that takes it goes the ordinary way.

    Returns:
        Whether it could be done.
    """
    if (trouble := _trouble()) is not None:
        log.warning(
            "this Hypercorn is built otherwise than expected: every frame is sent the ordinary way, compressed frames "
            "are accepted, and stopping may take a ping interval longer; install the release that the lock file names",
            trouble=trouble,
        )
        return False
    h11.WSStream = partial(WiredWSStream, turn=Turn(), deflate=deflate)  # type: ignore[attr-defined, assignment]
    h2.WSStream = partial(PromptWSStream, deflate=deflate)  # type: ignore[attr-defined, assignment]
    return True


def _trouble() -> str | None:
    """What of the inside is not as expected; None when all is. Builds what a socket would have, without a socket."""
    missing = [name for name in RELIED_ON if not hasattr(WSStream, name)]
    if missing:
        return f"WSStream has no {', '.join(missing)}"
    writer = object()
    config, context, loop = Config(), WorkerContext(None), asyncio.get_running_loop()
    try:
        server = TCPServer(None, loop, config, context, {}, None, writer)  # type: ignore[arg-type]
        send = server.protocol_send
        protocol = h11.H11Protocol(None, config, context, None, None, False, None, None, send)  # type: ignore[arg-type]
        stream = WSStream(None, config, context, None, False, None, None, protocol.stream_send, 1)  # type: ignore[arg-type]
        if _writer(stream.send) is not writer:
            return "a WSStream does not send to the writer of its TCPServer"
        if not (hasattr(h2, "WSStream") and isinstance(stream.state, ASGIWebsocketState)):
            return "WSStream is not where it was"
    except (AttributeError, TypeError) as error:
        return str(error)
    return None
