"""What a group's members missed is read once for all of them, and is what the stream holds."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus import Bus, Settings, Stored, StreamState, SystemNotification, subjects, times
from bus.messages import Message
from quart_app.delivery.batch import Batch
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.group_history import LARGEST, GroupHistory
from testbed.system import System
from tests.quart_app.failing_event import FailingEvent
from tests.raw_jetstream import connected

EVENTS: dict[str, type[Message]] = {"system_notification": SystemNotification, "failing": FailingEvent}


class Members:
    """Those of one group, who missed something."""

    def __init__(self, bus: Bus, monkeypatch: pytest.MonkeyPatch, **bounds: int) -> None:
        self.bus = bus
        self.group = f"g{secrets.token_hex(4)}"
        self.history = GroupHistory(bus, EventParser(bus, EVENTS), **bounds)
        self.reads: list[int] = []
        """The cursors after which the stream was read."""
        replay = bus.stream.replay_until

        def counted(subject: str, *, after: int, **options: Any) -> AsyncGenerator[Stored, None]:
            self.reads.append(after)
            return replay(subject, after=after, **options)

        monkeypatch.setattr(bus.stream, "replay_until", counted)

    async def store(self, *payloads: str, **fields: Any) -> list[int]:
        """Store events. Returns their sequences."""
        events = (SystemNotification(payload=payload, **fields) for payload in payloads)
        return [(await self.bus.broadcast_event(event, [self.group]))[0] for event in events]

    async def batch(self, after: int, state: StreamState | None = None) -> Batch | None:
        return await self.history.missed(self.group, after=after, state=state or await self.bus.stream.state())

    async def missed(self, after: int, state: StreamState | None = None) -> list[int] | None:
        """The sequences of what somebody with this cursor missed."""
        batch = await self.batch(after, state)
        return None if batch is None else [one.seq for one in batch.events]


@pytest.fixture
async def members(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Members]:
    async with Bus(settings) as bus:
        yield Members(bus, monkeypatch)


async def test_all_who_missed_the_same_get_the_same_batch_and_it_is_read_once(members: Members) -> None:
    before, *seqs = await members.store(*map(str, range(5)))
    state = await members.bus.stream.state()
    first, *others = await asyncio.gather(*(members.batch(before, state) for _ in range(20)))
    assert first is not None
    assert [one.seq for one in first.events] == seqs
    assert all(other is first for other in others)
    assert members.reads == [before]


async def test_everybody_gets_what_came_after_his_own_cursor(members: Members) -> None:
    seqs = await members.store(*map(str, range(6)))
    for after in (seqs[3], seqs[0], seqs[4], seqs[0] - 1, seqs[5]):
        assert await members.missed(after) == [seq for seq in seqs if seq > after]
    assert members.reads == [seqs[3], seqs[0], seqs[0] - 1]  # only what nobody had asked for


async def test_what_is_stored_later_is_read_from_there_on(members: Members) -> None:
    before, *seqs = await members.store("one", "two")
    early = await members.bus.stream.state()
    assert await members.missed(before, early) == seqs
    later = await members.store("three")
    assert await members.missed(before) == seqs + later
    assert members.reads == [before, seqs[-1]]
    # Somebody whose live events begin earlier gets nothing that will come to him live.
    assert await members.missed(before, early) == seqs


async def test_a_cursor_past_the_end_misses_nothing(members: Members) -> None:
    [seq] = await members.store("one")
    assert await members.missed(seq + 1000) == []
    assert await members.missed(seq - 1) == [seq]


async def test_what_has_expired_is_left_out_for_whoever_comes_then(members: Members) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    [expiring] = await members.store("soon over", expires_at=times.written(soon))
    [staying] = await members.store("stays")
    first = await members.missed(expiring - 1)
    assert first == ([expiring, staying] if datetime.now(UTC) < soon else [staying])
    while datetime.now(UTC) <= soon:
        await asyncio.sleep(0.01)
    assert await members.missed(expiring - 1) == [staying]


@pytest.mark.parametrize("payload", ["validated", "expired", "expired later", "encoded"])
async def test_an_event_that_its_own_class_fails_at_is_left_out_and_the_others_are_there(
    members: Members, payload: str
) -> None:
    [before] = await members.store("before")
    failing = json.dumps({"action": "failing", "payload": payload}).encode()
    await members.bus.stream.append(subjects.group(members.group), failing)
    after = await members.store("after")
    for _ in range(2):
        assert await members.missed(before) == after


async def test_too_much_is_left_to_everybody_and_not_read_for_each(members: Members) -> None:
    before, *large = await members.store("first", *["x" * (LARGEST // 3)] * 4)
    assert await members.missed(before) is None
    reads = len(members.reads)
    assert await members.missed(before) is None
    assert len(members.reads) == reads
    assert await members.missed(large[1]) == large[2:]
    [last] = await members.store("y" * (LARGEST // 2))
    assert await members.missed(large[1]) is None  # there is room for the newest ones
    assert await members.missed(large[3]) == [last]


async def test_groups_share_the_room(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bus(settings) as bus:
        members = Members(bus, monkeypatch, size=LARGEST)
        seqs = await members.store("x" * (LARGEST // 2))
        assert await members.missed(seqs[0] - 1) == seqs
        one, members.group = members.group, f"{members.group}-2"
        more = await members.store("x" * (LARGEST // 2))
        assert await members.missed(more[0] - 1) == more
        assert len(members.reads) == 2
        members.group = one
        assert await members.missed(seqs[0] - 1) == seqs
        assert len(members.reads) == 3


@pytest.mark.parametrize("how", ["purged", "deleted", "made anew"])
async def test_what_is_gone_from_the_stream_is_not_shown(
    fresh: System, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus, connected(fresh.nats.url) as operator:
        members = Members(bus, monkeypatch)
        seqs = await members.store("one", "two", "three")
        assert await members.missed(0) == seqs
        if how == "purged":
            await operator.ask(f"STREAM.PURGE.{subjects.STREAM}", {"seq": seqs[1]})
            assert await members.missed(0) == seqs[1:]
        elif how == "deleted":
            await operator.ask(f"STREAM.MSG.DELETE.{subjects.STREAM}", {"seq": seqs[1]})
            assert await members.missed(0) == [seqs[0], seqs[2]]
        else:
            await operator.ask(f"STREAM.DELETE.{subjects.STREAM}")
            await bus.stream.declare(update=True)
            assert await members.missed(0) == []
