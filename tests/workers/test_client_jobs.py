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
from workers.errors import TooManyJobs

REQUEST = JobRequest(task_type="t", job_type="t", content="x")


@dataclass
class Known:
    """The client jobs of a process, and somebody who answers it."""

    bus: Bus
    jobs: ClientJobs
    open: dict[str, int] = field(default_factory=dict)
    seq: int = 0
    asked: int = 0

    def answer(self, request: bytes) -> bytes:
        self.asked += 1
        return json.dumps({"seq": self.seq, "open": self.open}).encode()

    async def submit(self, client_id: str = "ann", queue: str = "jobs") -> tuple[str, bool]:
        """The job's id, and whether it waits."""
        job_id = secrets.token_hex(4)
        async with self.jobs.accept(client_id, queue) as acceptance:
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
    settings = Settings.load(nats_url=own_nats.url, client_window=3, client_open_jobs=5)
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
