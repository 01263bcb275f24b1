"""Reading events back: bounded in bytes, complete, whatever their publishers wrote into the headers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import nats as nats_py
import pytest

from bus import AppendRefused, Bus, BusUnavailable, Settings, Stored, SystemNotification, job_log, subjects
from bus.byte_budget import ByteBudget
from bus.job_append import append_step
from bus.job_log import JobRequest
from bus.replay import IN_FLIGHT, READ_BYTES, READ_EVENTS
from testbed.servers import Nats


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@pytest.fixture
def group() -> str:
    return f"r{secrets.token_hex(4)}"


async def say(bus: Bus, group: str, *texts: str) -> list[int]:
    return [(await bus.broadcast_event(SystemNotification(payload=text), [group]))[0] for text in texts]


async def test_many_and_large_events_are_read_whole_and_in_order(bus: Bus, group: str) -> None:
    few_large = await say(bus, group, *(["x" * READ_BYTES] * 5))
    many = await say(bus, group, *map(str, range(READ_EVENTS + 10)))
    read = [stored.seq async for stored in bus.stream.replay(subjects.group(group), after=0)]
    assert read == few_large + many


@pytest.mark.parametrize("count", [0, 1, 3, READ_EVENTS + 2, READ_EVENTS + 100])
async def test_so_many_events_are_read_and_no_more(bus: Bus, group: str, count: int) -> None:
    sent = await say(bus, group, *map(str, range(READ_EVENTS + 5)))
    read = [stored.seq async for stored in bus.stream.replay(subjects.group(group), after=0, events=count)]
    assert read == sent[:count]


@pytest.mark.parametrize(
    "headers",
    [{"Status": "204"}, {"Status": "404"}, {"Status": "500", "Nats-Num-Pending": "0"}, {"Nats-Sequence": "5"}],
)
async def test_headers_of_a_publisher_do_not_end_a_replay(bus: Bus, group: str, headers: dict[str, str]) -> None:
    other = await nats_py.connect(bus._settings.nats_url)
    ack = await other.jetstream().publish(subjects.group(group), b"x", headers=headers)
    await other.close()
    after = await say(bus, group, "after")
    assert [stored.seq async for stored in bus.stream.replay(subjects.group(group), after=0)] == [ack.seq, *after]


async def test_many_large_replays_at_once_neither_break_the_connection_nor_keep_others_waiting(
    bus: Bus, group: str
) -> None:
    """Together they ask for eight times what NATS lets a connection have pending."""
    sent = await say(bus, group, *(["x" * 500_000] * 32))

    async def replay() -> list[int]:
        return [stored.seq async for stored in bus.stream.replay(subjects.group(group), after=0)]

    gaps: list[None] = []
    bus.add_gap_callback(lambda: gaps.append(None))
    replays = asyncio.gather(*(replay() for _ in range(32)))
    while not replays.done():
        await say(bus, group + "-other", "served meanwhile")
        assert bus.stream._replays._in_flight.held <= IN_FLIGHT
    assert await replays == [sent] * 32
    assert gaps == []


async def test_many_large_replays_that_are_broken_off_do_not_break_the_connection(bus: Bus, group: str) -> None:
    """NATS sends what was asked for, and would cut off who has too much on its way."""
    await say(bus, group, "x" * 1_000_000)

    async def read() -> list[int]:
        return [stored.seq async for stored in bus.stream.replay(subjects.group(group), after=0)]

    changes: list[bool] = []
    bus.on_change = changes.append
    for _ in range(60):
        readers = [asyncio.create_task(read()) for _ in range(7)]
        for _ in range(3):
            await asyncio.sleep(0)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    assert len(await read()) == 1
    assert changes == []
    async with asyncio.timeout(10):
        while bus.stream._replays._in_flight.held:
            await asyncio.sleep(0.01)


async def test_a_replay_without_nats_is_refused_at_once(nats: Nats, tmp_path_factory: pytest.TempPathFactory) -> None:
    own = Nats(tmp_path_factory.mktemp("own"))
    own.start()
    async with Bus(Settings.load(nats_url=own.url)) as bus:
        own.kill()
        async with asyncio.timeout(10):
            while bus.connected:
                await asyncio.sleep(0.01)
        with pytest.raises(BusUnavailable):
            [stored async for stored in bus.stream.replay("bus.>", after=0)]


async def test_a_budget_is_given_out_in_order_and_comes_back() -> None:
    budget, order = ByteBudget(10), list[str]()

    async def use(name: str, size: int) -> None:
        async with budget.hold(size):
            order.append(name)
            assert budget.held <= budget.size
            await asyncio.sleep(0)

    async with budget.hold(6):
        waiting = [asyncio.create_task(use(name, size)) for name, size in [("large", 8), ("small", 2), ("all", 99)]]
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(*waiting)
    assert (order, budget.held) == (["large", "small", "all"], 0)


async def test_who_gives_up_waiting_for_a_budget_keeps_nothing_of_it() -> None:
    budget = ByteBudget(10)

    async def use(size: int) -> None:
        async with budget.hold(size):
            await asyncio.sleep(0)

    async with budget.hold(5):
        large, small = asyncio.create_task(use(10)), asyncio.create_task(use(5))
        await asyncio.sleep(0)
        large.cancel()
        await small  # it waited behind the large one only
    granted = asyncio.create_task(use(10))
    async with budget.hold(10):
        await asyncio.sleep(0)
    granted.cancel()  # in the very moment in which it was its turn
    await asyncio.gather(large, granted, return_exceptions=True)
    assert budget.held == 0


class Lagging:
    """The replays of a stream of which a replica answers that has only so many of a subject's events.

    Args:
        has: how many, at each reading; the last one counts for those after it.
    """

    def __init__(self, bus: Bus, has: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        self._read = bus.stream._replays.read
        self._has = has
        info = bus.stream._jetstream.info

        async def replicated(**details: object) -> dict[str, Any]:
            answer = await info(**details)
            return answer | {"config": answer["config"] | {"num_replicas": 3}}

        monkeypatch.setattr(bus.stream._leader, "replicated", True)
        monkeypatch.setattr(bus.stream._jetstream, "info", replicated)
        monkeypatch.setattr(bus.stream._replays, "read", self.read)
        monkeypatch.setattr("bus.stored_events.LAG", 0)

    async def read(self, subject: str, *, after: int, events: int | None = None) -> AsyncIterator[list[Stored]]:
        has = self._has.pop(0) if len(self._has) > 1 else self._has[0]
        known = [stored.seq async for batch in self._read(subject, after=0) for stored in batch][:has]
        async for batch in self._read(subject, after=after, events=events):
            if found := [stored for stored in batch if stored.seq in known]:
                yield found


async def test_what_a_replica_lacks_is_read_when_it_has_it(
    bus: Bus, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *seqs = await say(bus, group, *map(str, range(5)))
    other = await say(bus, f"{group}-2", "later")
    Lagging(bus, [0, 2, 3, 9], monkeypatch)
    read = bus.stream.replay_until(subjects.group(group), after=first, until=other[0])
    assert [stored.seq async for stored in read] == seqs


async def test_a_replica_that_goes_on_lagging_is_an_error_and_not_the_end(
    bus: Bus, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seqs = await say(bus, group, *map(str, range(3)))
    Lagging(bus, [2], monkeypatch)
    subject = subjects.group(group)
    assert [stored.seq async for stored in bus.stream.replay_until(subject, after=0, until=seqs[1])] == seqs[:2]
    assert [stored.seq async for stored in bus.stream.replay_until(subject, after=0, until=seqs[2], events=2)] == seqs[
        :2
    ]
    with pytest.raises(BusUnavailable, match="lags behind its leader"):
        assert [stored async for stored in bus.stream.replay_until(subject, after=0, until=seqs[2])]


async def test_a_job_whose_beginning_is_hidden_is_read_with_its_end(
    bus: Bus, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_log.create(bus.stream, group, JobRequest(task_type="t", job_type="t", content="x"), job_id="a")
    await job_log.finish(bus.stream, await job_log.start(bus.stream, job), "done")
    await bus.stream.append(subjects.job(group, "a"), b"by another program")  # so the newest event tells nothing
    Lagging(bus, [2, 4], monkeypatch)
    assert (await job_log.read(bus.stream, group, "a")).ended


async def test_a_step_that_is_stored_is_found_though_a_replica_does_not_have_it(
    bus: Bus, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_log.create(bus.stream, group, JobRequest(task_type="t", job_type="t", content="x"), job_id="a")
    started = await job_log.start(bus.stream, job, message_id="mine")
    Lagging(bus, [1, 2], monkeypatch)
    # The same once more, as whoever never heard of the acknowledgement: past the window in which NATS tells of it.
    subject, frame = subjects.job(group, "a"), started.last.encode()
    append = bus.stream._appends.append

    async def refused(*arguments: Any, **options: Any) -> int:
        monkeypatch.setattr(bus.stream._appends, "append", append)
        raise AppendRefused(subject, job.seq)

    monkeypatch.setattr(bus.stream._appends, "append", refused)
    done = await append_step(bus.stream, subject, frame, after=job.seq, job=job, message_id="mine")
    assert done.seq == started.seq
