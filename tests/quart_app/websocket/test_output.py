"""What a job writes, as clients see it: live and on resume, in order, each piece once; plain mode never."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus import Bus, Settings, subjects
from bus.messages import Event, JobOutput, JobQueued, JobResult, JobStarted
from testbed.servers import Web
from testbed.system import System, running
from tests.clients import Client, Frame, client


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Without a worker: the tests write what one would."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


class Job:
    """A job of one client, as a worker tells of it."""

    def __init__(self, bus: Bus, client_id: str) -> None:
        self._bus = bus
        self._client_id = client_id
        self._job_id = secrets.token_hex(4)

    async def step(self, *events: Event) -> None:
        for event in events:
            await self._bus.stream.append(subjects.job(self._client_id, self._job_id), event.encode().encode())

    async def begin(self) -> None:
        await self.step(JobQueued(payload="queued"), JobStarted(payload="started", attempt=1))

    async def write(self, *texts: str, attempt: int = 1, index: int = 0) -> None:
        subject = subjects.output(self._client_id, self._job_id)
        for number, text in enumerate(texts, index):
            piece = JobOutput(payload=text, attempt=attempt, index=number)
            await self._bus.stream.append(subject, piece.encode().encode())


@pytest.fixture
async def bus(system: System) -> AsyncIterator[Bus]:
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        yield bus


@asynccontextmanager
async def v1(web: Web, **payload: Any) -> AsyncIterator[tuple[Client, Frame]]:
    """A welcomed bus.v1 connection, and the payload of its welcome."""
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": payload})
        yield connected, (await connected.receive())["payload"]


def texts(frames: list[Frame]) -> list[tuple[int, int, str]]:
    """Attempt, index and text of the pieces among these frames, in the order in which they came."""
    return [(f["attempt"], f["index"], f["payload"]) for f in frames if f["action"] == "job_output"]


async def test_pieces_come_live_in_order_each_once_before_the_end(web: Web, bus: Bus) -> None:
    async with v1(web) as (connected, welcome):
        job = Job(bus, welcome["client_id"])
        await job.begin()
        await job.write(*map(str, range(100)))
        await job.step(JobResult(payload="whole"))
        frames = await connected.receive_until("job_result")
    assert texts(frames) == [(1, number, str(number)) for number in range(100)]
    assert [frame["action"] for frame in frames[:2]] == ["job_queued", "job_started"]
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(set(seqs))
    assert {frame["job_id"] for frame in frames} == {frames[0]["job_id"]}


async def test_plain_mode_is_not_shown_them(web: Web, bus: Bus) -> None:
    async with client(web.ws_url) as connected:
        await connected.submit("default", "x")
        queued = await connected.receive()
        stored = await bus.stream.last(subjects.any_client(queued["job_id"]))
        assert stored is not None
        address = subjects.parse(stored.subject)
        assert address is not None
        piece = JobOutput(payload="piece", attempt=1, index=0)
        await bus.stream.append(f"{stored.subject}.output", piece.encode().encode())
        await bus.stream.append(stored.subject, JobResult(payload="whole").encode().encode())
        assert (await connected.receive())["action"] == "job_result"


async def test_a_client_that_comes_back_in_the_middle_gets_what_it_missed_and_then_the_rest(web: Web, bus: Bus) -> None:
    async with v1(web) as (connected, welcome):
        job = Job(bus, welcome["client_id"])
        await job.begin()
        await job.write("a", "b")
        seen = [await connected.receive() for _ in range(4)]
    await job.write("c", "d", index=2)
    cursors = {"client": seen[-2]["seq"]}  # the last piece was lost on its way
    async with v1(web, resume=welcome["resume"], cursors=cursors) as (connected, again):
        assert (again["recovered"], again["replayed"]) == (True, 3)
        await job.write("e", index=4)
        await job.step(JobResult(payload="abcde"))
        assert texts(await connected.receive_until("job_result")) == [
            (1, 1, "b"),
            (1, 2, "c"),
            (1, 3, "d"),
            (1, 4, "e"),
        ]


async def test_a_client_that_comes_back_after_the_end_gets_the_whole_instead_of_pieces(web: Web, bus: Bus) -> None:
    async with v1(web) as (_, welcome):
        job = Job(bus, welcome["client_id"])
        await job.begin()
        await job.write("a")
        await job.step(JobStarted(payload="started", attempt=2))
        await job.write("a", "b", attempt=2)
        await job.step(JobResult(payload="ab"))
    async with v1(web, resume=welcome["resume"], cursors={"client": 0}) as (connected, again):
        assert (again["recovered"], again["replayed"]) == (True, 4)
        frames = [await connected.receive() for _ in range(4)]
        assert [frame["action"] for frame in frames] == ["job_queued", "job_started", "job_started", "job_result"]
        await connected.ping()


async def test_clients_that_come_and_go_while_it_is_written_miss_nothing(web: Web, bus: Bus) -> None:
    async with v1(web) as (_, welcome):
        job = Job(bus, welcome["client_id"])
        await job.begin()
    cursor, written, seen = 0, 0, []
    while written < 200:
        async with v1(web, resume=welcome["resume"], cursors={"client": cursor}) as (connected, again):
            assert again["recovered"]
            await job.write(*map(str, range(written, written + 20)), index=written)
            written += 20
            while not seen or seen[-1]["payload"] != str(written - 7):  # and the rest is lost on its way
                frame = await connected.receive()
                if frame["action"] == "job_output":
                    seen.append(frame)
            cursor = seen[-1]["seq"]
    assert texts(seen) == [(1, number, str(number)) for number in range(written - 6)]
