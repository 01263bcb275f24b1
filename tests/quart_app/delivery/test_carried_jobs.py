"""Who has seen nothing yet is told of a job that waits for long, though its beginning is cut."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from bus import Bus, Settings, job_log, subjects
from bus.job_log import JobRequest, JobState
from bus.messages import Event, JobCancelled, JobQueued, JobStarted
from quart_app.delivery import missed
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.missed import Missed
from quart_app.delivery.replay_budget import ReplayBudget
from tests.raw_jetstream import connected

EVENTS = {kind.action_name(): kind for kind in (JobQueued, JobStarted, JobCancelled)}
LATER = "2027-01-01T00:00:00.000000Z"


class Client:
    """One client with a job that waits for its time."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.name = f"c{secrets.token_hex(4)}"

    async def submit(self) -> JobState:
        request = JobRequest(task_type="shout", job_type="default", content={"n": 1}, not_before=LATER)
        return await job_log.create(self.bus.stream, self.name, request, job_id=job_log.new_job_id(), waits=True)

    async def cut(self, job: JobState) -> int:
        """Carry the job forward, and cut what stands before that. Returns what is left."""
        seq = await job_log.carry(self.bus.stream, self.name, job.job_id)
        assert seq is not None
        async with connected(self.bus.settings.nats_url) as raw:
            await raw.ask(f"STREAM.PURGE.{subjects.STREAM}", {"filter": subjects.job(self.name, job.job_id), "keep": 1})
        return seq

    async def told(self, after: int = 0) -> list[Event]:
        budget = ReplayBudget(10 * missed.PIECE_BYTES)
        parser = EventParser(self.bus, EVENTS)
        replay = Missed(self.bus, parser, budget, client_id=self.name, shown=list(EVENTS), settings=self.bus.settings)
        with replay:
            await replay.count({"client": after}, until=(await self.bus.stream.state()).last_seq)
            events = [one.event async for piece in replay.pieces() for one in piece.events]
            assert len(events) == replay.shown
            return events


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    async with Bus(settings) as bus:
        yield Client(bus)


@pytest.mark.parametrize("few", [missed.FEW, 1])
async def test_what_is_left_of_it_stands_for_its_beginning(
    client: Client, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "FEW", few)
    monkeypatch.setattr(missed, "PIECE_BYTES", missed.PIECE_BYTES if few > 1 else 1)
    job = await client.submit()
    [queued] = await client.told()
    seq = await client.cut(job)
    [event] = await client.told()
    assert event.model_dump() == queued.model_dump() | {"seq": seq}
    assert isinstance(event, JobQueued)
    assert (event.content, event.task_type, event.runs, event.not_before) == ({"n": 1}, "shout", "default", LATER)
    await job_log.cancel(client.bus.stream, client.name, job.job_id)
    assert [event.action for event in await client.told()] == ["job_queued", "job_cancelled"]


async def test_as_long_as_the_beginning_is_there_it_is_told_once(client: Client) -> None:
    job = await client.submit()
    await job_log.carry(client.bus.stream, client.name, job.job_id)
    assert [event.seq for event in await client.told()] == [job.seq]


async def test_who_has_seen_the_beginning_is_not_told_again(client: Client) -> None:
    job = await client.submit()
    await client.cut(job)
    assert await client.told(after=job.seq) == []


async def test_a_job_that_was_begun_is_no_beginning(client: Client) -> None:
    job = await client.submit()
    await client.cut(await job_log.start(client.bus.stream, job))
    assert await client.told() == []
