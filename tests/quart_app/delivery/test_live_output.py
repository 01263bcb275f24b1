"""Pieces of what a job writes reach connections live, among the job's steps, also over what went wrong meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bus import Bus, Settings, subjects
from bus.messages import Event, JobOutput, JobResult, JobStarted
from quart_app.channels.system import SystemChannel
from quart_app.delivery.batch import View
from quart_app.delivery.pipeline import Pipeline
from quart_app.delivery.prepared import PreparedFrames
from quart_app.metrics import Metrics
from testbed.servers import Nats
from tests.quart_app.member import RecordingMember

EVENTS: dict[str, type] = {kind.action_name(): kind for kind in (JobStarted, JobOutput, JobResult)}


@asynccontextmanager
async def attached(settings: Settings) -> AsyncIterator[tuple[Pipeline, RecordingMember]]:
    """A pipeline, and a connection of some client to it."""
    member = RecordingMember(secrets.token_hex(4), v1=True)
    async with Bus(settings) as bus:
        pipeline = Pipeline(bus, EVENTS, Metrics(), replay_memory_bytes=1)
        bus.add_gap_callback(pipeline.on_gap)  # as the app does
        try:
            await pipeline.start([])
            await pipeline.hub.attach(member, fresh=True)
            await bus.confirm_subscriptions()
            yield pipeline, member
        finally:
            await pipeline.stop()


async def write(
    bus: Bus, client_id: str, attempts: int, pieces: int, meanwhile: Callable[[int], None] = lambda index: None
) -> list[int]:
    """The attempts of one job, the last of which has a result."""

    async def store(subject: str, event: Event) -> None:
        seqs.append(await bus.stream.append(subject, event.encode().encode()))

    seqs: list[int] = []
    steps, output = subjects.job(client_id, "j"), subjects.output(client_id, "j")
    for attempt in range(1, attempts + 1):
        await store(steps, JobStarted(payload="started", attempt=attempt))
        for index in range(pieces):
            await store(output, JobOutput(payload=str(index), attempt=attempt, index=index))
            meanwhile(index)
    await store(steps, JobResult(payload="whole"))
    return seqs


async def arrived(member: RecordingMember, last: int) -> list[int]:
    """The sequences of everything that came, as soon as this one is there."""
    async with asyncio.timeout(30):
        while not (member.batches and member.batches[-1].last >= last):
            await asyncio.sleep(0.005)
    return [seq for batch in member.batches for seq, _, _ in batch.events]


async def test_they_come_in_order_each_once(settings: Settings) -> None:
    async with attached(settings) as (pipeline, member):
        seqs = await write(pipeline.bus, member.client_id, attempts=2, pieces=100)
        assert await arrived(member, seqs[-1]) == seqs


async def test_also_when_messages_may_have_been_dropped_on_the_way(settings: Settings) -> None:
    async with attached(settings) as (pipeline, member):
        seqs = await write(
            pipeline.bus,
            member.client_id,
            attempts=2,
            pieces=60,
            meanwhile=lambda index: pipeline.hub.on_gap() if index % 20 == 7 else None,
        )
        assert await arrived(member, seqs[-1]) == seqs


async def test_also_when_nats_is_stopped_in_the_middle(tmp_path: Path) -> None:
    own = Nats(tmp_path)
    own.start()
    settings = Settings.load(nats_url=own.url)
    try:
        async with attached(settings) as (_, member):
            async with Bus(settings) as worker:
                seqs = await write(worker, member.client_id, attempts=1, pieces=50)
            await asyncio.to_thread(own.kill)
            await asyncio.to_thread(own.start)
            async with Bus(settings) as worker:
                seqs += await write(worker, member.client_id, attempts=1, pieces=50)
            assert await arrived(member, seqs[-1]) == seqs
    finally:
        own.kill()


async def test_plain_connections_are_shown_none_of_them(settings: Settings) -> None:
    async with attached(settings) as (pipeline, member):
        seqs = await write(pipeline.bus, member.client_id, attempts=1, pieces=5)
        await arrived(member, seqs[-1])
    shown = {
        v1: [
            text
            for batch in member.batches
            for frames in batch.shown(View(SystemChannel, v1=v1))
            if isinstance(frames, PreparedFrames)
            for text in frames.texts
        ]
        for v1 in (True, False)
    }
    assert sum("job_output" in text for text in shown[True]) == 5
    assert ["job_result" in text for text in shown[False]] == [True]
