"""Output: what a running job writes, on its way into the event stream."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from bus import AppendRefused, Bus, EventTooLarge
from bus.job_log import JobState
from bus.job_output import append_piece, is_stored
from workers.cancelled import Cancelled
from workers.metrics import WorkerMetrics
from workers.process import persist
from workers.written import NOW, Written, in_coroutine

log = structlog.get_logger(__name__)

HURRY_BYTES = 4 * 1024
"""Bytes that are stored before `output_interval` is over."""
MOST_WAITING = 64 * 1024
"""Bytes that may wait to be acknowledged; then the job waits."""
LARGEST_PIECE = 64 * 1024
"""Characters of one event: fast over a slow network, and small next to NATS's limit whatever JSON makes of them."""
LOOK_AGAIN = 1.0
"""Seconds after which a thread that waits looks by itself."""


class Output(Written):
    """What one attempt writes. The job's thread writes, the bus's loop stores.

    The first piece is stored at once. What is written from then on is joined for at most `output_interval`, or until it
    has 4 KiB, and stored as one event once the one before it is acknowledged: so the pieces are in order, whatever NATS
    does meanwhile. When 64 KiB wait for NATS, the job waits too.

    Made on the bus's loop.

    Args:
        bus: where to.
        job: the attempt, as it was started.
        own: makes a task that ends with the job at the latest.
        on_over: called on the loop when NATS says that this attempt is over.
        metrics: counts the pieces.
        name, max_bytes, cancelled: as for `Written`.
    """

    def __init__(
        self,
        bus: Bus,
        job: JobState,
        *,
        own: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_over: Callable[[], None],
        metrics: WorkerMetrics,
        name: str,
        max_bytes: int,
        cancelled: Cancelled,
    ) -> None:
        super().__init__(name, max_bytes, cancelled)
        self.over = False
        """Whether NATS takes no more: the job has ended, or another attempt has begun."""
        self._bus = bus
        self._job = job
        self._own = own
        self._on_over = on_over
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._interval = bus.settings.output_interval
        self._sender: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._flushing = False
        self._index = 0
        self._pieces_taken = 0
        self._bytes_taken = 0
        self._bytes_stored = 0
        self._awake = False
        """Whether the loop knows that something waits."""
        self._hurried = False
        # A bare lock: a signal may raise in the job's thread at any moment, and must not leave it locked for the loop.
        self._room = threading.Lock()
        self._room.acquire()

    async def flush(self) -> None:
        """Wait until everything that was written is stored, or refused. Nothing may be written any more."""
        if not self._texts:
            return
        self._flushing = True
        self._hurry.set()
        if self._sender is None or self._sender.done():
            self._sender = self._own(self._send())
        await asyncio.wait({self._sender})

    def discard(self) -> None:
        """Store nothing more, from any thread: the job will be tried again."""
        self._loop.call_soon_threadsafe(self._discard)

    # In the job's thread:

    def _added(self) -> Awaitable[None]:
        if not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._wake)
        elif not self._hurried and self.size - self._bytes_taken >= HURRY_BYTES:
            self._hurried = True
            self._loop.call_soon_threadsafe(self._hurry.set)
        if self._has_room():
            return NOW
        if in_coroutine():
            return _Room(self)
        self.wait_for_room()
        return NOW

    def wait_for_room(self) -> None:
        """Wait until less is to be acknowledged.

        Raises:
            Interrupted: the job has to stop.
        """
        with self._cancelled.calling(self._wake_thread):
            while not self._has_room():
                if self._cancelled.is_set():
                    raise self._leave()
                self._room.acquire(timeout=LOOK_AGAIN)

    def _has_room(self) -> bool:
        return self.size - self._bytes_stored <= MOST_WAITING

    # On the loop, but for `_wake_thread`:

    def _wake(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = self._own(self._send())

    def _wake_thread(self) -> None:
        with suppress(RuntimeError):  # nobody waits
            self._room.release()

    def _discard(self) -> None:
        self._on_over = lambda: None
        if self._sender is not None:
            self._sender.cancel()

    async def _send(self) -> None:
        while not self.over:
            due = self._loop.time() + self._interval
            await self._store(self._take())
            if not self._flushing:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._hurry.wait()
                self._hurry.clear()
                self._hurried = False
            if self._pieces_taken == len(self._texts):
                self._awake = False
                if self._pieces_taken == len(self._texts):  # still, now that it wakes us
                    return
                self._awake = True

    def _take(self) -> str:
        begin, end = self._pieces_taken, len(self._texts)
        text = "".join(self._texts[begin:end])
        self._texts[begin:end] = [text] if text else []
        self._pieces_taken += bool(text)
        self._bytes_taken += len(text.encode())
        return text

    async def _store(self, text: str) -> None:
        while text and not self.over:
            stored = await self._store_piece(text[:LARGEST_PIECE])
            size = len(stored.encode())
            self._bytes_stored += size
            if not self.over:
                self._metrics.piece(self._name, size)
            self._wake_thread()
            text = text[len(stored) :]

    async def _store_piece(self, text: str) -> str:
        """Store a piece, or as much of it as fits into an event, and return that; however long NATS is away."""
        message_id = secrets.token_hex(12)
        repeated = False

        async def store(bus: Bus) -> None:
            nonlocal text, repeated
            if repeated and await is_stored(bus.stream, self._job, message_id):
                return
            repeated = True
            while True:
                try:
                    done = await append_piece(bus.stream, self._job, text, index=self._index, message_id=message_id)
                    self._job = replace(self._job, seq=done.after)  # the job may have been carried forward
                except EventTooLarge as error:
                    if len(text) == 1:
                        self.failure = f"what it wrote cannot be stored: {error}"
                        break
                    text = text[: len(text) // 2]
                except AppendRefused:
                    self._metrics.refused.add("output")
                    break
                else:
                    return
            self.over = True
            self._on_over()

        await persist(self._bus, store)
        self._index += 1
        return text


class _Room:
    """What a coroutine waits for when it has written a lot. A thread waits in its place: that is rare."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.to_thread(self._output.wait_for_room).__await__()
