"""What whoever submits knows of a client's open jobs, and when it asks."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bus import Bus, Settings, subjects
from bus.job_log import JobRequest, JobState
from bus.messages import JobQueued
from testbed.servers import Nats
from workers.client_jobs import ClientJobs
from workers.errors import TooManyBytes, TooManyJobs

REQUEST = JobRequest(task_type="t", job_type="t", content="x")


@dataclass
class Known:
    """The client jobs of a process, and somebody who answers it."""

    bus: Bus
    jobs: ClientJobs
    open: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    seq: int = 0
    asked: int = 0

    def answer(self, request: bytes) -> bytes:
        self.asked += 1
        return json.dumps({"seq": self.seq, "open": self.open, "bytes": self.bytes}).encode()

    async def submit(self, client_id: str = "ann", queue: str = "jobs", size: int = 100) -> tuple[str, bool]:
        """The job's id, and whether it waits."""
        job_id = secrets.token_hex(4)
        async with self.jobs.accept(client_id, queue) as acceptance:
            await acceptance.allow(size)
            acceptance.stored = JobState(client_id, job_id, REQUEST, JobQueued(payload=""), 100, None)
        return job_id, acceptance.waits


@pytest.fixture(scope="module")
def own_nats(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server where nobody else answers."""
    server = Nats(tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def known(own_nats: Nats) -> AsyncIterator[Known]:
    settings = Settings.load(
        nats_url=own_nats.url, client_window=3, client_open_jobs=5, stream_max_bytes=2**20, client_stream_share=0.5
    )
    async with Bus(settings) as bus:
        yield Known(bus, ClientJobs(bus, settings))


async def test_while_nobody_answers_what_was_submitted_here_counts(known: Known) -> None:
    assert [(await known.submit())[1] for _ in range(5)] == [False, False, False, True, True]
    with pytest.raises(TooManyJobs):
        await known.submit()
    assert (await known.submit("bob"))[1] is False


async def test_what_the_reconciler_knows_counts_too_and_each_queue_for_itself(known: Known) -> None:
    await known.bus.respond(subjects.OPEN_JOBS, known.answer)
    known.open = {"jobs": 2, "heavy": 1}
    assert [(await known.submit())[1], (await known.submit())[1]] == [False, True]
    with pytest.raises(TooManyJobs):
        await known.submit(queue="heavy")
    known.open, known.seq = {}, 100  # all of it has ended since
    assert (await known.submit("bob", "heavy"))[1] is False


async def test_whoever_hears_of_ends_asks_once(known: Known) -> None:
    await known.bus.respond(subjects.OPEN_JOBS, known.answer)
    for _ in range(10):
        job_id, waits = await known.submit()
        assert not waits
        known.jobs.ended("ann", job_id)
    known.jobs.ended("bob", "never-heard-of")
    assert known.asked == 1


async def test_an_answer_that_makes_no_sense_is_none(known: Known) -> None:
    await known.bus.respond(subjects.OPEN_JOBS, lambda request: b'{"seq":-1}')
    assert (await known.submit())[1] is False


async def test_the_bytes_of_a_client_count_and_those_of_its_only_job_do_not(known: Known) -> None:
    await known.submit(size=2**20)
    with pytest.raises(TooManyBytes, match=r"needs 1 bytes.* have 1,048,576, and together they may have 524,288"):
        await known.submit(size=1)
    await known.submit("bob", size=2**18)
    job_id, _ = await known.submit("bob", size=2**18)
    with pytest.raises(TooManyBytes):
        await known.submit("bob", size=1)
    known.jobs.ended("bob", job_id)
    await known.submit("bob", size=2**18)


async def test_what_the_reconciler_knows_of_bytes_counts_too_and_what_was_refused_does_not(known: Known) -> None:
    await known.bus.respond(subjects.OPEN_JOBS, known.answer)
    known.bytes, known.seq = 2**18, 99
    for _ in range(2):
        with pytest.raises(TooManyBytes):
            await known.submit(size=2**18 + 1)
    await known.submit(size=2**18)
    known.bytes, known.seq = 0, 100
    await known.submit(size=2**19)


async def test_an_end_that_the_reconciler_reads_because_it_is_asked_makes_room_at_once(known: Known) -> None:
    known.open = {"jobs": 5}

    def answer(request: bytes) -> bytes:
        told = known.answer(request)
        known.open = {}
        return told

    await known.bus.respond(subjects.OPEN_JOBS, answer)
    await known.submit()
