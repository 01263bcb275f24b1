"""One subject as this process hears it: every event once, in order, gaps refilled from the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from bus import Bus, BusRefused, Stored, Subscription
from quart_app.batch import Batch
from quart_app.close_codes import SERVICE_RESTART

if TYPE_CHECKING:
    from quart_app.connection import Connection

log = structlog.get_logger(__name__)

CLIENT = "client"
"""The scope of a client's own events; a group's scope is its name."""

MOST_HELD = 10_000
"""Live events kept while the feed is behind; past it they are read from the stream instead."""

PAUSE_AFTER = 64 * 1024
"""Bytes of missed events after which other tasks get a turn, so that readers can take what is passed on."""


class Feed:
    """One NATS subscription of this process, and the connections it serves.

    The feed knows the last sequence it has passed on. When NATS was away, when this process was too slow and messages
    were dropped, or when an event names a predecessor that never came, the feed is *behind*: live events wait while
    `refill` reads the stream from that sequence on.

    Args:
        bus: the bus.
        scope: what a cursor of this feed is called: `client`, or the group's name.
        subject: the `bus.` subject, wildcards allowed.
        pass_on: called with each event, once and in order.
        report: called when the feed falls behind; somebody must then call `refill` until it succeeds.
    """

    __slots__ = (
        "_behind",
        "_bus",
        "_closing",
        "_cursor",
        "_held",
        "_opening",
        "_pass_on",
        "_report",
        "_subscription",
        "batch",
        "members",
        "scope",
        "subject",
    )

    def __init__(
        self,
        bus: Bus,
        scope: str,
        subject: str,
        pass_on: Callable[[Feed, Stored], None],
        report: Callable[[Feed], None],
    ) -> None:
        self.scope = scope
        self.subject = subject
        self.members: dict[Connection, None] = {}
        """In the order in which they came: then what a delivery touches lies in memory in about that order, too."""
        self.batch: Batch | None = None
        """What the hub has not handed out yet."""
        self._bus = bus
        self._pass_on = pass_on
        self._report = report
        self._cursor: int | None = None
        self._behind = False
        self._held: list[Stored] = []
        self._subscription: Subscription | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the feed knows where it begins, so that it misses nothing from there on."""
        return self._cursor is not None

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
        self._cursor = cursor
        if cursor is None:
            self.fall_behind()
        self._subscription = await self._bus.subscribe(self.subject, self._on_live, self._on_refused)

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

    def fall_behind(self) -> None:
        """Hold live events until a `refill`."""
        if not self._behind:
            self._behind = True
            self._report(self)

    def begin_anew(self) -> None:
        """Forget the cursor: the stream is another one. Call it while the feed is behind or before a refill."""
        self._cursor = 0
        self._held.clear()
        self.fall_behind()

    async def refill(self, last_seq: int) -> None:
        """Pass on everything that was missed, then what was held.

        Args:
            last_seq: the stream's last sequence, where a feed begins that never had a cursor.

        Raises:
            BusUnavailable: NATS went away; the feed is still behind, and what was passed on is not passed on again.
        """
        if self._cursor is None:
            # Connections may be up to date until just before the first event that was heard live.
            self._cursor = min(last_seq, self._held[0].seq - 1) if self._held else last_seq
        passed = 0
        async for stored in self._bus.stream.replay(self.subject, after=self._cursor):
            self._advance(stored)
            passed += len(stored.data)
            if passed > PAUSE_AFTER:
                passed = 0
                await asyncio.sleep(0)
        held, self._held, self._behind = self._held, [], False  # nothing from here on waits: no event comes between
        for stored in held:
            self._on_live(stored)
        if len(held) == MOST_HELD:
            self.fall_behind()  # there may have been more than the list had room for

    def _on_refused(self, error: BusRefused) -> None:
        """NATS does not let this process hear it, at a limit perhaps: another process may."""
        log.warning("the bus refuses a subscription; its clients have to go", subject=self.subject, error=str(error))
        for connection in list(self.members) if self.scope == CLIENT else ():
            connection.close(SERVICE_RESTART)

    def _on_live(self, stored: Stored) -> None:
        if stored.seq == 0:
            self._pass_on(self, stored)
        elif self._behind or self._cursor is None:
            self._hold(stored)
        elif stored.previous > self._cursor:
            self._hold(stored)
            self.fall_behind()
        else:
            self._advance(stored)

    def _hold(self, stored: Stored) -> None:
        if len(self._held) < MOST_HELD:
            self._held.append(stored)

    def _advance(self, stored: Stored) -> None:
        if self._cursor is None or stored.seq > self._cursor:
            self._cursor = stored.seq
            self._pass_on(self, stored)
