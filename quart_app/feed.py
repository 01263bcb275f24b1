"""One subject as this process hears it: every event once, in order, gaps refilled from the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from bus import Bus, BusRefused, BusUnavailable, Stored, Subscription
from quart_app.batch import Batch
from quart_app.close_codes import SERVICE_RESTART
from quart_app.held_events import HeldEvents
from quart_app.passed_on import PassedOn
from quart_app.stream_end import StreamEnd

if TYPE_CHECKING:
    from quart_app.connection import Connection

log = structlog.get_logger(__name__)

CLIENT = "client"
"""The scope of a client's own events; a group's scope is its name."""

MOST_HELD = 10_000
"""Live events kept while the feed is behind; past it they are read from the stream instead."""
REMEMBERED = 256
"""Live events of which the older half is forgotten when the stream is known to reach past them."""
LOOK_EVERY = 32
"""How many are remembered more before it is looked at that again."""
MOST_REMEMBERED = 4 * REMEMBERED
"""Live events after which the stream is read, when it did not say meanwhile that it reaches past the oldest."""

PAUSE_AFTER = 64 * 1024
"""Bytes of missed events after which other tasks get a turn, so that readers can take what is passed on."""

READS = 4
"""How often a refill reads what the stream's leader is known to have, before it is tried again later."""
LAG = 0.1
"""Seconds that a replica gets between two reads to take what its leader has."""


