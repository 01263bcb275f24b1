"""What a client missed is counted, then read in pieces, from the memory that all replays share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus import Bus, BusUnavailable, Settings, SystemNotification, subjects, times
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.missed import COUNTING_BYTES, PIECE_BYTES, Missed
from quart_app.delivery.replay_budget import ReplayBudget
from testbed.servers import Nats
from tests.raw_jetstream import connected

EVENTS = {"system_notification": SystemNotification}
LARGE = "x" * (PIECE_BYTES // 3)
"""Two events of such a text fit into a piece, and three do not."""


class Reader:
    """Reads what was missed in two scopes of its own."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.budget = ReplayBudget(10 * PIECE_BYTES)
        self.groups = [f"g{secrets.token_hex(4)}" for _ in range(2)]

    async def store(self, *payloads: str) -> list[int]:
        """Store events, in one scope and the other in turn."""
        return [
            (await self.bus.broadcast_event(SystemNotification(payload=payload), [self.groups[number % 2]]))[0]
            for number, payload in enumerate(payloads)
        ]

    def missed(self, shown: Iterable[str] = EVENTS, **limits: int) -> Missed:
        return Missed(
            self.bus,
            EventParser(self.bus, EVENTS),
            self.budget,
            client_id="nobody",
            shown=list(shown),
            settings=self.bus.settings.model_copy(update=limits),
        )

    def cursors(self, seq: int = 0) -> dict[str, int]:
        return dict.fromkeys(self.groups, seq)


@pytest.fixture
async def reader(settings: Settings) -> AsyncIterator[Reader]:
    async with Bus(settings) as bus:
        yield Reader(bus)


async def test_events_of_all_scopes_come_in_stream_order(reader: Reader) -> None:
    seqs = await reader.store(*map(str, range(7)))
    with reader.missed() as missed:
        await missed.count(reader.cursors(seqs[0]), seqs[-1])
        [piece] = [[one.seq for one in piece.events] async for piece in missed.pieces()]
    assert piece == seqs[1:]
    assert (missed.shown, missed.cut) == (6, False)


async def test_much_comes_in_pieces_of_which_one_is_in_memory_at_a_time(reader: Reader) -> None:
    seqs = await reader.store(*[LARGE] * 7)
    pieces = []
    with reader.missed() as missed:
        await missed.count(reader.cursors(), seqs[-1])
        assert reader.budget.memory.held == 0
        async for piece in missed.pieces():
            assert reader.budget.memory.held > 0
            pieces.append([one.seq for one in piece.events])
    assert pieces == [seqs[0:2], seqs[2:4], seqs[4:6], seqs[6:7]]
    assert reader.budget.memory.held == 0


async def test_a_few_events_stay_in_memory_until_the_block_ends(reader: Reader) -> None:
    seqs = await reader.store("one", "two")
    with reader.missed() as missed:
        await missed.count(reader.cursors(), seqs[-1])
        assert reader.budget.memory.held > 0
    assert reader.budget.memory.held == 0


async def test_a_few_events_stay_in_memory_however_many_wait_for_some(reader: Reader) -> None:
    reader.budget = ReplayBudget(COUNTING_BYTES)
    seqs = await reader.store("one", "two")

    async def count_and_read(*, removed: bool = False) -> list[int]:
        with reader.missed() as missed:
            await missed.count(reader.cursors(), seqs[-1])
            await asyncio.sleep(0)
            if removed:
                await reader.bus.stream.cut(seqs[-1])
            return [one.seq async for piece in missed.pieces() for one in piece.events]

    first, *others = await asyncio.gather(count_and_read(removed=True), count_and_read(), count_and_read())
    assert first == seqs
    assert others == [seqs[-1:]] * 2
    assert reader.budget.memory.held == 0


async def test_what_the_channel_does_not_show_is_not_counted(reader: Reader) -> None:
    seqs = await reader.store("one", "two")
    with reader.missed(shown=()) as missed:
        await missed.count(reader.cursors(), seqs[-1])
        assert [piece.events async for piece in missed.pieces()] == [[]]
    assert missed.shown == 0


async def test_what_expires_after_it_was_counted_is_sent_all_the_same(reader: Reader) -> None:
    """The welcome has said how much it is. What had expired before is neither counted nor sent."""
    old = times.written(datetime.now(UTC))
    with reader.missed() as missed:
        soon = datetime.now(UTC) + timedelta(milliseconds=50)
        for expires_at in (old, times.written(soon)):
            for _ in range(4):
                event = SystemNotification(payload=LARGE, expires_at=expires_at)
                seqs = await reader.bus.broadcast_event(event, reader.groups[:1])
        await missed.count(reader.cursors(), seqs[0])
        assert missed.shown == 4
        while datetime.now(UTC) < soon:
            await asyncio.sleep(0.01)
        sent = [one async for piece in missed.pieces() for one in piece.events]
    assert [one.seq for one in sent] == list(range(seqs[0] - 3, seqs[0] + 1))


@pytest.mark.parametrize("limits", [{"replay_max_events": 3}, {"replay_max_bytes": 3 * 50}])
async def test_more_than_may_be_replayed_is_cut(reader: Reader, limits: dict[str, int]) -> None:
    seqs = await reader.store(*map(str, range(8)))
    with reader.missed(**limits) as missed:
        await missed.count(reader.cursors(), seqs[-1])
        assert missed.cut


async def test_events_that_are_gone_when_they_are_read_are_missed(tmp_path: Path) -> None:
    own = Nats(tmp_path)
    own.start()
    try:
        async with Bus(Settings.load(nats_url=own.url)) as bus, connected(own.url) as operator:
            reader = Reader(bus)
            seqs = await reader.store(*[LARGE] * 7)
            with reader.missed() as missed:
                await missed.count(reader.cursors(), seqs[-1])
                await operator.ask(f"STREAM.PURGE.{subjects.STREAM}")
                with pytest.raises(BusUnavailable, match="removed"):
                    assert [piece async for piece in missed.pieces()]
    finally:
        own.stop()
