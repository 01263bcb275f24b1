"""What `busctl serve` changes inside Hypercorn. Written against Hypercorn 0.18; with another, nothing is changed.

Things that its configuration cannot say. Of WebSockets (the stream is in `websocket_stream`):

* every frame takes a dict, an event, an encoding, two locks and half a dozen coroutines on its way to the socket: here
  `quart_app.websocket.frame_writer` goes past them.
* what one read brings, up to 64 KiB, is worked through without a pause, which is ten thousand pings, and only whole
  messages reach somebody who counts: here every frame counts, and after a few of them the others have their turn.
* a frame that breaks the protocol ends the connection without a word: here with 1002 or 1007. After a message past the
  size limit the connection is kept, with all that still comes: here it is read on for a moment, and not kept.
* permessage-deflate is always offered, and a small compressed frame can unpack to hundreds of megabytes before the size
  limit sees it (RFC 7692 section 8 warns of this): here it is offered only when asked for.
* the task that sends pings sleeps on after its socket has closed: here a timer does it, and ends with the socket.

Of all connections (HTTP/1.1 is in `http_stream`, the queue in `inbox`):

* an idle connection that its peer has closed is kept until the keep-alive timeout: here it is closed at once.
* one whose peer is silent for the read timeout is cut, though it may be reading a long answer: here not then.
* what an application is to receive waits in a queue of three deques, 2.3 KB for each connection: here in a list.
* a connection that is lost is written to, and one whose peer reads nothing is waited for without end, before its close
  too: here no longer than the read timeout.
* a request that was sent behind another, and a body that its handler does not want, are waited on for ever when the
  peer has left.
* HTTP/2 is spoken with whoever asks for it, over a proxy's head too (`Upgrade: h2c`): here HTTP/1.1 alone.
* nobody knows which connections are idle, and can be closed when there is no room: here the listener does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

import h11
import hypercorn.asyncio.run as run
import hypercorn.asyncio.task_group as task_group
import hypercorn.asyncio.tcp_server as tcp_server
import hypercorn.protocol as protocol
import hypercorn.protocol.h11 as http1
import structlog
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream

from bus import Settings
from quart_app.close_codes import CloseCode
from quart_app.server.http_stream import Http1Protocol, PacedHTTPStream
from quart_app.server.inbox import Tasks
from quart_app.server.listener import Listener
from quart_app.server.websocket_stream import FramedWSStream, Shared, is_lost, writer_of

log = structlog.get_logger(__name__)

READ_BYTES = 2**16
"""Bytes that are read at a time, as by Hypercorn."""
CLOSE_SECONDS = 5.0
"""Seconds that a peer has to take what is left when its connection is closed."""

RELIED_ON: dict[type | ModuleType, tuple[str, ...]] = {
    WSStream: ("_accept", "_handle_events", "_send_pings", "_send_wsproto_event", "app_send", "handle"),
    HTTPStream: ("app_send", "handle"),
    H11Protocol: ("_check_protocol", "_create_stream", "_send_error_response"),
    TaskGroup: ("spawn", "spawn_app"),
    task_group: ("_handle",),
    TCPServer: ("_close", "_initiate_server_close", "_read_data", "protocol_send", "run"),
}

REPLACED: tuple[tuple[ModuleType, str], ...] = (
    (run, "TCPServer"),
    (tcp_server, "TaskGroup"),
    (protocol, "H11Protocol"),
    (http1, "HTTPStream"),
    (http1, "WSStream"),
)
"""Where Hypercorn looks up what is replaced."""


class BoundedTCPServer(TCPServer):
    """One connection, which is not written to when it is lost, and not waited for without end."""

    def __init__(self, *args: Any, shared: Shared) -> None:
        super().__init__(*args)
        self._shared = shared
        self._told = False
        self._socket: Any = None

    async def run(self) -> None:
        self._socket = self.writer.get_extra_info("socket")
        try:
            await super().run()
        finally:
            # Parts that know each other would wait for the garbage collector, with what was read and never looked at.
            vars(self).pop("protocol", None)

    async def protocol_send(self, event: ConnectionEvent) -> None:
        if isinstance(event, Updated):
            self._mark(idle=event.idle)
        if not isinstance(event, RawData):
            await super().protocol_send(event)
        elif is_lost(self.writer.transport):
            if not self._told:  # not awaited: this may be the app's own send, and the app the one that has to hear it
                self._told = True
                self._task_group.spawn(self.protocol.handle, Closed())
        else:
            try:
                async with asyncio.timeout(self.config.read_timeout):
                    await super().protocol_send(event)
            except TimeoutError:
                self.writer.transport.abort()

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                async with asyncio.timeout(self.config.read_timeout):
                    data = await self.reader.read(READ_BYTES)
            except (OSError, TimeoutError):
                if not self._is_answered():
                    break
            else:
                await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    def _is_answered(self) -> bool:
        """Whether the peer is silent because it is being answered, as one that reads events for hours.

        Then only what is sent shows whether it is still there: TCP ends the connection when nothing is acknowledged.
        """
        http1 = getattr(self.protocol.protocol, "connection", None)
        has_asked = getattr(http1, "their_state", None) in (h11.DONE, h11.MUST_CLOSE)
        if self.writer.transport.is_closing() or not has_asked:
            return False
        with suppress(OSError, AttributeError):  # a Unix socket has none, and nor has any other system than Linux
            milliseconds = int((self.config.read_timeout or 0) * 1000)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return True

    async def _close(self) -> None:
        cutting = self.loop.call_later(CLOSE_SECONDS, self.writer.transport.abort)
        try:
            # However it ends is an end; the cancellation is left out as Hypercorn does it.
            with suppress(OSError, asyncio.CancelledError):
                if self.writer.transport.is_closing():  # asyncio's TLS transport breaks when it is closed twice
                    await self.writer.wait_closed()
                else:
                    await super()._close()
        finally:
            cutting.cancel()
            await self.idle_task.stop()

    async def _initiate_server_close(self) -> None:
        await self.protocol.handle(Closed())
        if not self.writer.transport.is_closing():  # see `_close`; what was received is still being read
            self.writer.close()

    def _mark(self, *, idle: bool) -> None:
        if self._shared.listener is not None:
            self._shared.listener.mark(self._socket.fileno(), idle=idle)


def install(
    settings: Settings,
    *,
    closed: Callable[[CloseCode], None] = lambda code: None,
    listener: Listener | None = None,
) -> bool:
    """Let Hypercorn serve with `BoundedTCPServer` and what is in the other files.

    With a Hypercorn that is built otherwise, nothing is changed and one warning says so.

    Args:
        settings: `websocket_deflate`; `frame_rate` and `frame_burst`.
        closed: is told of every WebSocket that the server itself closes, such as with 1002.
        listener: of the server; is told which connections are idle.

    Returns:
        Whether it could be done.
    """
    if (trouble := _trouble()) is not None:
        log.warning(
            "this Hypercorn is built otherwise than expected: every frame is sent the ordinary way, compressed frames "
            "are accepted, floods of frames are not bounded, HTTP/2 is spoken, and stopping may take a ping interval "
            "longer; install the release that the lock file names",
            trouble=trouble,
        )
        return False
    shared = Shared(settings, closed, listener)
    changed: tuple[Any, ...] = (
        partial(BoundedTCPServer, shared=shared),
        Tasks,
        partial(Http1Protocol, shared=shared),
        partial(PacedHTTPStream, shared=shared),
        partial(FramedWSStream, shared=shared),
    )
    for (module, name), new in zip(REPLACED, changed, strict=True):
        setattr(module, name, new)
    return True


def _trouble() -> str | None:
    """What of the inside is not as expected; None when all is. Builds what a socket would have, without a socket."""
    missing = [
        f"{kind.__name__}.{name}" for kind, names in RELIED_ON.items() for name in names if not hasattr(kind, name)
    ]
    missing += [f"{module.__name__}.{name}" for module, name in REPLACED if not hasattr(module, name)]
    if missing:
        return f"there is no {', '.join(missing)}"
    writer = object()
    config, context, loop = Config(), WorkerContext(None), asyncio.get_running_loop()
    try:
        server = TCPServer(None, loop, config, context, {}, None, writer)  # type: ignore[arg-type]
        http = H11Protocol(None, config, context, None, None, False, None, None, server.protocol_send)  # type: ignore[arg-type]
        rest: tuple[Any, ...] = (None, config, context, None, False, None, None, http.stream_send, 1)
        stream = WSStream(*rest)
        HTTPStream(*rest)
        if writer_of(stream.send) is not writer:
            return "a WSStream does not send to the writer of its TCPServer"
        if not isinstance(stream.state, ASGIWebsocketState) or stream.buffer.value is not None:
            return "a WSStream does not begin as it did"
    except (AttributeError, TypeError) as error:
        return str(error)
    return None
