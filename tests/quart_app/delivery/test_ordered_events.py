"""Ordered events: each once and in order, whatever comes live, too early, twice or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bus import BusUnavailable, Stored, StreamState
from quart_app.delivery import ordered_events, pending_events
from quart_app.delivery.ordered_events import OrderedEvents
from quart_app.delivery.stream_end import MARGIN, StreamEnd

SUBJECT = "bus.group.system"


class Stream:
    """A bus whose stream has what the test has put there, all of it on one subject."""

    def __init__(self) -> None:
        self.stream = self
        self.events: list[Stored] = []
        self.readable: int | None = None
        """Up to here the replica that is read has come; None for everything."""
        self.breaks_at: int | None = None
        """Where a read fails."""
        self.dropped: list[int] = []
        self.reads = 0

    def store(self, *seqs: int) -> list[Stored]:
        """Store events; the live messages that tell of them."""
        live = []
        for seq in seqs:
            previous = self.events[-1].seq if self.events else 0
            live.append(Stored(seq, SUBJECT, b"event %d" % seq, previous=previous))
            self.events.append(live[-1])
        return live

    async def replay(self, subject: str, *, after: int) -> AsyncIterator[Stored]:
        self.reads += 1
        for stored in list(self.events):
            if stored.seq > after and (self.readable is None or stored.seq <= self.readable):
                await asyncio.sleep(0)
                if stored.seq == self.breaks_at:
                    raise BusUnavailable("away")
                yield stored

    async def left_out(self, subject: str, *, after: int, until: int) -> Stored | None:
        return next((stored for stored in self.events if after < stored.seq <= until), None)

    async def last(self, subject: str) -> Stored | None:
        return self.events[-1] if self.events else None

    async def state(self) -> StreamState:
        return StreamState("epoch", first_seq=1, last_seq=self.last_seq)

    @property
    def last_seq(self) -> int:
        return self.events[-1].seq if self.events else 0

    def drop(self, why: str, *, subject: str, seq: int) -> None:
        self.dropped.append(seq)


class Heard:
    """What was passed on."""

    def __init__(self, begin: int | None = 0) -> None:
        self.bus = Stream()
        self.seqs: list[int] = []
        self.order = OrderedEvents(self.bus, StreamEnd(self.bus), SUBJECT)  # type: ignore[arg-type]
        self.order.begin(begin)

    def hear(self, *live: Stored) -> None:
        self.seqs += [stored.seq for stored in live if self.order.is_next(stored)]

    async def refill(self) -> None:
        async for stored in self.order.refill(self.bus.last_seq):
            self.seqs.append(stored.seq)


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def test_live_events_in_order_are_passed_on_at_once(heard: Heard) -> None:
    heard.hear(*heard.bus.store(3, 4, 9))
    assert heard.seqs == [3, 4, 9]
    assert not heard.order.behind


async def test_an_event_that_is_heard_twice_is_passed_on_once(heard: Heard) -> None:
    (event,) = heard.bus.store(3)
    heard.hear(event, event)
    assert heard.seqs == [3]
    assert not heard.order.behind


async def test_an_event_whose_predecessor_never_came_waits_for_it(heard: Heard) -> None:
    first, _lost, third = heard.bus.store(3, 4, 9)
    heard.hear(first, third)
    assert (heard.seqs, heard.order.behind) == ([3], True)
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4, 9], False)


async def test_live_events_wait_while_the_stream_is_read(heard: Heard) -> None:
    heard.hear(*heard.bus.store(3))
    heard.order.behind = True
    heard.bus.store(4)
    reading = heard.order.refill(4)
    heard.seqs.append((await anext(reading)).seq)
    heard.hear(*heard.bus.store(5))
    assert heard.seqs == [3, 4]
    heard.seqs += [stored.seq async for stored in reading]
    assert (heard.seqs, heard.order.behind) == ([3, 4, 5], False)
    heard.hear(*heard.bus.store(6))
    assert heard.seqs == [3, 4, 5, 6]


async def test_one_that_never_had_a_cursor_begins_where_the_stream_ends() -> None:
    heard = Heard(begin=None)
    assert (heard.order.begun, heard.order.behind) == (False, True)
    heard.bus.store(3, 4)
    await heard.refill()
    assert (heard.order.begun, heard.order.behind) == (True, False)
    heard.hear(*heard.bus.store(5))
    assert heard.seqs == [5]


async def test_what_the_stream_cannot_have_reached_is_dropped_in_the_end(heard: Heard) -> None:
    heard.hear(Stored(MARGIN + 1, SUBJECT, b"forged"))
    assert (heard.seqs, heard.order.behind) == ([], True)
    await heard.refill()
    assert (heard.bus.dropped, heard.order.behind) == ([MARGIN + 1], False)


async def test_an_event_in_the_place_of_a_forged_one_is_passed_on_too(heard: Heard) -> None:
    heard.hear(Stored(3, SUBJECT, b"forged"))
    heard.hear(*heard.bus.store(3))
    await heard.refill()
    assert heard.seqs == [3, 3]


async def test_a_replica_that_lags_is_read_until_it_has_what_its_leader_has(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_events, "LAG", 0)
    heard.bus.readable = 0
    lost, late, later = heard.bus.store(3, 4, 5)
    heard.hear(late, later)
    with pytest.raises(BusUnavailable, match="lags behind its leader"):
        await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([], True)
    heard.bus.readable = lost.seq
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4, 5], False)


async def test_it_is_though_nothing_came_that_tells_of_what_it_lacks(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_events, "LAG", 0)
    heard.bus.store(3, 4)
    heard.bus.readable, heard.order.behind = 3, True
    with pytest.raises(BusUnavailable, match="lags behind its leader"):
        await heard.refill()
    heard.bus.readable = None
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4], False)


async def test_a_refill_that_broke_off_goes_on_where_it_was(heard: Heard) -> None:
    heard.bus.store(3, 4, 5)
    heard.order.behind = True
    heard.bus.breaks_at = 5
    with pytest.raises(BusUnavailable):
        await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4], True)
    heard.bus.breaks_at = None
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4, 5], False)


async def test_what_is_lost_while_the_stream_is_read_is_read_again(heard: Heard) -> None:
    heard.hear(*heard.bus.store(3))
    heard.order.fall_behind()
    heard.bus.store(4)
    reading = heard.order.refill(4)
    heard.seqs.append((await anext(reading)).seq)
    heard.bus.store(5)  # nobody hears that
    heard.order.fall_behind()
    heard.seqs += [stored.seq async for stored in reading]
    assert (heard.seqs, heard.order.behind) == ([3, 4], True)
    heard.hear(*heard.bus.store(6))
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4, 5, 6], False)


async def test_past_so_many_that_wait_the_stream_is_read_again(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_events, "MOST_EVENTS", 2)
    heard.order.behind = True
    heard.hear(*heard.bus.store(3, 4, 5))
    heard.bus.readable = 0
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4], True)
    heard.bus.readable = None
    await heard.refill()
    assert (heard.seqs, heard.order.behind) == ([3, 4, 5], False)


async def test_another_stream_is_read_from_its_beginning(heard: Heard) -> None:
    heard.hear(*heard.bus.store(30, 40))
    heard.bus.events.clear()
    heard.order.begin_anew()
    heard.bus.store(1, 2)
    await heard.refill()
    assert heard.seqs == [30, 40, 1, 2]


async def test_honest_traffic_reads_the_stream_never(heard: Heard) -> None:
    for seq in range(1, 2000):
        heard.hear(*heard.bus.store(seq))
        await asyncio.sleep(0)  # the stream is asked meanwhile how far it reaches
    assert heard.seqs == list(range(1, 2000))
    assert heard.bus.reads == 0
