"""What is on its way to one client, within bounds."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from bus import Settings
from bus.messages import Event
from quart_app.close_codes import TOO_SLOW, CloseCode
from quart_app.delivery.prepared import Entry, Prepared, PreparedFrames
from quart_app.finish import FINISH_TIMEOUT
from quart_app.sparse_log import SparseLog
from quart_app.websocket.frame_writer import FrameWriter, frame_writer_of
from quart_app.websocket.socket import Socket

too_slow = SparseLog("closing a connection that reads too slowly")
stopped = SparseLog("cutting off a connection that has stopped reading")

OVERHEAD = 100
"""Bytes that a waiting entry counts for besides its text, so that many small ones are bounded too."""

CLOSING_SECONDS = 1.0
"""How long a client has to answer a close frame; closed sooner, TCP might lose the frame (RFC 6455 section 7.1.1)."""

LAST_WORD = 0.1
"""Seconds for handing a server the close frame of a client that does not read."""


class Closed(Exception):
    """The close frame is sent: ends the task group of a connection."""


class SendQueue:
    """Sends to one WebSocket, in order, and never makes its callers wait.

    While the client takes everything, entries go straight to the server's frame writer. Else, and on a server without
    one, they wait for a task that lives until nothing waits.

    Args:
        websocket: an accepted WebSocket, or one that is accepted before `start`.
        settings: `send_buffer_bytes` and `send_timeout`.
        show: makes of an event what the client is shown. It must end by itself, and not raise.
        client_id: for the log.
    """

    __slots__ = (
        "_client_id",
        "_direct",
        "_enough",
        "_frame_writer",
        "_limit",
        "_room",
        "_show",
        "_size",
        "_task",
        "_tasks",
        "_timeout",
        "_until",
        "_waiting",
        "_websocket",
        "closing",
    )

    def __init__(
        self,
        websocket: Socket,
        settings: Settings,
        show: Callable[[Event], Awaitable[PreparedFrames | None]],
        *,
        client_id: str,
    ) -> None:
        self.closing: CloseCode | None = None
        """With what the connection is being closed."""
        self._websocket = websocket
        self._client_id = client_id
        self._limit = settings.send_buffer_bytes
        self._timeout = settings.send_timeout
        self._show = show
        self._until = math.inf
        """When no event is shown any more, in the event loop's time."""
        self._frame_writer = frame_writer_of(websocket.scope)
        self._direct: FrameWriter | None = None
        self._waiting: deque[tuple[Entry, int]] | None = None
        self._size = 0
        self._enough = 0
        self._room: asyncio.Event | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Bytes that wait here."""
        return self._size

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to send; until then everything waits.

        Args:
            tasks: owns the task that sends. It ends with `Closed` when the connection was closed from this side.
        """
        self._tasks = tasks
        self._direct = self._frame_writer
        if self._waiting or self.closing:
            self._start_task()

    def stop(self) -> None:
        """Begin nothing more, because the client has left; what is asked for from now on is let be."""
        self._tasks = self._direct = None

    def put(self, prepared: Prepared) -> None:
        """Send entries after those before them. A client too slow to keep up is closed with 1013."""
        direct = self._direct
        for entry in prepared:
            if direct is None or not isinstance(entry, PreparedFrames) or not direct.offer(entry.data):
                self._wait(entry)
                direct = None

    def cork(self, frames: PreparedFrames) -> None:
        """Send frames after those before them, in one write with what else this turn of the event loop brings."""
        direct = self._direct
        if direct is None or not direct.cork(frames.data):
            self._wait(frames)

    def parts(self, frames: PreparedFrames) -> Iterable[PreparedFrames]:
        """The same in parts of which each fits beside others; only one large frame does not."""
        if len(frames.data) > self._limit // 2:
            return map(PreparedFrames, frames.texts)
        return (frames,)

    def close(self, code: CloseCode) -> None:
        """Send what waits, then close. Only the first call counts.

        A client whose events take too long to be shown gets the rest of them when it comes back.
        """
        if self.closing is None:
            self.closing = code
            self._until = asyncio.get_running_loop().time() + FINISH_TIMEOUT
            self._start_task()

    async def room(self, most: int | None = None) -> None:
        """Wait until at most so many bytes wait; by default, half of those that may."""
        self._enough = self._limit // 2 if most is None else most
        if self._size > self._enough:
            self._room = asyncio.Event()
            await self._room.wait()

    def give_up(self, code: CloseCode) -> None:
        """Close without sending what waits."""
        if self._waiting:
            self._waiting.clear()
        self.close(code)

    def _wait(self, entry: Entry) -> None:
        if self.closing is not None:
            return
        if self._waiting is None:
            self._waiting = deque()
        size = len(entry.data if isinstance(entry, PreparedFrames) else entry.encode()) + OVERHEAD
        self._waiting.append((entry, size))
        self._size += size
        if self._size > self._limit and len(self._waiting) > 1:  # one large frame alone is not slowness
            too_slow.warn(client_id=self._client_id)
            self._waiting.clear()
            self.close(TOO_SLOW)
        self._start_task()

    def _start_task(self) -> None:
        self._direct = None
        if self._task is None and self._tasks is not None:
            self._task = self._tasks.create_task(self._write(), name="send queue")

    async def _write(self) -> None:
        """Send what waits; then close, or let what comes go straight to the frame writer again."""
        clock = asyncio.get_running_loop().time
        try:
            while self._waiting:
                entry, size = self._waiting.popleft()
                if not isinstance(entry, PreparedFrames) and clock() >= self._until:
                    self._waiting.clear()
                    break
                frames = entry if isinstance(entry, PreparedFrames) else await self._show(entry)
                if frames is not None:
                    async with asyncio.timeout(self._timeout):
                        await self._send(frames)
                self._size -= size
                if self._room is not None and self._size <= self._enough:
                    self._room.set()
            if self.closing is not None:
                async with asyncio.timeout(self._timeout):
                    await self._websocket.close(self.closing.code, self.closing.reason)
                await asyncio.sleep(CLOSING_SECONDS)  # cut short by the client's close frame
                raise Closed
        except TimeoutError:
            stopped.warn(client_id=self._client_id)
            await self._cut()
            raise Closed from None
        self._waiting = self._task = None
        self._direct = self._frame_writer

    async def _cut(self) -> None:
        self.closing = self.closing or TOO_SLOW
        if self._frame_writer is not None:
            self._frame_writer.abort()
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LAST_WORD):  # the close frame goes behind what the server has buffered
                await self._websocket.close(self.closing.code, self.closing.reason)

    async def _send(self, frames: PreparedFrames) -> None:
        with suppress(OSError):  # the client has just left, as the reader is about to hear
            if self._frame_writer is None:
                for text in frames.texts:
                    await self._websocket.send(text)
            else:
                self._frame_writer.write(frames.data)
                await self._frame_writer.drain()
