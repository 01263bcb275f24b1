"""An answer that is written while a client reads it: whole, in order and once, whoever dies or leaves meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from testbed.planted import SECRET
from testbed.servers import Web, Worker
from testbed.system import System, running
from tests.clients import Client, Frame, client
from tests.own_jobs import install

JOBS = """
import time
from workers.registry import job, JobContext

@job
def tells(content: str, job: JobContext):
    "Write so many words, so many seconds apart."
    words, pause = content.split()
    for number in range(int(words)):
        yield f"{job.attempt}:{number} "
        time.sleep(float(pause))
"""
DEADLINE = 60.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("system")
    with running(
        directory,
        BUS_SECRET=SECRET,
        BUS_OUTPUT_INTERVAL="0.01",
        BUS_RECONCILE_INTERVAL="1",
        BUS_VISIBILITY_TIMEOUT="5",
        PYTHONPATH=install(directory, JOBS),
    ) as system:
        yield system


@pytest.fixture(scope="module")
def worker(system: System) -> Worker:
    return system.worker("--concurrency", "1")


@pytest.fixture(scope="module")
def web(system: System, worker: Worker) -> Web:
    return system.web()


class Reader:
    """A page: what it shows of its jobs, over all of its connections."""

    def __init__(self) -> None:
        self.events: list[Frame] = []
        self.shown = ""
        self._attempt = self._next = self._cursor = 0
        self._resume: str | None = None

    @asynccontextmanager
    async def connect(self, web: Web) -> AsyncIterator[Client]:
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            payload = {"cursors": {"client": self._cursor}} | ({"resume": self._resume} if self._resume else {})
            await connected.send({"action": "connect", "payload": payload})
            welcome = (await connected.receive(DEADLINE))["payload"]
            assert welcome["recovered"]
            self._resume = welcome["resume"]
            yield connected

    async def see(self, connected: Client) -> Frame:
        """The next stored event: never one from before, never a piece out of order or after the end."""
        frame = await connected.receive(DEADLINE)
        while "seq" not in frame:
            frame = await connected.receive(DEADLINE)
        assert frame["seq"] > self._cursor
        self._cursor = frame["seq"]
        self.events.append(frame)
        if frame["action"] in ("job_started", "job_output") and frame["attempt"] > self._attempt:
            self._attempt, self._next, self.shown = frame["attempt"], 0, ""
        if frame["action"] == "job_output":
            assert (frame["attempt"], frame["index"]) == (self._attempt, self._next)
            self._next += 1
            self.shown += frame["payload"]
        elif frame["action"] == "job_result":
            self.shown = frame["payload"]
        return frame

    async def see_until(self, connected: Client, *actions: str) -> Frame:
        while (frame := await self.see(connected))["action"] not in actions:
            pass
        return frame

    @property
    def written(self) -> str:
        """The pieces of the last attempt, those included that a replay has left out for the result."""
        return "".join(
            e["payload"] for e in self.events if e["action"] == "job_output" and e["attempt"] == self._attempt
        )


def words(attempt: int, count: int) -> str:
    return "".join(f"{attempt}:{number} " for number in range(count))


async def test_the_pieces_joined_are_the_result(web: Web) -> None:
    reader = Reader()
    async with reader.connect(web) as connected:
        await connected.submit("generate", "what about the weather")
        end = await reader.see_until(connected, "job_result")
    assert end["payload"].startswith("🤖 AI Response to 'what about the weather':\n")
    assert reader.written == end["payload"]


async def test_plain_mode_gets_what_it_always_got(web: Web) -> None:
    async with client(web.ws_url) as connected:
        await connected.submit("tells", "20 0.01")
        frames = await connected.receive_until("job_result", DEADLINE)
    assert [frame["action"] for frame in frames] == ["job_queued", "job_result"]
    assert frames[-1]["payload"] == words(1, 20)


async def test_a_reader_that_comes_and_goes_at_random_misses_nothing(web: Web) -> None:
    chance = random.Random(7)
    reader = Reader()
    async with reader.connect(web) as connected:
        await connected.submit("tells", "100 0.01")
    while not reader.events or reader.events[-1]["action"] != "job_result":
        async with reader.connect(web) as connected:
            for _ in range(chance.randrange(12)):
                if (await reader.see(connected))["action"] == "job_result":
                    break
    assert reader.shown == words(1, 100)
    assert words(1, 100).startswith(reader.written)


async def test_a_cancel_stops_it_and_what_was_written_stays_readable(web: Web) -> None:
    reader, late = Reader(), Reader()
    async with reader.connect(web) as connected:
        await connected.submit("tells", "10000 0.01")
        piece = await reader.see_until(connected, "job_output")
        await reader.see_until(connected, "job_output")
        await connected.send({"action": "cancel_job", "payload": {"job_id": piece["job_id"]}})
        await reader.see_until(connected, "job_cancelled")
        await connected.submit("default", "after it")  # by the same child
        await reader.see_until(connected, "job_result")
    assert [e["action"] for e in reader.events if e["job_id"] == piece["job_id"]][-1] == "job_cancelled"
    late._resume = reader._resume
    async with late.connect(web) as connected:
        await late.see_until(connected, "job_cancelled")
    assert late.shown == reader.written
    assert words(1, 10000).startswith(late.shown)


async def test_a_worker_killed_in_the_middle_of_streamed_output(worker: Worker, web: Web) -> None:
    reader = Reader()
    async with reader.connect(web) as connected:
        await connected.submit("tells", "60 0.02")
        while len(reader.written) < 30:
            await reader.see(connected)
        await asyncio.to_thread(worker.kill)
        await asyncio.to_thread(worker.start)
        end = await reader.see_until(connected, "job_result")
    assert end["payload"] == reader.written == words(2, 60)
    assert [e["attempt"] for e in reader.events if e["action"] == "job_started"] == [1, 2]
