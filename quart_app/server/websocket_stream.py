"""Hypercorn's WebSocket stream over HTTP/1.1, corrected; `hypercorn_inside` says in what, and installs it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hypercorn.protocol.events import Body, Data, Event, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from bus import Settings
from quart_app.close_codes import INVALID_DATA, PROTOCOL_ERROR, TOO_BIG, TOO_MANY_REQUESTS, CloseCode
from quart_app.round_robin import RoundRobin
from quart_app.server.listener import Listener
from quart_app.sparse_log import SparseLog
from quart_app.websocket import frame_writer
from quart_app.websocket import rate_limit as limits
from quart_app.websocket.frame_writer import FrameWriter, Turn
from quart_app.websocket.rate_limit import TokenBucket
from quart_app.websocket.visit import closed_by_client, closed_by_server

closing = SparseLog("closing a connection because of the frames that it sends")

FRAMES_BETWEEN_LOOKS = 8
"""Frames of one read that are taken before all other connections have had their turn."""
SLICE = 0.001
"""Seconds for which frames are taken after each turn."""
CLOSE_LINGER = 1.0
"""Seconds from a close frame for what the peer did wrong to the end of the connection, so that it can be read."""
DISCARD_PAUSE = 0.05
"""Seconds between two reads, 64 KiB at the most, of what a peer sends that is not heard any more."""
PING = bytes((0x89, 0))
"""A ping without a payload (RFC 6455 section 5.5.2). Of many idle sockets it is nearly all that they cost."""
DETAIL = 80
"""Characters of a close reason that say what exactly was wrong; all of it must fit 123 bytes."""


@dataclass(frozen=True)
class Shared:
    """What all connections of a server have in common.

    Args:
        settings: of this process.
        closed: is told of every close that the server itself decides on.
        listener: is told which of its connections are idle.
    """

    settings: Settings
    closed: Callable[[CloseCode], None]
    listener: Listener | None = None
    turn: Turn = field(default_factory=Turn)
    round: RoundRobin = field(default_factory=RoundRobin)


class FramedWSStream(WSStream):
    """A WebSocket that announces its frame writer and its frame rate to the app, and closes as RFC 6455 says."""

    def __init__(self, app: Callable[..., Any], *args: Any, shared: Shared, **kwargs: Any) -> None:
        super().__init__(self._announcing(app), *args, **kwargs)
        writer = writer_of(self.send)
        self._transport: asyncio.WriteTransport = writer.transport
        self._frame_writer = FrameWriter(writer, shared.turn)
        self._rate = TokenBucket(shared.settings.frame_rate, shared.settings.frame_burst)
        self._shared = shared
        self._timer: asyncio.TimerHandle | None = None
        self._deaf = False
        self._answered: asyncio.Event | None = None

    def _announcing(self, app: Callable[..., Any]) -> Any:
        def announced(scope: Any, *rest: Any) -> Any:
            scope["extensions"][limits.RATE_EXTENSION] = {"rate": self._rate}
            if not (self._shared.settings.websocket_deflate and self.handshake.extensions):
                # a deflated frame is for one connection
                scope["extensions"][frame_writer.WRITER_EXTENSION] = {"writer": self._frame_writer}
            return app(scope, *rest)

        return announced

    async def handle(self, event: Event) -> None:
        if isinstance(event, Body | Data) and self._lost():
            if self._deaf:
                await asyncio.sleep(DISCARD_PAUSE)
            return
        if isinstance(event, Body | Data) and not self.handshake.accepted and not await self._accepted():
            return
        if isinstance(event, StreamClosed):
            self._frame_writer.open = False
            if self._timer is not None:
                self._timer.cancel()
        await super().handle(event)
        if self.closed:
            vars(self).pop("app", None)  # which knows this stream: neither waits for the garbage collector

    async def app_send(self, message: Any) -> None:
        self._frame_writer.flush()
        await super().app_send(message)
        if self._answered is not None and self.state is not ASGIWebsocketState.HANDSHAKE:
            self._answered.set()

    async def _accepted(self) -> bool:
        """Whether the app accepts the WebSocket on which frames came before it did; waits for its answer."""
        self._answered = asyncio.Event()
        await self._answered.wait()
        return self.handshake.accepted

    async def _accept(self, message: Any) -> None:
        if not self._shared.settings.websocket_deflate:
            self.handshake.extensions = None
        await super()._accept(message)
        self._frame_writer.open = True

    async def _handle_events(self) -> None:
        """Take what has come, a few frames at a time. Every frame is counted once, whole messages by the app."""
        clock = asyncio.get_running_loop().time
        until = 0.0
        for number, event in enumerate(self.connection.events(), 1):
            if number % FRAMES_BETWEEN_LOOKS == 0 and clock() >= until:
                await self._shared.round.turn()
                until = clock() + SLICE
            if self._lost():
                return
            if isinstance(event, CloseConnection):
                await self._end(event)
                return
            leaving = self.connection.state is not ConnectionState.OPEN
            if isinstance(event, Message) and not leaving:
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    await self._refuse(TOO_BIG)
                    return
                if event.message_finished:
                    message = self.buffer.to_message()
                    self.buffer.clear()
                    await self.app_put(message)  # type: ignore[misc]
                    continue
            if isinstance(event, Message) and not event.frame_finished:
                continue
            if self._rate.exceeded():
                if leaving:
                    self._deaf = True
                else:
                    await self._refuse(TOO_MANY_REQUESTS)
                return
            if isinstance(event, Ping) and not leaving:
                await self._pong(event)

    async def _pong(self, ping: Ping) -> None:
        """Answer a ping, together with others of this turn of the event loop."""
        pong = self.connection.send(ping.response())
        if not self._frame_writer.cork(pong):
            await self.send(Data(stream_id=self.stream_id, data=pong))

    async def _end(self, event: CloseConnection) -> None:
        """End as the peer wishes, or because of what is no WebSocket frame."""
        if self.connection.state is ConnectionState.OPEN:
            code = INVALID_DATA if event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA else PROTOCOL_ERROR
            await self._refuse(code, (event.reason or "")[:DETAIL] if code is PROTOCOL_ERROR else "")
            return
        if self.connection.state is ConnectionState.REMOTE_CLOSING:
            closed_by_client(self.scope, int(event.code))
            await self._send_wsproto_event(event.response())
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _refuse(self, code: CloseCode, detail: str = "") -> None:
        """Close because of what the peer did. Nothing more is heard; what it still sends is read, so that TCP does not
        reset the connection before the close frame has been read (RFC 6455 section 7.1.1)."""
        reason = f"{code.reason}: {detail}" if detail else code.reason
        self._deaf = True
        self.buffer.clear()
        closing.warn(code=code.code, reason=reason)
        self._shared.closed(code)
        closed_by_server(self.scope, code)
        self._after(CLOSE_LINGER, self.send, StreamClosed(stream_id=self.stream_id))
        await self._send_wsproto_event(CloseConnection(code=code.code, reason=reason))

    async def _send_wsproto_event(self, event: Any) -> None:
        if isinstance(event, CloseConnection):
            self._frame_writer.flush()
            self._frame_writer.open = False
        await super()._send_wsproto_event(event)

    async def _send_pings(self) -> None:
        self._ping_later()

    def _ping_later(self) -> None:
        if self._lost() or self.state is not ASGIWebsocketState.CONNECTED:
            return
        # Sockets that were opened together are not pinged together for long.
        seconds = (self.config.websocket_ping_interval or 0) * random.uniform(0.8, 1)  # noqa: S311
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ping)

    def _ping(self) -> None:
        if not self._frame_writer.offer(PING):  # the peer has not taken all of what came before
            self.task_group.spawn(self._send_wsproto_event, Ping())
        self._ping_later()

    def _lost(self) -> bool:
        """Whether nothing that comes is of interest: the peer is gone, or was told to go."""
        return self._deaf or self.closed or is_lost(self._transport)

    def _after(self, seconds: float, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do this later, instead of what was to be done later, unless the socket is closed by then."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.task_group.spawn, work, *args)


def is_lost(transport: asyncio.BaseTransport) -> bool:
    """Whether what is written does not reach the peer any more. Of TLS, asyncio knows that well before it says so."""
    state = getattr(getattr(transport, "_ssl_protocol", None), "_state", None)
    return transport.is_closing() or (state is not None and state.name != "WRAPPED")


def writer_of(stream_send: Any) -> asyncio.StreamWriter:
    """The writer behind what a WSStream over HTTP/1.1 sends with: H11Protocol.stream_send, TCPServer.protocol_send."""
    writer: asyncio.StreamWriter = stream_send.__self__.send.__self__.writer
    return writer
