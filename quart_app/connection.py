"""One WebSocket: read, dispatch, send within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import structlog
from quart import Websocket

from bus import BusUnavailable
from bus.messages import Error, Event, Message
from quart_app.channel import Channel, Operation
from quart_app.close_codes import TOO_BIG, TOO_SLOW, TRY_AGAIN, CloseCode
from quart_app.frames import BadFrame, FrameParser, item
from quart_app.services import Services

log = structlog.get_logger(__name__)

FINISH_TIMEOUT = 5.0
"""Seconds that a handler gets to finish once its client has left."""

FRAME_OVERHEAD = 100
"""Bytes that a waiting frame counts for besides its text, so that many small ones are bounded too."""


class Refused(Exception):
    """A handler will not do what a valid frame asks for; the client gets an `error` of this kind."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Connection:
    """One open WebSocket of one client, served by one `Channel` instance.

    Two tasks: the reader answers one frame before it reads the next; the writer sends what `send` and `deliver` left,
    in that order. Neither waits for the other. Each event is sent once: a sequence that is not larger than the last
    one of its scope was sent before.

    Args:
        websocket: an accepted WebSocket, or one that is accepted before `run`.
        client_id: whose it is.
        v1: whether it speaks `bus.v1`; then live events are held back until `begin`.
    """

    def __init__(
        self,
        websocket: Websocket,
        channel: type[Channel],
        parser: FrameParser,
        services: Services,
        *,
        client_id: str,
        v1: bool = False,
    ) -> None:
        self.client_id = client_id
        self.channel = channel
        self._websocket = websocket
        self._parser = parser
        self._v1 = v1
        self._limit = services.settings.send_buffer_bytes
        self._send_timeout = services.settings.send_timeout
        self._max_frame_bytes = services.settings.max_frame_bytes
        self._instance = channel(self, services)
        self._cursors: dict[str, int] = {}
        self._held: list[tuple[str, int, Event, str]] | None = [] if v1 else None
        self._held_bytes = 0
        self._outbox: deque[tuple[str | Event, int]] = deque()
        self._outbox_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing: CloseCode | None = None

    def send(self, frame: str) -> None:
        """Put a frame in line for the client. Never waits; a client too slow to keep up is closed with 1013."""
        self._put(frame, len(frame) + FRAME_OVERHEAD)

    def deliver(self, scope: str, seq: int, event: Event, frame: str) -> None:
        """Put an event in line, unless its channel does not show it or it was sent before.

        Args:
            scope: the scope of `seq`: `client`, or a group's name.
            seq: the event's sequence in the stream; 0 for progress, which is not stored.
            frame: the event encoded, which is sent where the channel passes it through.
        """
        operation = self.channel.events.get(event.action)
        if operation is None or not (event.plain or self._v1):
            return
        if self._held is not None:
            self._hold(scope, seq, event, frame)
            return
        if seq:
            if seq <= self._cursors.get(scope, 0):
                return
            self._cursors[scope] = seq
        self._put(frame if operation.method is None else event, len(frame) + FRAME_OVERHEAD)

    async def begin(self, welcome: Message, replay: Iterable[tuple[str, int, Event]], cursors: dict[str, int]) -> None:
        """Send the welcome, then the replay no faster than the client reads, then let live events through.

        Args:
            replay: scope, sequence and event of each, in stream order.
            cursors: per scope, the sequence up to which the replay is complete.
        """
        self.send(welcome.encode())
        for _, _, event in replay:
            await self._room.wait()
            operation = self.channel.events[event.action]
            frame = event.encode()
            self._put(frame if operation.method is None else event, len(frame) + FRAME_OVERHEAD)
        self._cursors = dict(cursors)
        held, self._held = self._held or [], None
        for entry in held:
            self.deliver(*entry)

    def close(self, code: CloseCode) -> None:
        """Send what is in line, then close. Only the first call counts."""
        if self._closing is None:
            self._closing = code
            self._wake.set()

    async def run(self, opening: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve the accepted WebSocket until either side closes it.

        Args:
            opening: done by the reader before it reads the first frame, such as the welcome.
        """
        writer = asyncio.create_task(self._write(), name=f"writer {self.client_id}")
        reader = asyncio.create_task(self._read(opening), name=f"reader {self.client_id}")
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            results = await asyncio.gather(reader, writer, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _hold(self, scope: str, seq: int, event: Event, frame: str) -> None:
        if seq and self._held is not None:
            self._held.append((scope, seq, event, frame))
            self._held_bytes += len(frame) + FRAME_OVERHEAD
            if self._held_bytes > self._limit:
                log.warning("closing a connection that takes its replay too slowly", client_id=self.client_id)
                self._held.clear()
                self.close(TOO_SLOW)

    def _put(self, entry: str | Event, size: int) -> None:
        if self._closing is not None:
            return
        self._outbox.append((entry, size))
        self._outbox_bytes += size
        if self._outbox_bytes > self._limit and len(self._outbox) > 1:  # one large frame alone is not slowness
            log.warning("closing a connection that reads too slowly", client_id=self.client_id)
            self._outbox.clear()
            self.close(TOO_SLOW)
        elif self._outbox_bytes > self._limit // 2:
            self._room.clear()
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                entry, size = self._outbox.popleft()
                frame = entry if isinstance(entry, str) else await self._shown(entry)
                if frame is not None and not await self._send_now(frame):
                    return
                self._outbox_bytes -= size
                if self._outbox_bytes <= self._limit // 2:
                    self._room.set()
            if self._closing is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._send_timeout):
                        await self._websocket.close(self._closing.code, self._closing.reason)
                return

    async def _send_now(self, frame: str) -> bool:
        try:
            async with asyncio.timeout(self._send_timeout):
                await self._websocket.send(frame)
        except TimeoutError:
            log.warning("closing a connection that has stopped reading", client_id=self.client_id)
            self._closing = TOO_SLOW
            return False
        return True

    async def _shown(self, event: Event) -> str | None:
        operation = self.channel.events[event.action]
        try:
            message = await _call(operation, self._instance, event)
        except Exception:
            log.exception("an event handler raised; the event is not shown", handler=operation.name)
            return None
        return message.encode() if message is not None else None

    async def _read(self, opening: Callable[[], Awaitable[None]] | None) -> None:
        if opening is not None:
            try:
                await opening()
            except BusUnavailable as error:
                log.warning("a client could not be welcomed", error=str(error))
                self.close(TRY_AGAIN)
        while self._closing is None:
            frame: str | bytes | None = await self._websocket.receive()
            if frame is not None and longer(frame, self._max_frame_bytes):
                self.close(TOO_BIG)
                break
            await self._finish(self._answer(frame))
        await asyncio.Event().wait()  # the writer closes; what else the client sends is not read

    async def _finish(self, answer: Coroutine[Any, Any, None]) -> None:
        """Run a handler to its end even when the client leaves meanwhile: what it has begun is not left half done."""
        task = asyncio.create_task(answer)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=FINISH_TIMEOUT)
            task.cancel()
            raise

    async def _answer(self, frame: str | bytes | None) -> None:
        try:
            message = self._parser.parse(frame)
        except BadFrame as bad:
            self.send(bad.error.encode())
            return
        operation = self.channel.receives[message.action]
        try:
            reply = await _call(operation, self._instance, message)
        except BusUnavailable as error:
            self.send(_error("bus_unavailable", message.action, str(error), message.ref))
        except Refused as error:
            self.send(_error(error.kind, message.action, str(error), message.ref))
        except Exception:
            log.exception("a handler raised", handler=operation.name)
            text = "the server failed; nothing is known of the outcome"
            self.send(_error("internal_error", message.action, text, message.ref))
        else:
            if reply is not None:
                self.send(reply.encode(ref=message.ref))


async def _call(operation: Operation, instance: Channel, message: Message) -> Message | None:
    if operation.method is None:
        raise TypeError(f"{operation.name} is passed through and has no method")
    return await operation.method(instance, message)


def _error(kind: str, action: str, text: str, ref: str | None) -> str:
    return Error(payload=(item(kind, (action,), text),), ref=ref).encode()


def longer(frame: str | bytes, limit: int) -> bool:
    """Whether a frame has more bytes than `limit`, encoding it only when its characters leave that open."""
    if len(frame) > limit:
        return True
    return isinstance(frame, str) and 4 * len(frame) > limit and len(frame.encode()) > limit
