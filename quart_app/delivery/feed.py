"""One subject as this process hears it, for all of its connections that are to have what is said there."""

from __future__ import annotations

import asyncio
from contextvars import Context

import structlog

from bus import Bus, BusRefused, BusUnavailable, Stored, Subscription
from bus.messages import JobEvent
from quart_app.channel import CLIENT
from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.fan_out import FanOut, Member
from quart_app.delivery.ordered_events import OrderedEvents
from quart_app.delivery.stream_end import StreamEnd

log = structlog.get_logger(__name__)


class Feed:
    """One NATS subscription of this process, and the connections it serves.

    What is heard is put in order, parsed once, and added to what the fan-out delivers. When NATS was away, when this
    process was too slow and messages were dropped, or when an event names a predecessor that never came, the feed is
    behind, and puts itself into the queue of those for which somebody has to call `refill`.

    Args:
        bus: the bus.
        end: how far the stream reaches.
        scope: what a cursor of this feed is called: `client`, or the group's name.
        subject: the `bus.` subject, wildcards allowed.
        parser: makes events of bus messages.
        fan_out: gets each event, once and in order.
        behind: gets the feed when it falls behind. It is in there once at most, until a `refill` succeeds.
        client_id: whose feed it is, unless it is a group's.
    """

    __slots__ = (
        "_behind",
        "_bus",
        "_client_id",
        "_closing",
        "_end",
        "_fan_out",
        "_opening",
        "_order",
        "_parser",
        "_progress",
        "_queued",
        "_subscription",
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
        parser: EventParser,
        fan_out: FanOut,
        behind: asyncio.Queue[Feed],
        client_id: str | None = None,
    ) -> None:
        self.scope = scope
        self.subject = subject
        self.members: dict[Member, None] = {}
        """In the order in which they came: then what a delivery touches lies in memory in about that order, too."""
        self.shows_progress = False
        """Whether any member is shown progress."""
        self._bus = bus
        self._end = end
        self._parser = parser
        self._fan_out = fan_out
        self._behind = behind
        self._client_id = client_id
        self._order = OrderedEvents(bus, end, subject)
        self._queued = False
        self._subscription: Subscription | None = None
        self._progress: asyncio.Task[Subscription] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the feed knows where it begins, so that it misses nothing from there on."""
        return self._order.begun

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing is not None

    async def open(self, cursor: int | None) -> None:
        """Subscribe.

        Args:
            cursor: the stream's last sequence at this moment; None when NATS is away, and then the feed begins at
                what the stream holds when it is back.

        Raises:
            BusUnavailable: the bus is closed.
        """
        self._order.begin(cursor)
        self._queue_if_behind()
        self._subscription = await self._bus.subscribe(self.subject, self._on_live, self._on_refused)

    async def ensure_open(self, *, fresh: bool) -> None:
        """Open the feed at the stream's end, once for all who ask: one who leaves meanwhile leaves the others theirs.

        Args:
            fresh: there can be no event on the subject yet, so that the end last known will do.

        Raises:
            BusUnavailable: the bus is closed.
        """
        if self._subscription is None:
            if self._opening is None:
                # Of nobody's context: what lives as long as the feed must not log the connection that came first.
                opening = self._open(fresh=fresh)
                self._opening = asyncio.create_task(opening, name="open a feed", context=Context())
            await asyncio.shield(self._opening)

    def follow_progress(self) -> None:
        """Hear the progress of the client's jobs too. It is a subscription of its own, so idle clients have none."""
        if self._progress is None and self._client_id is not None:
            self._progress = asyncio.create_task(
                self._bus.subscribe_progress(self._client_id, self._pass_on),
                name="subscribe to progress",
                context=Context(),
            )

    def fall_behind(self) -> None:
        """Live events may have been missed: let them wait until a `refill`."""
        self._order.fall_behind()
        self._queue_if_behind()

    def begin_anew(self) -> None:
        """Forget the cursor: the stream is another one. Call it while the feed is behind or before a refill."""
        self._order.begin_anew()
        self._queue_if_behind()

    async def refill(self, last_seq: int) -> None:
        """Pass on everything that was missed, then what came live meanwhile.

        Args:
            last_seq: the stream's last sequence, as it was told since the feed fell behind. A feed that never had a
                cursor begins there.

        Raises:
            BusUnavailable: NATS went away, or a replica of the stream lags behind its leader; the feed is still behind,
                and what was passed on is not passed on again.
        """
        async for stored in self._order.refill(last_seq):
            self._pass_on(stored)
        self._queued = False
        self._queue_if_behind()

    async def close(self) -> None:
        """Unsubscribe, even when the caller is cancelled meanwhile. Safe to call on a feed that was never opened."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close a feed")
        await asyncio.shield(self._closing)

    async def _open(self, *, fresh: bool) -> None:
        try:
            await self.open(self._end.last_seq if fresh else await self._last_seq())
        finally:
            self._opening = None

    async def _last_seq(self) -> int | None:
        try:
            return (await self._end.state()).last_seq
        except BusUnavailable:
            return None

    async def _close(self) -> None:
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._subscription is not None:
            await self._subscription.close()
        if self._progress is not None:
            await asyncio.wait({self._progress})
            if self._progress.exception() is None:
                await self._progress.result().close()

    def _on_live(self, stored: Stored) -> None:
        if self._order.is_next(stored):
            self._pass_on(stored)
        self._queue_if_behind()

    def _pass_on(self, stored: Stored) -> None:
        encoded = self._parser.parse(stored)
        if encoded is None:
            return
        if self.shows_progress and isinstance(encoded.event, JobEvent):
            self.follow_progress()
        self._fan_out.add(self, encoded)

    def _on_refused(self, error: BusRefused) -> None:
        """NATS does not let this process hear it, at a limit perhaps: another process may."""
        log.warning("the bus refuses a subscription; its clients have to go", subject=self.subject, error=str(error))
        for member in list(self.members) if self.scope == CLIENT else ():
            member.close(SERVICE_RESTART)

    def _queue_if_behind(self) -> None:
        if self._order.behind and not self._queued:
            self._queued = True
            self._behind.put_nowait(self)
