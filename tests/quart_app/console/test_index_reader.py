"""The list of all jobs over outages of NATS, and when the stream is another one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bus import Bus, Settings, job_log
from bus.job_log import JobRequest
from quart_app.console import index_reader
from quart_app.console.index_reader import IndexReader
from testbed.servers import Nats

DEADLINE = 20.0


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    """A server that the test may stop."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def bus(nats: Nats) -> AsyncIterator[Bus]:
    async with Bus(Settings.load(nats_url=nats.url), update_stream=True) as bus:
        yield bus


@pytest.fixture
async def reader(bus: Bus) -> AsyncIterator[IndexReader]:
    reader = IndexReader(bus)
    yield reader
    await reader.close()


async def accepted(bus: Bus, *job_ids: str) -> None:
    for job_id in job_ids:
        request = JobRequest(task_type="translate", job_type="translate", content=job_id)
        await job_log.create(bus.stream, "ann", request, job_id=job_id)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.02)


def ids(reader: IndexReader) -> list[str]:
    return [job.job_id for job in reader.index.jobs]


async def test_the_newest_jobs_are_there_first_and_then_all(
    bus: Bus, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_reader, "RECENT", 2)
    names = [f"j{n}" for n in range(6)]
    await accepted(bus, *names)
    seen: list[list[str]] = []
    async with reader.looking():
        recent = reader.index
        whole = asyncio.create_task(reader.whole())
        while not whole.done():
            if reader.index is not recent and reader.index.jobs and ids(reader) not in seen:
                seen.append(ids(reader))
            await asyncio.sleep(0)
        await until(lambda: ids(reader) == names)
        await accepted(bus, "later")
        await until(lambda: ids(reader) == [*names, "later"])
        assert reader.share == 1
    assert all(found == names[-len(found) :] or found == names[: len(found)] for found in seen)


async def test_what_happens_while_nats_is_away_is_listed_when_it_is_back(
    nats: Nats, bus: Bus, reader: IndexReader
) -> None:
    await accepted(bus, "before")
    async with reader.looking():
        await until(lambda: ids(reader) == ["before"])
        nats.kill()
        await until(lambda: not bus.connected)
        nats.start()
        await until(lambda: bus.connected)
        await accepted(bus, "after")
        await until(lambda: ids(reader) == ["before", "after"])


async def test_who_looks_while_nats_is_away_sees_the_jobs_when_it_is_back(
    nats: Nats, bus: Bus, reader: IndexReader
) -> None:
    await accepted(bus, "before")
    nats.kill()
    await until(lambda: not bus.connected)
    async with reader.looking():
        assert reader.share < 1
        nats.start()
        await until(lambda: ids(reader) == ["before"])


async def test_of_a_stream_that_is_made_anew_only_the_new_jobs_are_listed(
    nats: Nats, bus: Bus, reader: IndexReader
) -> None:
    await accepted(bus, "a", "b", "c")
    async with reader.looking():
        await until(lambda: len(ids(reader)) == 3)
        nats.kill()
        await until(lambda: not bus.connected)
        shutil.rmtree(nats.directory / "nats")
        nats.start()
        await until(lambda: bus.connected)
        await accepted(bus, "d")
        await until(lambda: ids(reader) == ["d"])


async def test_nothing_is_kept_when_nobody_has_looked_for_a_while(
    bus: Bus, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_reader, "LINGER", 0.0)
    await accepted(bus, "a")
    async with reader.looking():
        await until(lambda: ids(reader) == ["a"])
    await until(lambda: not ids(reader))
    async with reader.looking():  # and it begins again
        await until(lambda: ids(reader) == ["a"])
