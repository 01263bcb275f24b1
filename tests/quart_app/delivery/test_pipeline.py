"""The pipeline: an event that was stored reaches the members it is for, once, also over what went wrong meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bus import Bus, BusUnavailable, Settings, SystemNotification, subjects
from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.pipeline import Pipeline
from quart_app.metrics import Metrics
from tests.quart_app.member import RecordingMember

EVENTS = {"system_notification": SystemNotification}


@pytest.fixture
def group() -> str:
    """A group that nobody else tells anything."""
    return f"g{secrets.token_hex(4)}"


@asynccontextmanager
async def started(settings: Settings, *groups: str) -> AsyncIterator[Pipeline]:
    async with Bus(settings) as bus:
        pipeline = Pipeline(bus, EVENTS, Metrics(), replay_memory_bytes=1)
        try:
            await pipeline.start(groups)
            yield pipeline
        finally:
            await pipeline.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def told(client_id: str) -> tuple[str, bytes]:
    """An event for a client, and where it is stored."""
    return subjects.client_event(client_id), SystemNotification(payload=f"for {client_id}").encode().encode()


async def test_an_event_of_a_group_reaches_all_that_are_in_it(settings: Settings, group: str) -> None:
    inside, also, outside = RecordingMember("a", (group,)), RecordingMember("b", (group,)), RecordingMember("c")
    async with started(settings, group) as pipeline:
        for member in (inside, also, outside):
            await pipeline.hub.attach(member, fresh=True)
        (seq,) = await pipeline.bus.broadcast_event(SystemNotification(payload="hi"), [group])
        await until(lambda: inside.batches and also.batches)
    assert [member.seqs for member in (inside, also, outside)] == [[(seq, seq)], [(seq, seq)], []]


async def test_an_event_of_a_client_reaches_all_its_connections_and_nobody_elses(settings: Settings) -> None:
    client_id = secrets.token_hex(4)
    one, two, another = RecordingMember(client_id), RecordingMember(client_id), RecordingMember("another")
    async with started(settings) as pipeline:
        for member in (one, two, another):
            await pipeline.hub.attach(member, fresh=True)
        await pipeline.bus.confirm_subscriptions()
        seq = await pipeline.bus.stream.append(*told(client_id))
        await until(lambda: one.batches and two.batches)
    assert [member.seqs for member in (one, two, another)] == [[(seq, seq)], [(seq, seq)], []]


async def test_who_is_detached_gets_nothing_more_and_the_others_go_on(settings: Settings, group: str) -> None:
    client_id = secrets.token_hex(4)
    gone, here = RecordingMember(client_id, (group,)), RecordingMember(client_id, (group,))
    async with started(settings, group) as pipeline:
        for member in (gone, here):
            await pipeline.hub.attach(member, fresh=True)
        await pipeline.hub.detach(gone)
        assert pipeline.hub.follows(here)
        await pipeline.bus.broadcast_event(SystemNotification(payload="hi"), [group])
        await until(lambda: here.batches)
        await pipeline.hub.detach(here)
        assert not pipeline.hub.follows(here)
    assert gone.batches == []


async def test_a_member_whose_attaching_failed_can_be_detached(settings: Settings, group: str) -> None:
    member = RecordingMember("ann", (group,))
    async with started(settings, group) as pipeline:
        await pipeline.bus.close()
        with pytest.raises(BusUnavailable):
            await pipeline.hub.attach(member, fresh=True)
        await pipeline.hub.detach(member)
        assert list(pipeline.hub) == []


async def test_after_a_gap_nothing_is_missing_and_nothing_comes_twice(settings: Settings, group: str) -> None:
    member = RecordingMember("ann", (group,))
    async with started(settings, group) as pipeline:
        await pipeline.hub.attach(member, fresh=True)
        seqs = []
        for number in range(30):
            if number % 10 == 5:
                pipeline.hub.on_gap()
            seqs += await pipeline.bus.broadcast_event(SystemNotification(payload=str(number)), [group])
        await until(lambda: member.batches and member.batches[-1].last == seqs[-1])
    assert sum(map(len, member.batches)) == len(seqs)


async def test_all_connections_can_be_asked_to_close(settings: Settings) -> None:
    members = [RecordingMember(client_id) for client_id in ("ann", "ann", "bob")]
    async with started(settings) as pipeline:
        for member in members:
            await pipeline.hub.attach(member, fresh=True)
        assert set(pipeline.hub) == set(members)
        pipeline.hub.close_all(SERVICE_RESTART)
    assert [member.closed for member in members] == [[SERVICE_RESTART]] * 3


async def test_nothing_runs_any_more_when_it_has_stopped(settings: Settings, group: str) -> None:
    async with Bus(settings) as bus:
        before = asyncio.all_tasks()
        pipeline = Pipeline(bus, EVENTS, Metrics(), replay_memory_bytes=1)
        await pipeline.start([group])
        pipeline.hub.on_gap()
        pipeline.end.look()
        await pipeline.stop()
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert left.isdisjoint({"refill", "ask for the stream's state"})
