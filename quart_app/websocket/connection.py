"""One WebSocket: read, dispatch, send within bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Collection, Coroutine
from contextlib import aclosing
from itertools import count
from typing import Any

import structlog
from werkzeug.datastructures import Headers

from bus import BusUnavailable
from bus.messages import Event, Message
from quart_app.close_codes import (
    TOO_BIG,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_REQUESTS,
    TOO_MUCH_READ,
    TOO_SLOW,
    TRY_AGAIN,
    CloseCode,
)
from quart_app.delivery.batch import Batch, View
from quart_app.delivery.hub import Hub
from quart_app.delivery.prepared import PreparedFrames
from quart_app.errors import TooFast, TooManyConnections
from quart_app.finish import finished
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from quart_app.metrics import Metrics
from quart_app.services import Services
from quart_app.sparse_log import SparseLog
from quart_app.websocket.answering import answer, shown, shown_again
from quart_app.websocket.authorization import Authorization
from quart_app.websocket.frame_parser import FrameParser, longer
from quart_app.websocket.membership import Membership
from quart_app.websocket.pending_batches import PendingBatches
from quart_app.websocket.rate_limit import bucket_of
from quart_app.websocket.send_queue import Closed, SendQueue
from quart_app.websocket.socket import Socket, peer_of

log = structlog.get_logger(__name__)

_numbers = count(1)

too_many = SparseLog("closing a connection that sends too many frames")
too_much_read = SparseLog("closing a connection for whose client too much was read already")
replay_too_slow = SparseLog("closing a connection that takes its replay too slowly")


class Connection:
    """One open WebSocket of one client, served by one `Channel` instance.

    One frame is answered before the next is read. Sending never waits, and never makes the reader wait. Each event is
    sent once: a feed passes it on once, and one that the replay had already is passed over.

    Args:
        websocket: an accepted WebSocket, or one that is accepted before `run`, or what stands for one.
        view: its channel and protocol. With `bus.v1` live events wait for `begin`.
        hub: where it joins and leaves groups.
        metrics: counts frames and bytes.
        authenticator: verifies a newer token.
        identity: whose it is.
    """

    __slots__ = (
        "_instance",
        "_max_frame_bytes",
        "_metrics",
        "_parser",
        "_pending",
        "_queue",
        "_rate",
        "_replayed",
        "_send_timeout",
        "_tasks",
        "_view",
        "_websocket",
        "authorization",
        "channel",
        "client_id",
        "membership",
        "number",
        "since",
    )

    def __init__(
        self,
        websocket: Socket,
        view: View,
        parser: FrameParser,
        services: Services,
        hub: Hub,
        metrics: Metrics,
        authenticator: Authenticator,
        identity: Identity,
    ) -> None:
        settings = services.settings
        self.number, self.since = next(_numbers), time.time()
        self.client_id = identity.client_id
        self.channel = view.channel
        self.membership = Membership(hub, self)
        self._metrics = metrics
        self._websocket = websocket
        self._queue = SendQueue(websocket, settings, self._show, client_id=self.client_id)
        self._parser = parser
        self._view = view
        self._send_timeout = settings.send_timeout
        self._max_frame_bytes = settings.max_frame_bytes
        self._rate = bucket_of(websocket.scope, settings)
        self._instance = view.channel(self, services)
        self.authorization = Authorization(self, self._instance, authenticator, identity)
        self._tasks: asyncio.TaskGroup | None = None
        self._replayed: dict[str, int] = {}
        self._pending = PendingBatches(settings.send_buffer_bytes) if view.v1 else None

    def send(self, text: str) -> None:
        """Send a message, after what waits already. Never waits; a client too slow to keep up is closed."""
        self._queue.cork(PreparedFrames(text))

    def deliver(self, batch: Batch) -> None:
        """Send the events of a batch that the channel shows and that were not sent before. Never waits."""
        if self._pending is not None:
            self._wait(self._pending, batch)
            return
        if self._replayed and batch.last and batch.first <= (seen := self._replayed.get(batch.scope, 0)):
            line = batch.shown_after(seen, self._view)
        else:
            line = batch.prepared.get(self._view) or batch.shown(self._view)
        self._queue.put(line)

    def covered(self, cursors: dict[str, int]) -> bool:
        """Let live events up to these sequences go: the replay will bring them.

        Args:
            cursors: per scope, where the stream ended at some moment after the connection was attached.

        Returns:
            False when there were more live events than may wait: then the stream's end has to be asked again.
        """
        if self._pending is not None:
            if self._pending.overflowed:
                self._pending.overflowed = False
                return False
            self._pending.drop_replayed(cursors)
        self._replayed = cursors
        return True

    async def begin(self, welcome: Message, replay: AsyncGenerator[Batch], cursors: dict[str, int]) -> None:
        """Send the welcome, then the replay no faster than the client reads, then let live events through.

        Args:
            replay: in pieces, in stream order. The next one is taken when the client has taken the one before.
            cursors: per scope, the sequence up to which the replay is complete.

        Raises:
            BusUnavailable: the replay cannot be finished.
        """
        self.send(welcome.encode())
        async with aclosing(replay):
            async for batch in replay:
                try:
                    await self._replay(batch)
                except TimeoutError:
                    replay_too_slow.warn(client_id=self.client_id)
                    self._queue.give_up(TOO_SLOW)
                    return
        self._replayed = cursors
        pending, self._pending = self._pending, None
        for batch in pending.take() if pending is not None else ():
            self.deliver(batch)

    async def _replay(self, batch: Batch) -> None:
        """Send a piece, and wait until the client has taken it.

        Raises:
            TimeoutError: it takes too long for that. What the channel takes to show events does not count.
        """
        left, clock = self._send_timeout, asyncio.get_running_loop().time
        for entry in batch.prepared.get(self._view) or batch.shown(self._view):
            frames = entry if isinstance(entry, PreparedFrames) else await shown_again(entry, self._instance)
            began = clock()
            async with asyncio.timeout(left):
                for part in self._queue.parts(frames):
                    await self._queue.room()
                    self._queue.cork(part)
            left -= clock() - began
        async with asyncio.timeout(left):
            await self._queue.room(0)

    @property
    def groups(self) -> Collection[str]:
        """The groups that it is in."""
        joined = self.membership.joined
        return (*self.channel.groups, *joined) if joined else self.channel.groups

    @property
    def identity(self) -> Identity:
        """Who that is."""
        return self.authorization.identity

    @property
    def v1(self) -> bool:
        """Whether it speaks `bus.v1`."""
        return self._view.v1

    @property
    def protocol(self) -> str:
        """`plain`, `bus.v1`, or `sse` for events over HTTP."""
        return "sse" if self._websocket.scope["type"] == "http" else "bus.v1" if self.v1 else "plain"

    @property
    def address(self) -> str:
        """Where its other end is, as the server sees it."""
        host, port = (*(self._websocket.scope.get("client") or ()), "", "")[:2]
        return f"{host}:{port}" if port else str(host)

    @property
    def peer(self) -> str | None:
        """The address of its other end, without a port; None when it has none, as over a Unix socket."""
        return peer_of(self._websocket)

    @property
    def headers(self) -> Headers:
        """Those of its handshake."""
        return self._websocket.headers

    async def drained(self) -> None:
        """Wait until its reader has taken everything. One at a time may wait."""
        await self._queue.room(0)

    @property
    def may_connect(self) -> bool:
        """Whether its channel lets this client use it."""
        return self._instance.may_connect()

    @property
    def waiting(self) -> int:
        """Bytes that wait for its reader."""
        return self._queue.waiting

    @property
    def closing(self) -> CloseCode | None:
        """With what the connection is being closed from this side."""
        return self._queue.closing

    def close(self, code: CloseCode) -> None:
        """Send what waits, then close. Only the first call counts."""
        self._queue.close(code)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Do something beside, until the connection ends; None when it has."""
        if self._tasks is None:
            work.close()
            return None
        return self._tasks.create_task(_beside(work), name=name)

    async def run(self, opening: Awaitable[None] | None = None) -> None:
        """Serve the accepted WebSocket until either side closes it.

        Args:
            opening: done before the first frame is read, such as the welcome.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._queue.start(tasks)
                self._tasks = tasks
                try:
                    await self._serve(opening)
                finally:
                    self._queue.stop()  # this group takes no new tasks from here on
                    self._tasks = None
        except* Closed:
            pass

    async def _serve(self, opening: Awaitable[None] | None) -> None:
        """Answer one frame after another until the client leaves, which is heard as `CancelledError`."""
        if opening is not None:
            await self._open(opening)
        while True:
            frame: str | bytes | None = await self._websocket.receive()
            self._metrics.frame(frame)
            if self.closing is not None:
                continue  # nothing more is answered, but the client's own close frame is waited for
            if self._rate.exceeded():
                too_many.warn(client_id=self.client_id)
                self.close(TOO_MANY_REQUESTS)
            elif frame is not None and longer(frame, self._max_frame_bytes):
                self.close(TOO_BIG)
            else:
                await finished(self._answer(frame))

    async def _open(self, opening: Awaitable[None]) -> None:
        try:
            await opening
        except BusUnavailable as error:
            log.warning("a client could not be welcomed", error=str(error))
            self.close(TRY_AGAIN)
        except TooFast:
            too_much_read.warn(client_id=self.client_id)
            self.close(TOO_MUCH_READ)
        except TooManyConnections:
            self.close(TOO_MANY_CONNECTIONS)

    def _wait(self, pending: PendingBatches, batch: Batch) -> None:
        if not pending.add(batch) and self._replayed:  # what overflows before is this process's doing, not the client's
            replay_too_slow.warn(client_id=self.client_id)
            self.close(TOO_SLOW)

    async def _show(self, event: Event) -> PreparedFrames | None:
        return await shown(event, self._instance)

    async def _answer(self, frame: str | bytes | None) -> None:
        text = await answer(frame, self._parser, self._instance, self.authorization, self._metrics)
        if text is not None:
            self.send(text)


async def _beside(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("what a channel does beside its connection failed")
