"""An accepted job is never forgotten: not for want of room, however others flood the stream, and not by age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from bus import AppendRefused, Bus, Settings, Stored, StreamFull, SystemNotification, job_log, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from bus.job_output import append_piece
from bus.retention import Retention
from testbed.servers import Nats
from tests.raw_jetstream import RawJetStream, raw_jetstream

MIB = 2**20
REQUEST = JobRequest(task_type="shout", job_type="default", content="hi")
LARGE = JobRequest(task_type="shout", job_type="default", content="x" * 10_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def raw(server: Nats) -> AsyncIterator[RawJetStream]:
    async with raw_jetstream(server.url) as raw:
        yield raw


@asynccontextmanager
async def small_stream(server: Nats, raw: RawJetStream, **settings: Any) -> AsyncIterator[Bus]:
    """A bus whose stream has at most 1 MiB; `raw` removes it after the test."""
    loaded = Settings.load(nats_url=server.url, **{"stream_max_bytes": MIB, "append_timeout": 10} | settings)
    async with Bus(loaded) as bus:
        yield bus


@asynccontextmanager
async def kept(bus: Bus) -> AsyncIterator[None]:
    """Somebody keeps the stream meanwhile."""
    task = asyncio.create_task(keep(bus))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def keep(bus: Bus) -> None:
    retention, seen = Retention(), 0
    while True:
        last = (await bus.stream.state()).last_seq
        async for step in job_log.steps(bus.stream, subjects.ALL_JOBS, after=seen):
            retention.see(step)
        seen = last
        await asyncio.sleep(await retention.look(bus, seen) / 10)


async def queued(bus: Bus, request: JobRequest = REQUEST) -> JobState:
    return await job_log.create(bus.stream, "ann", request, job_id=new_job_id(), ref="r")


async def queue_all(bus: Bus, jobs: list[JobState]) -> None:
    while True:
        jobs.append(await queued(bus, LARGE))


async def flood(bus: Bus, events: int) -> None:
    """Store so many events of 1,000 bytes for another client."""
    event = SystemNotification(payload="x" * 1000)
    for _ in range(events // 20):
        await asyncio.gather(*(bus.send_event(event, "bob") for _ in range(20)))


async def test_a_flood_of_others_pushes_no_job_out_whatever_its_state(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw) as bus, kept(bus):
        waiting = await queued(bus)
        running = await job_log.start(bus.stream, await queued(bus), instance="i")
        requeued = await job_log.requeue(bus.stream, await queued(bus))
        ended = await job_log.finish(bus.stream, await job_log.start(bus.stream, await queued(bus)), "HI")
        await flood(bus, 3000)
        assert (await bus.stream.state()).first_seq > ended.seq
        for job in (waiting, running, requeued):
            now = await job_log.read(bus.stream, "ann", job.job_id)
            assert now.is_where(job)
            assert (now.request, now.ref, now.last.payload) == (REQUEST, "r", job.last.payload)
        assert await bus.stream.last(subjects.job("ann", ended.job_id)) is None
        # Whoever knows them from before goes on where they were.
        await job_log.finish(bus.stream, running, "HI")
        for job in (waiting, requeued):
            await job_log.finish(bus.stream, await job_log.start(bus.stream, job), "HI")


async def test_a_job_that_was_seen_after_an_older_one_was_carried_past_it_is_not_forgotten(
    server: Nats, raw: RawJetStream
) -> None:
    async with small_stream(server, raw) as bus:
        retention = Retention()

        async def see(job: JobState) -> None:
            async for step in job_log.steps(bus.stream, subjects.job("ann", job.job_id)):
                retention.see(step)

        old = await queued(bus)
        await see(old)
        await flood(bus, 500)
        young = await queued(bus)
        await flood(bus, 300)
        await retention.look(bus, young.seq - 1)
        await see(young)
        await flood(bus, 300)
        last = (await bus.stream.state()).last_seq
        await retention.look(bus, last)
        carried = (await job_log.read(bus.stream, "ann", old.job_id)).seq
        assert young.seq < (await bus.stream.state()).first_seq < carried
        for job in (old, young):
            assert (await job_log.read(bus.stream, "ann", job.job_id)).is_where(job)


async def test_what_is_carried_forward_lets_no_late_word_through(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw) as bus:
        first = await job_log.start(bus.stream, await queued(bus), instance="dead")
        second = await job_log.start(bus.stream, first, instance="alive")
        carried = await job_log.carry(bus.stream, "ann", second.job_id)
        assert carried is not None
        await bus.stream.cut(carried)
        for late in (job_log.finish(bus.stream, first, "late"), job_log.start(bus.stream, first, instance="late")):
            with pytest.raises(AppendRefused):
                await late
        with pytest.raises(AppendRefused):
            await append_piece(bus.stream, first, "late", index=0, message_id="a")
        piece = await append_piece(bus.stream, second, "in ti", index=0, message_id="b")
        assert piece.after == carried
        now = await job_log.read(bus.stream, "ann", second.job_id)
        assert (now.seq, now.instance) == (carried, "alive")
        await job_log.finish(bus.stream, second, "in time")
        assert await job_log.carry(bus.stream, "ann", second.job_id) is None


async def test_of_an_ended_job_whose_beginning_is_cut_the_end_is_still_told(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw) as bus:
        started = await job_log.start(bus.stream, await queued(bus), instance="i")
        ended = await job_log.finish(bus.stream, started, "HI")
        await bus.stream.cut(ended.seq)
        now = await job_log.read(bus.stream, "ann", ended.job_id)
        assert (now.state, now.last.payload, now.ref, now.attempt) == ("job_result", "HI", "r", 1)
        assert now.request_is_cut
        assert (await job_log.cancel(bus.stream, "ann", ended.job_id)).state == "job_result"


async def test_a_job_that_nats_would_no_longer_take_ends_and_keeps_no_other_one_back(
    server: Nats, raw: RawJetStream
) -> None:
    async with small_stream(server, raw, append_timeout=2) as bus:
        large, small = await queued(bus, LARGE), await queued(bus)
        told: list[Stored] = []
        await bus.subscribe(subjects.job("ann", large.job_id), told.append)
        await raw.edit(max_msg_size=5000)
        async with kept(bus):
            await flood(bus, 2000)
        assert (await bus.stream.state()).first_seq > small.seq
        assert not (await job_log.read(bus.stream, "ann", small.job_id)).ended
        [end] = [job_log.step_of(stored).event for stored in told]
        assert end.state == "job_failed"


async def test_a_job_that_is_carried_twice_is_as_old_as_it_was(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw) as bus:
        job = await queued(bus)
        subject = subjects.job("ann", job.job_id)
        [queued_at] = [step.at async for step in job_log.steps(bus.stream, subject)]
        for _ in range(2):
            await job_log.carry(bus.stream, "ann", job.job_id)
        assert [step.at async for step in job_log.steps(bus.stream, subject)][1:] == [
            queued_at.replace(microsecond=queued_at.microsecond)
        ] * 2


async def test_a_job_whose_first_event_alone_was_cut_can_be_read(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw) as bus:
        job = await queued(bus)
        requeued = await job_log.requeue(bus.stream, job)
        await job_log.carry(bus.stream, "ann", job.job_id)
        await bus.stream.cut(requeued.seq)
        assert (await job_log.read(bus.stream, "ann", job.job_id)).is_where(requeued)


async def test_a_job_outlives_the_age_of_events(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw, stream_max_age=1) as bus, kept(bus):
        job = await job_log.start(bus.stream, await queued(bus), instance="i")
        other = await bus.send_event(SystemNotification(payload="old"), "bob")
        async with asyncio.timeout(30):
            while (await bus.stream.state()).first_seq <= other:
                await asyncio.sleep(0.05)
        assert (await job_log.read(bus.stream, "ann", job.job_id)).is_where(job)


async def test_a_stream_of_open_jobs_takes_no_more_and_has_room_for_their_ends(server: Nats, raw: RawJetStream) -> None:
    with structlog.testing.capture_logs() as logs:
        async with small_stream(server, raw) as bus, kept(bus):
            jobs: list[JobState] = []
            with pytest.raises(StreamFull, match=r"no room for another job.*BUS_STREAM_MAX_BYTES"):
                await queue_all(bus, jobs)
            async with asyncio.timeout(30):
                while not any("nearly all of it by open jobs" in line["event"] for line in logs):
                    await asyncio.sleep(0.05)
            assert (await bus.stream.state()).first_seq == jobs[0].seq
            for job in jobs:
                started = await job_log.start(bus.stream, job)
                await job_log.finish(bus.stream, started, "y" * 2000)
            async with asyncio.timeout(30):
                while (await bus.stream.usage()).share > 0.75:
                    await asyncio.sleep(0.05)
            await queued(bus, LARGE)
    told = [line for line in logs if "open jobs" in line["event"]]
    assert len(told) == 1


async def test_a_full_stream_that_nobody_keeps_says_what_to_do(server: Nats, raw: RawJetStream) -> None:
    async with small_stream(server, raw, append_timeout=0.5) as bus:
        with pytest.raises(StreamFull, match=r"is full.*see whether one runs, or raise BUS_STREAM_MAX_BYTES"):
            await flood(bus, 2000)
