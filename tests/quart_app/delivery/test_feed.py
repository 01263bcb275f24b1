"""A feed passes every event on once, in order, whatever else is published where it listens."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import nats as nats_py
import pytest
from nats.aio.client import Client

from bus import Bus, BusRefused, Settings, Stored, SystemNotification, subjects
from quart_app.channel import CLIENT
from quart_app.close_codes import SERVICE_RESTART, CloseCode
from quart_app.delivery.batch import Encoded
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.fan_out import FanOut
from quart_app.delivery.feed import Feed
from quart_app.delivery.ordered_events import MOST_REMEMBERED
from quart_app.delivery.stream_end import MARGIN, StreamEnd
from quart_app.metrics import Metrics
from tests.quart_app.failing_event import FailingEvent
from tests.quart_app.member import RecordingMember
from tests.raw_jetstream import settle

FORGED = b'{"action":"system_notification","payload":"forged"}'
NOW = "2026-01-02T03:04:05.678901Z"


class Parser(EventParser):
    """Keeps what it is asked to parse: what the feed passes on."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, {"system_notification": SystemNotification, "failing": FailingEvent})
        self.passed: list[Stored] = []

    def parse(self, stored: Stored, *, now: datetime | None = None) -> Encoded | None:
        self.passed.append(stored)
        return super().parse(stored, now=now)


class Heard:
    """A feed on a group of its own, refilled when it is behind, and what it passed on."""

    def __init__(self, bus: Bus, intruder: Client, group: str) -> None:
        self.bus = bus
        self.group = group
        self.refills = 0
        self.dropped = 0
        self.end = StreamEnd(bus)
        self.member = RecordingMember()
        self._intruder = intruder
        self._parser = Parser(bus)
        self._behind: asyncio.Queue[Feed] = asyncio.Queue()
        bus.on_drop = self._count_drop
        self.feed = Feed(
            bus,
            self.end,
            group,
            subjects.group(group),
            parser=self._parser,
            fan_out=FanOut(Metrics()),
            behind=self._behind,
        )
        self.feed.members[self.member] = None

    @property
    def passed(self) -> list[Stored]:
        return self._parser.passed

    def _count_drop(self) -> None:
        self.dropped += 1

    async def refill(self) -> None:
        while True:
            feed = await self._behind.get()
            self.refills += 1
            await feed.refill((await self.end.state()).last_seq)

    async def say(self, *texts: str) -> list[int]:
        """Store real events."""
        return [(await self.bus.broadcast_event(SystemNotification(payload=text), [self.group]))[0] for text in texts]

    async def forge(self, seq: int | str, previous: int | str = 0, **headers: str) -> None:
        """Publish what looks like a republished event."""
        told = {
            "Nats-Stream": subjects.STREAM,
            "Nats-Subject": subjects.group(self.group),
            "Nats-Sequence": str(seq),
            "Nats-Last-Sequence": str(previous),
            "Nats-Time-Stamp": NOW,
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        await self._intruder.publish(subjects.live(subjects.group(self.group)), FORGED, headers=told)
        await settle(self._intruder)

    async def real(self, count: int) -> list[str]:
        """What was passed on of the real events, once there are so many."""
        async with asyncio.timeout(10):
            while len(texts := [t for s in self.passed if (t := json.loads(s.data)["payload"]) != "forged"]) < count:
                await asyncio.sleep(0.01)
        return texts


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[Heard]:
    intruder = await nats_py.connect(settings.nats_url)
    async with Bus(settings) as bus:
        heard = Heard(bus, intruder, f"g{secrets.token_hex(4)}")
        await heard.feed.open((await heard.end.state()).last_seq)
        await bus.confirm_subscriptions()
        refiller = asyncio.create_task(heard.refill())
        try:
            yield heard
        finally:
            refiller.cancel()
            await asyncio.gather(refiller, return_exceptions=True)
            await intruder.close()


@pytest.mark.parametrize("payload", ["validated", "encoded"])
async def test_an_event_that_its_own_class_fails_at_stops_no_refill(settings: Settings, payload: str) -> None:
    async with listening(settings) as heard:
        failing = json.dumps({"action": "failing", "payload": payload}).encode()
        await heard.bus.stream.append(subjects.group(heard.group), failing)
        await heard.say("after")
        assert await heard.real(2) == [payload, "after"]
        heard.feed.begin_anew()
        assert await heard.real(4) == [payload, "after"] * 2
        assert heard.dropped == 2


@pytest.mark.parametrize(
    "seq", [2**62, 2**63 - 1, 2**63, 10**30, "9" * 5000, "-1", "", "١٢٣", "１２３", "1.5", "0", "7_0", "+7"]
)
async def test_a_sequence_that_the_stream_cannot_have_is_dropped(settings: Settings, seq: int | str) -> None:
    async with listening(settings) as heard:
        before = await heard.say("before")
        await heard.forge(seq, before[0])
        await heard.say("after")
        assert await heard.real(2) == ["before", "after"]
        assert len(heard.passed) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats_Time_Stamp": "yesterday"},
        {"Nats_Subject": "bus.group.another"},
        {"Nats_Stream": "ANOTHER"},
        {"Nats_Last_Sequence": "x"},
        {"Nats_Last_Sequence": str(2**62)},
    ],
)
async def test_headers_that_the_stream_does_not_write_are_dropped(settings: Settings, headers: dict[str, str]) -> None:
    async with listening(settings) as heard:
        (first,) = await heard.say("before")
        await heard.real(1)
        await heard.forge(first + 1, first, **headers)
        await heard.say("after")
        assert await heard.real(2) == ["before", "after"]
        assert [stored.data for stored in heard.passed if stored.data == FORGED] == []


