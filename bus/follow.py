"""Follow: the events of one or more subjects, each once and in order, over outages of NATS.

A whole script, which prints what everybody is told, with what was stored before it began, until Ctrl+C:

    import asyncio

    from bus import Bus, Settings, subjects


    async def main() -> None:
        async with (
            Bus(Settings.load(), name="announcements") as bus,
            bus.follow(subjects.group("system"), after=0) as events,
        ):
            async for stored in events:
                print(stored.seq, stored.data.decode(), flush=True)


    asyncio.run(main())
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Self

from bus.errors import BusUnavailable
from bus.stored import Stored

if TYPE_CHECKING:
    from bus.client import Bus

LOOK_EVERY = 0.5
"""Seconds after which an outage is noticed at the latest, and between two attempts to read after one."""
MOST_LOOKS = 10
"""How often it is looked for an event that was heard of and is not there."""


class Interruption(Enum):
    """What somebody who waits for events may want to know meanwhile. Whatever it is, no event is missed."""

    AWAY = "away"
    """NATS is away, or refuses something; what is stored meanwhile follows when it is back."""
    BACK = "back"
    """NATS is back, and what was stored meanwhile has been given out."""
    MADE_ANEW = "made anew"
    """The stream is another one than before. It goes on with its first event; what was read of it before that was
    noticed, within seconds, comes again."""


@asynccontextmanager
async def follow(
    bus: Bus, subjects: tuple[str, ...], *, after: int | None, on_interruption: Callable[[Interruption], None] | None
) -> AsyncGenerator[FollowedEvents, None]:
    """Follow subjects until the end of the block; see `Bus.follow`."""
    events = FollowedEvents(bus, subjects, on_interruption)
    bus.add_gap_callback(events._expect_gap)
    try:
        async with AsyncExitStack() as subscriptions:
            for subject in subjects:
                subscriptions.push_async_callback((await bus.subscribe(subject, events._hear)).close)
            await bus.confirm_subscriptions()
            await events._begin(after)
            yield events
    finally:
        bus.remove_gap_callback(events._expect_gap)
        await events._stop_reading()


class FollowedEvents(AsyncIterator[Stored]):
    """The events of one or more subjects as they are stored. `Bus.follow` makes it.

    A live message only says that there is something to read. What is given out is always read from the stream, after
    the last event that was: so nothing is lost and nothing comes twice, whatever happened to the connection meanwhile,
    a forged message shows nothing and hides nothing, and nothing waits in memory.

    Args:
        bus: the bus.
        subjects: `bus.` subjects, wildcards allowed.
        on_interruption: told of each interruption; it must not block and not raise.
    """

    def __init__(
        self, bus: Bus, subjects: tuple[str, ...], on_interruption: Callable[[Interruption], None] | None
    ) -> None:
        self._bus = bus
        self._on_interruption = on_interruption
        self._seen = dict.fromkeys(subjects, 0)
        """By subject, the sequence of the last event that was given out, or after which to begin."""
        self._end = 0
        """How far the stream reached when it was asked last."""
        self._heard = 0
        """The largest sequence that a live message had."""
        self._news = asyncio.Event()
        """Set when there may be something to read."""
        self._looks = 0
        self._epoch = ""
        self._gap = False
        self._away = False
        self._reading: AsyncGenerator[Stored, None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Stored:
        """Wait for the next event. Whoever gives up waiting, at a deadline perhaps, may ask again and misses none.

        Raises:
            BusRefused: NATS has refused this process for `heal_timeout`.
            BusUnavailable: the bus was closed.
        """
        while True:
            try:
                stored = await self._read()
            except BusUnavailable:
                self._give_up_if_hopeless()
                self._tell_away()
                await asyncio.sleep(LOOK_EVERY)
                continue
            if stored is not None:
                return stored
            self._tell_back()
            await self._wait_for_news()

    async def _begin(self, after: int | None) -> None:
        state = await self._bus.look()  # another stream, or leader, than this one is noticed from now on
        self._epoch = state.epoch
        self._end = state.last_seq
        self._seen = dict.fromkeys(self._seen, state.last_seq if after is None else after)

    def _hear(self, stored: Stored) -> None:
        self._heard = max(self._heard, stored.seq)
        self._looks = 0
        self._news.set()

    def _expect_gap(self) -> None:
        self._gap = True
        self._news.set()

    async def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.aclose()

    async def _read(self) -> Stored | None:
        """The next event that the stream has; None when that was all."""
        if self._gap:
            await self._stop_reading()
            await self._see_which_stream()
        if self._reading is None:
            self._news.clear()
            self._reading = self._in_order(await self._common_end())
        try:
            stored = await anext(self._reading, None)
        except BaseException:
            self._reading = None  # a generator that has raised is at its end, after a cancellation too
            raise
        if stored is None:
            self._reading = None
        return stored

    async def _common_end(self) -> int:
        """How far to read. What was heard may be forged, and of several subjects none may be read past the others."""
        if len(self._seen) > 1 and self._heard > self._end:
            self._end = (await self._bus.stream.state()).last_seq
            return self._end
        return max(self._end, self._heard)

    async def _in_order(self, end: int) -> AsyncGenerator[Stored, None]:
        """What the stream has, of several subjects up to this sequence: each is read at a time of its own."""
        readings = {
            subject: self._bus.stream.replay_until(subject, after=seen, until=end)
            for subject, seen in self._seen.items()
        }
        try:
            heads = {subject: await anext(reading, None) for subject, reading in readings.items()}
            while found := [(head.seq, subject) for subject, head in heads.items() if head is not None]:
                seq, subject = min(found)
                stored = heads[subject]
                if stored is None or (seq > end and len(heads) > 1):
                    return
                self._seen[subject] = seq
                yield stored
                heads[subject] = await anext(readings[subject], None)
        finally:
            for reading in readings.values():
                await reading.aclose()

    async def _wait_for_news(self) -> None:
        while not self._news.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._news.wait()
            self._give_up_if_hopeless()
            if not self._bus.connected:
                self._tell_away()
            elif self._heard > max(self._seen.values()) and self._looks < MOST_LOOKS:
                self._looks += 1  # a replica that lags behind answered the last read, or what was heard was forged
                return

    async def _see_which_stream(self) -> None:
        self._gap, self._heard = False, 0
        try:
            state = await self._bus.stream.state()
        except BaseException:
            self._gap = True
            raise
        if state.epoch != self._epoch:
            self._epoch, self._seen = state.epoch, dict.fromkeys(self._seen, 0)
            self._tell(Interruption.MADE_ANEW)
        self._end = state.last_seq
        self._seen = {subject: min(seen, state.last_seq) for subject, seen in self._seen.items()}

    def _give_up_if_hopeless(self) -> None:
        if self._bus.lost is not None:
            raise self._bus.lost
        if self._bus.closed:
            raise BusUnavailable("the bus was closed; follow the subject with another")

    def _tell_away(self) -> None:
        if not self._away:
            self._away = True
            self._tell(Interruption.AWAY)

    def _tell_back(self) -> None:
        if self._away:
            self._away = False
            self._tell(Interruption.BACK)

    def _tell(self, interruption: Interruption) -> None:
        if self._on_interruption is not None:
            self._on_interruption(interruption)