class Feed:
    """One NATS subscription of this process, and the connections it serves.

    The feed knows the last sequence it has passed on. When NATS was away, when this process was too slow and messages
    were dropped, or when an event names a predecessor that never came, the feed is *behind*: live events wait while
    `refill` reads the stream from that sequence on.

    A live message is only what somebody published on a `live.` subject, so it can be forged. One whose sequence the
    stream cannot have reached is not passed on. One that could be next is; but the sequence up to which the stream
    itself was read is kept, with what was passed on since. As soon as something does not fit, which a real event that
    was passed over does not, the stream is read from there, and what was not passed on is. So a forger can add to what
    is shown, where permissions let him, and never takes anything away.

    Args:
        bus: the bus.
        end: how far the stream reaches.
        scope: what a cursor of this feed is called: `client`, or the group's name.
        subject: the `bus.` subject, wildcards allowed.
        pass_on: called with each event, once and in order.
        drop: called with each live message that turned out to be none of the stream's.
        report: called when the feed falls behind; somebody must then call `refill` until it succeeds.
    """

    __slots__ = (
        "_behind",
        "_bus",
        "_closing",
        "_cursor",
        "_drop",
        "_end",
        "_held",
        "_opening",
        "_pass_on",
        "_passed",
        "_progress",
        "_report",
        "_subscription",
        "_verified",
        "batch",
        "members",
        "scope",
        "shows_progress",
        "subject",
    )

    def __init__(
        self,
        bus: Bus,
        end: StreamEnd,
        scope: str,
        subject: str,
        *,
        pass_on: Callable[[Feed, Stored], None],
        drop: Callable[[Stored], None],
        report: Callable[[Feed], None],
    ) -> None:
        self.scope = scope
        self.subject = subject
        self.members: dict[Connection, None] = {}
        """In the order in which they came: then what a delivery touches lies in memory in about that order, too."""
        self.batch: Batch | None = None
        """What the hub has not handed out yet."""
        self.shows_progress = False
        """Whether any member is shown progress."""
        self._bus = bus
        self._end = end
        self._pass_on = pass_on
        self._drop = drop
        self._report = report
        self._verified: int | None = None
        """Up to here the stream itself was read, or nothing was missed."""
        self._cursor = 0
        """The last event that was passed on, live ones included; where the next one continues."""
        self._passed: PassedOn | None = None
        """What was passed on live after `_verified`."""
        self._behind = False
        self._held: HeldEvents | None = None
        self._subscription: Subscription | None = None
        self._progress: asyncio.Task[Subscription] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the feed knows where it begins, so that it misses nothing from there on."""
        return self._verified is not None

    async def opened(self, last_seq: Callable[[], Awaitable[int | None]]) -> None:
        """Open the feed, once for all who ask: one who leaves meanwhile does not leave the others without it.

        Args:
            last_seq: asked for the argument of `open`.

        Raises:
            BusUnavailable: as `open` does.
        """

        async def open_() -> None:
            try:
                await self.open(await last_seq())
            finally:
                self._opening = None

        if self._subscription is None:
            if self._opening is None:
                self._opening = asyncio.create_task(open_(), name="open a feed")
            await asyncio.shield(self._opening)

    async def open(self, cursor: int | None) -> None:
        """Subscribe.

        Args:
            cursor: the stream's last sequence at this moment; None when NATS is away, and then the feed begins at
                what the stream holds when it is back.

        Raises:
            BusUnavailable: the bus is closed.
        """
        self._verified = cursor
        self._cursor = cursor or 0
        if cursor is None:
            self.fall_behind()
        self._subscription = await self._bus.subscribe(self.subject, self._on_live, self._on_refused)

    def follow_progress(self, client_id: str) -> None:
        """Hear the progress of the client's jobs too. It is a subscription of its own, so idle clients have none."""
        if self._progress is None:
            self._progress = asyncio.create_task(
                self._bus.subscribe_progress(client_id, lambda stored: self._pass_on(self, stored)),
                name="subscribe to progress",
            )

    async def close(self) -> None:
        """Unsubscribe, even when the caller is cancelled meanwhile. Safe to call on a feed that was never opened."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close a feed")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._subscription is not None:
            await self._subscription.close()
        if self._progress is not None:
            await asyncio.wait({self._progress})
            if self._progress.exception() is None:
                await self._progress.result().close()

    def fall_behind(self) -> None:
        """Hold live events until a `refill`."""
        if not self._behind:
            self._behind = True
            self._report(self)

    def begin_anew(self) -> None:
        """Forget the cursor: the stream is another one. Call it while the feed is behind or before a refill."""
        self._verified = self._cursor = 0
        self._passed = None
        self._held = None
        self.fall_behind()

    async def refill(self, last_seq: int) -> None:
        """Pass on everything that was missed, then what was held.

        Args:
            last_seq: the stream's last sequence, as `end` was told since the feed fell behind. A feed that never had a
                cursor begins there.

        Raises:
            BusUnavailable: NATS went away, or a replica of the stream lags behind its leader; the feed is still behind,
                and what was passed on is not passed on again.
        """
        # A stream that was put back to an older state gives the sequences after it a second time.
        self._verified = last_seq if self._verified is None else min(self._verified, last_seq)
        for _ in range(READS):
            await self._read(self._verified)
            if not await self._unread():
                break
            await asyncio.sleep(LAG)
        else:
            raise BusUnavailable("a replica of the stream lags behind its leader")
        held, self._held, self._behind = self._held, None, False  # nothing from here on waits: no event comes between
        if held is not None:
            overflowed = held.overflowed
            for stored in held.take():
                if self._end.reaches(stored.seq):
                    self._on_live(stored)
                else:
                    self._drop(stored)
            if overflowed:
                self.fall_behind()

    async def _read(self, after: int) -> None:
        """Read the stream, and pass on what was not passed on before."""
        passed = 0
        async for stored in self._bus.stream.replay(self.subject, after=after):
            if self._passed is None or not self._passed.has(stored):
                self._pass_on(self, stored)
            self._verified = stored.seq
            passed += len(stored.data)
            if passed > PAUSE_AFTER:
                passed = 0
                await asyncio.sleep(0)
        self._cursor = self._verified or 0
        if self._passed is not None:
            self._passed.keep_after(self._cursor)

    async def _unread(self) -> bool:
        """Whether held events follow what the stream has and was not read. Those that it does not have are dropped.

        Either a replica that lags was read from, or somebody forged them: the leader knows.
        """
        early = self._held.early(self._cursor) if self._held is not None else []
        if not early or self._held is None:
            return False
        newest = await self._bus.stream.last(self.subject)
        end = newest.seq if newest is not None else 0
        forged = [stored for stored in early if stored.seq > end]
        for stored in forged:
            self._drop(stored)
        self._held.discard(forged)
        return len(forged) < len(early)

    def _on_refused(self, error: BusRefused) -> None:
        """NATS does not let this process hear it, at a limit perhaps: another process may."""
        log.warning("the bus refuses a subscription; its clients have to go", subject=self.subject, error=str(error))
        for connection in list(self.members) if self.scope == CLIENT else ():
            connection.close(SERVICE_RESTART)

    def _on_live(self, stored: Stored) -> None:
        if self._behind or self._verified is None:
            self._hold(stored)
        elif stored.seq > self._cursor:
            if self._end.reaches(stored.seq) and stored.previous <= self._cursor:
                self._advance(stored)
            else:
                self._hold(stored)
                self.fall_behind()
        elif stored.seq > self._verified and not (self._passed is not None and self._passed.has(stored)):
            self._hold(stored)  # this one was passed over, or it is forged: the stream knows
            self.fall_behind()

    def _hold(self, stored: Stored) -> None:
        if self._held is None:
            self._held = HeldEvents()
        self._held.add(stored)

    def _advance(self, stored: Stored) -> None:
        self._cursor = stored.seq
        passed = self._passed
        if passed is None:
            passed = self._passed = PassedOn()
        elif passed.has(stored):
            return
        passed.add(stored)
        self._pass_on(self, stored)
        if len(passed) % LOOK_EVERY == 0:
            self._settle(passed)

    def _settle(self, passed: PassedOn) -> None:
        """Forget what was passed on long ago, as far as the stream itself says that it reaches."""
        if len(passed) < REMEMBERED // 2:
            return
        oldest = passed.oldest(REMEMBERED // 2)
        if oldest > self._end.last_seq:
            self._end.look()
            if len(passed) >= MOST_REMEMBERED:
                self.fall_behind()
        elif len(passed) >= REMEMBERED:
            self._verified = max(self._verified or 0, oldest)
            passed.forget(REMEMBERED // 2)
