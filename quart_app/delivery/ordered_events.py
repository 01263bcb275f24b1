"""The events of one subject, each once and in order: live ones, and from the stream what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from bus import Bus, BusUnavailable, Stored
from quart_app.delivery.passed_on import PassedOn
from quart_app.delivery.pending_events import PendingEvents
from quart_app.delivery.stream_end import StreamEnd

REMEMBERED = 256
"""Live events of which the older half is forgotten when the stream is known to reach past them."""
EVENTS_BETWEEN_TURNS = 32
"""How many are remembered more before it is looked at that again."""
MOST_REMEMBERED = 4 * REMEMBERED
"""Live events after which the stream is read, when it did not say meanwhile that it reaches past the oldest."""

TURN_BYTES = 64 * 1024
"""Bytes of missed events after which other tasks get a turn, so that readers can take what they are sent."""

READS = 4
"""How often a refill reads what the stream's leader is known to have, before it is tried again later."""
LAG = 0.1
"""Seconds that a replica gets between two reads to take what its leader has."""


class OrderedEvents:
    """Says of each live message whether it is the next event, and reads from the stream what never came.

    The last sequence that was passed on is known. When an event names a predecessor that never came, or somebody says
    that messages may have been lost, this is *behind*: live events wait until `refill` has read the stream from that
    sequence on.

    A live message is only what somebody published on a `live.` subject, so it can be forged. One whose sequence the
    stream cannot have reached is not passed on. One that could be next is; but the sequence up to which the stream
    itself was read is kept, with what was passed on since. As soon as something does not fit, which a real event that
    was passed over does not, the stream is read from there, and what was not passed on is. So a forger can add to what
    is shown, where permissions let him, and never takes anything away.

    Args:
        bus: whose stream is read; it counts what had to be dropped.
        end: how far the stream reaches.
        subject: the `bus.` subject, wildcards allowed.
    """

    __slots__ = ("_again", "_bus", "_cursor", "_end", "_passed", "_pending", "_subject", "_verified", "behind")

    def __init__(self, bus: Bus, end: StreamEnd, subject: str) -> None:
        self.behind = False
        """Whether live events wait for a `refill`."""
        self._again = False
        """Whether messages may have been lost since the last `refill` began, so that it may have read too early."""
        self._bus = bus
        self._end = end
        self._subject = subject
        self._verified: int | None = None
        """Up to here the stream itself was read, or nothing was missed."""
        self._cursor = 0
        """The last event that was passed on, live ones included; where the next one continues."""
        self._passed: PassedOn | None = None
        """What was passed on live after `_verified`."""
        self._pending: PendingEvents | None = None

    @property
    def begun(self) -> bool:
        """Whether it is known where this begins, so that nothing is missed from there on."""
        return self._verified is not None

    def begin(self, after: int | None) -> None:
        """Begin with what follows this sequence; None for what the first `refill` finds to be the stream's end."""
        self._verified = after
        self._cursor = after or 0
        if after is None:
            self.behind = True

    def begin_anew(self) -> None:
        """Forget every sequence: the stream is another one. Everything that it has is read by the next `refill`."""
        self._verified = self._cursor = 0
        self._passed = self._pending = None
        self.fall_behind()

    def fall_behind(self) -> None:
        """Messages may have been lost until now: live events wait until a `refill` that begins later."""
        self.behind = self._again = True

    def is_next(self, stored: Stored) -> bool:
        """Whether a live message is to be passed on now. If not, it was passed on before, or waits for a `refill`."""
        if self.behind or self._verified is None:
            self._keep(stored)
        elif stored.seq > self._cursor:
            if self._end.reaches(stored.seq) and stored.previous <= self._cursor:
                return self._advance(stored)
            self._keep(stored)
            self.behind = True
        elif stored.seq > self._verified and not self._passed_on(stored):
            self._keep(stored)  # this one was passed over, or it is forged: the stream knows
            self.behind = True
        return False

    async def refill(self, last_seq: int) -> AsyncGenerator[Stored]:
        """Everything that was missed, then what came live meanwhile.

        When it ends without an error, this is not behind any more, unless too much came meanwhile, or messages may have
        been lost.

        Args:
            last_seq: the stream's last sequence, as `end` was told since this fell behind. Where nothing was begun, it
                begins there.

        Raises:
            BusUnavailable: NATS went away, or a replica of the stream lags behind its leader; this is still behind, and
                the next `refill` goes on where this one was.
        """
        self._again = False
        # A stream that was put back to an older state gives the sequences after it a second time.
        self._verified = last_seq if self._verified is None else min(self._verified, last_seq)
        for _ in range(READS):
            async for stored in self._read(self._verified):
                yield stored
            if not await self._unread() and not await self._left_out(last_seq):
                break
            await asyncio.sleep(LAG)
        else:
            raise BusUnavailable("a replica of the stream lags behind its leader")
        pending, self._pending, self.behind = self._pending, None, self._again
        if pending is not None:
            for stored in pending.take():  # no live event comes between these, for nothing waits
                if not self._end.reaches(stored.seq):
                    self._drop(stored)
                elif self.is_next(stored):
                    yield stored
            self.behind |= pending.overflowed

    async def _read(self, after: int) -> AsyncGenerator[Stored]:
        """What the stream has and was not passed on before."""
        size = 0
        async for stored in self._bus.stream.replay(self._subject, after=after):
            if not self._passed_on(stored):
                yield stored
            self._verified = stored.seq
            size += len(stored.data)
            if size > TURN_BYTES:
                size = 0
                await asyncio.sleep(0)
        self._cursor = self._verified or 0
        if self._passed is not None:
            self._passed.keep_after(self._cursor)

    async def _unread(self) -> bool:
        """Whether pending events follow what the stream has and was not read. Those that it does not have are dropped.

        Either a replica that lags was read from, or somebody forged them: the leader knows.
        """
        early = self._pending.early(self._cursor) if self._pending is not None else []
        if not early or self._pending is None:
            return False
        newest = await self._bus.stream.last(self._subject)
        end = newest.seq if newest is not None else 0
        forged = [stored for stored in early if stored.seq > end]
        for stored in forged:
            self._drop(stored)
        self._pending.discard(forged)
        return len(forged) < len(early)

    async def _left_out(self, last_seq: int) -> bool:
        """Whether a replica that lags was read from, and what it does not have is not pending either."""
        left_out = await self._bus.stream.left_out(self._subject, after=self._cursor, until=last_seq)
        return left_out is not None and (self._pending is None or not self._pending.has(left_out.seq))

    def _keep(self, stored: Stored) -> None:
        if self._pending is None:
            self._pending = PendingEvents()
        self._pending.add(stored)

    def _drop(self, stored: Stored) -> None:
        what = "dropped a live message that is not in the stream; nobody but NATS should be allowed to publish there"
        self._bus.drop(what, subject=stored.subject, seq=stored.seq)

    def _passed_on(self, stored: Stored) -> bool:
        return self._passed is not None and self._passed.has(stored)

    def _advance(self, stored: Stored) -> bool:
        self._cursor = stored.seq
        if self._passed_on(stored):
            return False
        passed = self._passed
        if passed is None:
            passed = self._passed = PassedOn()
        passed.add(stored)
        if len(passed) % EVENTS_BETWEEN_TURNS == 0:
            self._settle(passed)
        return True

    def _settle(self, passed: PassedOn) -> None:
        """Forget what was passed on long ago, as far as the stream itself says that it reaches."""
        if len(passed) < REMEMBERED // 2:
            return
        oldest = passed.oldest(REMEMBERED // 2)
        if oldest > self._end.last_seq:
            self._end.look()
            if len(passed) >= MOST_REMEMBERED:
                self.behind = True
        elif len(passed) >= REMEMBERED:
            self._verified = max(self._verified or 0, oldest)
            passed.forget(REMEMBERED // 2)
