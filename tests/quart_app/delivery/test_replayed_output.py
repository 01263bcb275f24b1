"""Of what jobs wrote, a replay brings what no later event of it replaces; and that once, in order, in little memory."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus import Bus, BusUnavailable, Settings, SystemNotification, subjects
from bus.messages import Event, JobCancelled, JobEvent, JobFailed, JobOutput, JobQueued, JobResult, JobStarted
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.missed import FEW, MOST_LEFT_OUT, Missed
from quart_app.delivery.replay_budget import ReplayBudget
from testbed.servers import Nats
from tests.raw_jetstream import connected

EVENTS = {
    kind.action_name(): kind
    for kind in (JobQueued, JobStarted, JobOutput, JobResult, JobFailed, JobCancelled, SystemNotification)
}
MANY = FEW + 50


class Writer:
    """Stores what jobs of one client do, and reads what that client missed."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.client_id = f"c{secrets.token_hex(4)}"
        self.memory = 10 * 64 * 1024
        self.seqs: list[int] = []

    async def _store(self, subject: str, event: Event) -> int:
        self.seqs.append(await self.bus.stream.append(subject, event.encode().encode()))
        return self.seqs[-1]

    async def step(self, job_id: str, event: JobEvent) -> int:
        return await self._store(subjects.job(self.client_id, job_id), event)

    async def begin(self, job_id: str, attempt: int = 1) -> int:
        if attempt == 1:
            await self.step(job_id, JobQueued(payload="queued"))
        return await self.step(job_id, JobStarted(payload="started", attempt=attempt))

    async def write(self, job_id: str, *texts: str, attempt: int = 1) -> list[int]:
        """One piece for each text."""
        return [
            await self._store(
                subjects.output(self.client_id, job_id), JobOutput(payload=text, attempt=attempt, index=index)
            )
            for index, text in enumerate(texts)
        ]

    async def end(self, job_id: str) -> int:
        return await self.step(job_id, JobResult(payload="whole"))

    async def note(self) -> int:
        return await self._store(subjects.client_event(self.client_id), SystemNotification(payload="hi"))

    def missed(self, **limits: int) -> Missed:
        return Missed(
            self.bus,
            EventParser(self.bus, EVENTS),
            ReplayBudget(self.memory),
            client_id=self.client_id,
            shown=EVENTS,
            settings=self.bus.settings.model_copy(update=limits),
        )

    async def replay(self, after: int = 0, until: int | None = None) -> list[int]:
        """The sequences of what is replayed, of which there must be as many as are said."""
        with self.missed() as missed:
            await missed.count({"client": after}, until or self.seqs[-1])
            assert not missed.cut
            seqs = [one.seq async for piece in missed.pieces() for one in piece.events]
        assert len(seqs) == missed.shown
        return seqs


@pytest.fixture
async def writer(settings: Settings) -> AsyncIterator[Writer]:
    async with Bus(settings) as bus:
        yield Writer(bus)


@pytest.fixture(params=[3, MANY], ids=["few", "many"])
def texts(request: pytest.FixtureRequest) -> list[str]:
    """So many pieces: as few as are read at once with all else, or more."""
    return [f"{number} " for number in range(request.param)]


async def test_a_running_job_shows_what_it_has_written_in_stream_order(writer: Writer, texts: list[str]) -> None:
    await writer.begin("one")
    await writer.write("one", *texts[:2])
    await writer.begin("two")
    await writer.note()
    await writer.write("two", *texts)
    await writer.write("one", *texts)
    assert await writer.replay() == writer.seqs


async def test_also_where_there_is_no_memory_to_keep_a_few_events(writer: Writer, texts: list[str]) -> None:
    writer.memory = 1
    for job_id in ("one", "two", "three"):
        await writer.begin(job_id)
        await writer.note()
        pieces = await writer.write(job_id, *texts)
    await writer.end("three")
    assert await writer.replay() == [seq for seq in writer.seqs if seq not in pieces]