Forgery = Callable[[Heard, int], AsyncIterator[None]]


async def next_one(heard: Heard, last: int) -> None:
    await heard.forge(last + 1, last)


async def a_little_ahead(heard: Heard, last: int) -> None:
    await heard.forge(last + 50, last)


async def as_far_as_is_believed(heard: Heard, last: int) -> None:
    await heard.forge(last + MARGIN - 1, last)


async def many(heard: Heard, last: int) -> None:
    for number in range(MOST_REMEMBERED + 10):
        await heard.forge(last + 1 + number, last + number)


async def an_event_that_was_never_heard(heard: Heard, last: int) -> None:
    await heard.forge(last + 70, last + 60)


async def a_step_back(heard: Heard, last: int) -> None:
    await heard.forge(last - 1, 0)


@pytest.mark.parametrize(
    "forgery", [next_one, a_little_ahead, as_far_as_is_believed, many, an_event_that_was_never_heard, a_step_back]
)
async def test_a_forged_event_costs_no_real_one(settings: Settings, forgery: Callable[..., object]) -> None:
    async with listening(settings) as heard:
        first = await heard.say("one", "two")
        await heard.real(2)
        await forgery(heard, first[-1])  # type: ignore[misc]
        later = await heard.say("three", "four")
        await forgery(heard, later[0])  # type: ignore[misc]
        await heard.say(*map(str, range(20)))
        assert await heard.real(24) == ["one", "two", "three", "four", *map(str, range(20))]


async def test_a_real_event_is_not_replaced_by_a_forged_one_of_its_sequence(settings: Settings) -> None:
    async with listening(settings) as heard:
        (first,) = await heard.say("one")
        await heard.real(1)
        await heard.forge(first + 1, first)
        async with asyncio.timeout(5):
            while len(heard.passed) < 2:
                await asyncio.sleep(0.01)
        assert await heard.say("two") == [first + 1]
        assert await heard.real(2) == ["one", "two"]


async def test_honest_traffic_is_never_read_again(settings: Settings) -> None:
    async with listening(settings) as heard:
        for _ in range(8):
            await asyncio.gather(*(heard.say(*map(str, range(20))) for _ in range(10)))
        assert len(await heard.real(1600)) == 1600
        assert [stored.seq for stored in heard.passed] == sorted({stored.seq for stored in heard.passed})
        assert heard.refills == 0


async def test_a_stream_that_grew_far_by_others_events_is_still_believed(settings: Settings) -> None:
    async with listening(settings) as heard:
        await heard.say("one")
        heard.end.last_seq -= MARGIN + 100  # as if it was long ago that the stream said where it ends
        await heard.say("two")
        assert await heard.real(2) == ["one", "two"]
        assert heard.dropped == 0


async def test_a_flood_of_forged_events_does_not_keep_real_ones_away(settings: Settings) -> None:
    async with listening(settings) as heard:
        real = asyncio.Event()

        async def flood() -> None:
            while not real.is_set():  # nats-py may swallow a cancellation
                for seq in (2**62, 5, heard.end.last_seq + 3):
                    await heard.forge(seq, max(0, seq - 2))

        flooding = asyncio.create_task(flood())
        await heard.say(*map(str, range(50)))
        assert await heard.real(50) == [str(number) for number in range(50)]
        real.set()
        await flooding


async def test_members_get_what_is_passed_on_in_order(settings: Settings) -> None:
    async with listening(settings) as heard:
        stored = await heard.say("one", "two", "three")
        await heard.real(3)
        await asyncio.sleep(0)  # what was heard last is handed out in the next turn
        ends = [end for batch in heard.member.seqs for end in batch]
        assert ends == sorted(ends)
        assert (ends[0], ends[-1], sum(map(len, heard.member.batches))) == (stored[0], stored[-1], 3)


class SubscriptionsOnly:
    """A bus that takes subscriptions, and is told by the test what becomes of them."""

    def __init__(self) -> None:
        self.refuse: Callable[[BusRefused], None] = lambda error: None

    async def subscribe(
        self, subject: str, handler: Callable[[Stored], None], on_refused: Callable[[BusRefused], None]
    ) -> None:
        self.refuse = on_refused


def made(bus: Any, scope: str) -> tuple[Feed, asyncio.Queue[Feed]]:
    """A feed and where it waits when it is behind."""
    behind: asyncio.Queue[Feed] = asyncio.Queue()
    parser, fan_out = EventParser(bus, {}), FanOut(Metrics())
    return Feed(bus, StreamEnd(bus), scope, "bus.x", parser=parser, fan_out=fan_out, behind=behind), behind


async def test_a_feed_that_is_behind_is_in_the_queue_once() -> None:
    feed, behind = made(SubscriptionsOnly(), "system")
    await feed.open(None)
    feed.fall_behind()
    feed.begin_anew()
    assert behind.qsize() == 1


@pytest.mark.parametrize(("scope", "closed"), [(CLIENT, [SERVICE_RESTART]), ("system", [])])
async def test_a_refused_subscription_closes_a_clients_connections_but_not_a_groups(
    scope: str, closed: list[CloseCode]
) -> None:
    bus, member = SubscriptionsOnly(), RecordingMember()
    feed, _ = made(bus, scope)
    feed.members[member] = None
    await feed.open(0)
    bus.refuse(BusRefused("too many subscriptions"))
    assert member.closed == closed
