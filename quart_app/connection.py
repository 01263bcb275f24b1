"""One WebSocket: read, dispatch, send within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import structlog
from quart import Websocket

from bus import BusUnavailable, Settings
from bus.messages import Error, Event
from quart_app.channel import Channel
from quart_app.close_codes import INTERNAL_ERROR, TOO_BIG, TOO_SLOW, CloseCode
from quart_app.frames import BadFrame, FrameParser, item
from quart_app.services import Services

log = structlog.get_logger(__name__)

FRAME_OVERHEAD = 100
"""Bytes that a waiting frame counts for besides its text, so that many small ones are bounded too."""


class Connection:
    """One open WebSocket of one client, served by one `Channel` instance.

    Two tasks: this one reads a frame at a time and answers it before it reads the next; the writer sends what
    `send` and `deliver` left, in that order. Neither waits for the other.
    """

    def __init__(
        self,
        websocket: Websocket,
        channel: type[Channel],
        parser: FrameParser,
        services: Services,
        client_id: str,
    ) -> None:
        self.client_id = client_id
        self.channel = channel
        self._websocket = websocket
        self._parser = parser
        self._settings: Settings = services.settings
        self._instance = channel(self, services)
        self._outbox: deque[str | Event] = deque()
        self._outbox_bytes = 0
        self._wake = asyncio.Event()
        self._closing: CloseCode | None = None

    def send(self, frame: str) -> None:
        """Put a frame in line for the client. Never waits; a client too slow to keep up is closed with 1013."""
        self._put(frame, len(frame) + FRAME_OVERHEAD)

    def deliver(self, event: Event, frame: str) -> None:
        """Put an event in line: as `frame` if the channel passes it through, else through its event handler."""
        operation = self.channel.events.get(event.action)
        if operation is not None:
            self._put(frame if operation.method is None else event, len(frame) + FRAME_OVERHEAD)

    def close(self, code: CloseCode) -> None:
        """Send what is in line, then close. Only the first call counts."""
        if self._closing is None:
            self._closing = code
            self._wake.set()

    async def run(self) -> None:
        """Serve the accepted WebSocket until either side closes it."""
        writer = asyncio.create_task(self._write(), name=f"writer {self.client_id}")
        reader = asyncio.create_task(self._read(), name=f"reader {self.client_id}")
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            results = await asyncio.gather(reader, writer, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _put(self, entry: str | Event, size: int) -> None:
        if self._closing is not None:
            return
        self._outbox.append(entry)
        self._outbox_bytes += size
        if self._outbox_bytes > self._settings.send_buffer_bytes:
            log.warning("closing a connection that reads too slowly", client_id=self.client_id)
            self._outbox.clear()
            self.close(TOO_SLOW)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                entry = self._outbox.popleft()
                if isinstance(entry, Event):
                    await self._handle_event(entry)
                    continue
                self._outbox_bytes -= len(entry) + FRAME_OVERHEAD
                if not await self._send_now(entry):
                    return
            if self._closing is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.send_timeout):
                        await self._websocket.close(self._closing.code, self._closing.reason)
                return

    async def _send_now(self, frame: str) -> bool:
        try:
            async with asyncio.timeout(self._settings.send_timeout):
                await self._websocket.send(frame)
        except TimeoutError:
            log.warning("closing a connection that has stopped reading", client_id=self.client_id)
            self._closing = TOO_SLOW
            return False
        return True

    async def _handle_event(self, event: Event) -> None:
        operation = self.channel.events[event.action]
        assert operation.method is not None  # noqa: S101 - deliver() only queues events that have one
        self._outbox_bytes -= len(event.encode()) + FRAME_OVERHEAD
        try:
            message = await operation.method(self._instance, event)
        except Exception:
            log.exception("an event handler raised; the event is not shown", handler=operation.name)
            return
        if message is not None:
            self._outbox.appendleft(message.encode())

    async def _read(self) -> None:
        while self._closing is None:
            frame: str | bytes | None = await self._websocket.receive()
            if frame is not None and _longer(frame, self._settings.max_frame_bytes):
                self.close(TOO_BIG)
                break
            await self._answer(frame)
        await asyncio.Event().wait()  # the writer closes; what else the client sends is not read

    async def _answer(self, frame: str | bytes | None) -> None:
        try:
            message = self._parser.parse(frame)
        except BadFrame as bad:
            self.send(bad.error.encode())
            return
        operation = self.channel.receives[message.action]
        assert operation.method is not None  # noqa: S101 - what a channel receives always has a method
        try:
            reply = await operation.method(self._instance, message)
        except BusUnavailable as error:
            self.send(_error("bus_unavailable", message.action, str(error), message.ref))
        except Refused as error:
            self.send(_error(error.kind, message.action, str(error), message.ref))
        except Exception:
            log.exception("a handler raised", handler=operation.name)
            self.send(_error("internal_error", message.action, f"{INTERNAL_ERROR.reason}", message.ref))
        else:
            if reply is not None:
                self.send(reply.encode(ref=message.ref))


class Refused(Exception):
    """A handler will not do what a valid frame asks for; the client gets an `error` of this kind."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def _error(kind: str, action: str, text: str, ref: str | None) -> str:
    return Error(payload=(item(kind, (action,), text),), ref=ref).encode()


def _longer(frame: str | bytes, limit: int) -> bool:
    """Whether a frame has more bytes than `limit`, encoding it only when its characters leave that open."""
    if len(frame) > limit:
        return True
    return isinstance(frame, str) and 4 * len(frame) > limit and len(frame.encode()) > limit