async def test_what_was_seen_does_not_come_again(writer: Writer, texts: list[str]) -> None:
    await writer.begin("one")
    pieces = await writer.write("one", *texts)
    assert await writer.replay(after=pieces[1]) == pieces[2:]
    assert await writer.replay(after=pieces[-1]) == []


async def test_a_result_is_all_that_is_shown_of_what_its_job_wrote(writer: Writer, texts: list[str]) -> None:
    started = await writer.begin("one")
    pieces = await writer.write("one", *texts)
    end = await writer.end("one")
    assert await writer.replay() == [started - 1, started, end]
    assert await writer.replay(after=pieces[1]) == [end]


async def test_other_jobs_keep_their_pieces(writer: Writer, texts: list[str]) -> None:
    await writer.begin("done")
    replaced = []
    await writer.begin("runs")
    for text in texts:  # in turn
        replaced += await writer.write("done", text)
        await writer.write("runs", text)
    await writer.end("done")
    assert await writer.replay() == [seq for seq in writer.seqs if seq not in replaced]
    assert await writer.replay(after=replaced[0]) == [seq for seq in writer.seqs[5:] if seq not in replaced]


@pytest.mark.parametrize("end", [JobFailed(payload="failed"), JobCancelled(payload="cancelled")])
async def test_of_a_job_without_a_result_what_it_wrote_stays_readable(
    writer: Writer, texts: list[str], end: JobEvent
) -> None:
    await writer.begin("one")
    await writer.write("one", *texts)
    await writer.step("one", end)
    assert await writer.replay() == writer.seqs


async def test_a_new_attempt_replaces_what_the_one_before_wrote(writer: Writer, texts: list[str]) -> None:
    await writer.begin("one")
    replaced = await writer.write("one", *texts)
    await writer.begin("one", attempt=2)
    await writer.write("one", "again ", attempt=2)
    assert await writer.replay() == [seq for seq in writer.seqs if seq not in replaced]
    assert await writer.replay(after=replaced[0]) == writer.seqs[-2:]


async def test_what_is_stored_while_it_is_counted_is_left_to_live_events(writer: Writer, texts: list[str]) -> None:
    await writer.begin("one")
    pieces = await writer.write("one", *texts)
    await writer.end("one")
    assert await writer.replay(until=pieces[-1]) == writer.seqs[:-1]


async def test_pieces_that_are_left_out_take_no_room(writer: Writer) -> None:
    for job_id in ("one", "two"):
        await writer.begin(job_id)
        await writer.write(job_id, *map(str, range(15)))
        await writer.end(job_id)
    limit = {"replay_max_events": 6}
    with writer.missed(**limit) as missed:
        await missed.count({"client": 0}, writer.seqs[-1])
        assert (missed.shown, missed.cut) == (6, False)
    await writer.begin("three")
    with writer.missed(**limit) as missed:
        await missed.count({"client": 0}, writer.seqs[-1])
        assert missed.cut


async def test_no_more_is_left_out_than_may_be_read(writer: Writer) -> None:
    await writer.begin("one")
    await writer.write("one", *map(str, range(3 * MOST_LEFT_OUT + 1)))
    await writer.end("one")
    with writer.missed(replay_max_events=3) as missed:
        await missed.count({"client": 0}, writer.seqs[-1])
        assert missed.cut


async def test_pieces_that_are_gone_when_they_are_read_are_missed(tmp_path: Path) -> None:
    own = Nats(tmp_path)
    own.start()
    try:
        async with Bus(Settings.load(nats_url=own.url)) as bus, connected(own.url) as operator:
            writer = Writer(bus)
            await writer.begin("one")
            pieces = await writer.write("one", *map(str, range(MANY)))
            with writer.missed() as missed:
                await missed.count({"client": 0}, writer.seqs[-1])
                await operator.ask(f"STREAM.MSG.DELETE.{subjects.STREAM}", {"seq": pieces[-2]})
                with pytest.raises(BusUnavailable, match="removed"):
                    assert [piece async for piece in missed.pieces()]
    finally:
        own.stop()
