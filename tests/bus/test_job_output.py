"""What a running job writes: NATS takes it from the running attempt alone, each piece once and in order."""

import json

import pytest

from bus import AppendRefused, Bus, Settings, job_log, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from bus.job_output import append_piece, is_stored

REQUEST = JobRequest(task_type="write", job_type="default", content="hi")


async def started(bus: Bus) -> JobState:
    queued = await job_log.create(bus.stream, "output", REQUEST, job_id=new_job_id(), ref="r")
    return await job_log.start(bus.stream, queued)


async def pieces(bus: Bus, job: JobState) -> list[tuple[int, int, str]]:
    """Attempt, index and text of each, as stored."""
    replay = bus.stream.replay(subjects.output("output", job.job_id), after=0)
    frames = [json.loads(stored.data) async for stored in replay]
    return [(frame["attempt"], frame["index"], frame["payload"]) for frame in frames]


async def test_the_pieces_of_the_running_attempt_are_stored_beside_its_steps(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await started(bus)
        for index, text in enumerate(("Once ", "upon")):
            await append_piece(bus.stream, job, text, index=index, message_id=f"{job.job_id}.{index}")
        assert await pieces(bus, job) == [(1, 0, "Once "), (1, 1, "upon")]
        stored = await bus.stream.last(subjects.output("output", job.job_id))
        assert stored is not None
        assert json.loads(stored.data) == {
            "action": "job_output",
            "payload": "upon",
            "job_id": job.job_id,
            "ref": "r",
            "task_type": "write",
            "attempt": 1,
            "index": 1,
        }
        await job_log.finish(bus.stream, job, "Once upon")  # which follows the last step, not the last piece


async def test_nothing_is_taken_of_an_attempt_that_is_over(settings: Settings) -> None:
    async with Bus(settings) as bus:
        first = await started(bus)
        second = await job_log.start(bus.stream, first)
        with pytest.raises(AppendRefused):
            await append_piece(bus.stream, first, "late", index=0, message_id=new_job_id())
        await append_piece(bus.stream, second, "in time", index=0, message_id=new_job_id())
        await job_log.cancel(bus.stream, "output", second.job_id)
        with pytest.raises(AppendRefused):
            await append_piece(bus.stream, second, "late", index=1, message_id=new_job_id())
        assert await pieces(bus, second) == [(2, 0, "in time")]


async def test_a_piece_that_is_sent_again_is_stored_once(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await started(bus)
        message_id = new_job_id()
        assert not await is_stored(bus.stream, job, message_id)
        seqs = {await append_piece(bus.stream, job, "x", index=0, message_id=message_id) for _ in range(3)}
        assert len(seqs) == 1
        assert await is_stored(bus.stream, job, message_id)
        assert len(await pieces(bus, job)) == 1


async def test_what_another_program_wrote_on_the_jobs_subject_stops_no_output(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await started(bus)
        await bus.stream.append(subjects.job("output", job.job_id), b"garbage")
        await append_piece(bus.stream, job, "x", index=0, message_id=new_job_id())
        assert await pieces(bus, job) == [(1, 0, "x")]
