"""OpenJobsReader on a NATS server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus import Bus, Settings, job_log, subjects
from bus.job_log import JobRequest
from bus.subscriptions import Subscription
from testbed.servers import Nats
from workers.open_jobs_reader import OpenJobsReader


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    server = Nats(tmp_path)
    server.start()
    try:
        async with Bus(Settings.load(nats_url=server.url)) as bus:
            yield bus
    finally:
        server.kill()


async def test_it_listens_while_jobs_wait_and_not_longer_though_nothing_was_heard(bus: Bus) -> None:
    def listening() -> list[Subscription]:
        every = bus._connection._subscriptions._all
        return [each for each in every if each.subject == subjects.live(subjects.ALL_JOBS)]

    reader = OpenJobsReader(window=32)
    request = JobRequest(task_type="t", job_type="t", content="x")
    await job_log.create(bus.stream, "ann", request, job_id="a", waits=True)
    while not (reader.table.waiting and reader.listens):
        await reader.read(bus)

    # As a leader of the stream does that stores an event and is lost before it tells of it.
    [deaf] = listening()
    assert deaf._heard is not None
    bus._connection.server._heard.pop(deaf._heard)
    await job_log.cancel(bus.stream, "ann", "a")
    await reader.read(bus)
    assert not reader.table.waiting
    assert not reader.listens
    assert not listening()
