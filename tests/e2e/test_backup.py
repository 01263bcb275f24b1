"""The stream is lost and put back from a backup, which is older than what clients have seen."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bus import Bus, Settings, SystemNotification
from bus.stream_config import MARK, MARKED, RESTORED
from testbed.planted import SECRET
from testbed.servers import Nats, Web
from testbed.system import System
from tests.clients import Client, Frame, client
from tests.raw_jetstream import Backup, connected


@asynccontextmanager
async def v1(web: Web, **payload: Any) -> AsyncIterator[tuple[Client, Frame]]:
    """A welcomed client, and the payload of its welcome."""
    async with client(web.ws_url, subprotocols=["bus.v1"]) as page:
        await page.send({"action": "connect", "payload": payload})
        yield page, (await page.receive())["payload"]


async def backup(nats: Nats) -> Backup:
    async with connected(nats.url) as raw:
        return await raw.backup()


async def mark(nats: Nats) -> None:
    """What `nats stream edit EVENTS --metadata …` does, which replaces the metadata."""
    async with connected(nats.url) as raw:
        await raw.edit(metadata={MARK: MARKED, RESTORED: "2026-12-01T06:00:00Z"})


async def overtake(nats: Nats) -> None:
    """Store more events than were lost, so that sequences that clients have seen stand for others."""
    async with Bus(Settings.load(nats_url=nats.url)) as bus:
        for number in range(10):
            await bus.broadcast_event(SystemNotification(payload=f"{number}"))


async def epoch(nats: Nats) -> str:
    async with Bus(Settings.load(nats_url=nats.url)) as bus:
        return (await bus.stream.state()).epoch


async def job(page: Client, content: str) -> tuple[str, int]:
    """Have a job done: its id, and the sequence of its result."""
    await page.submit("default", content)
    [*_, queued] = await page.receive_until("job_queued")
    [*_, result] = await page.receive_until("job_result")
    return queued["job_id"], result["seq"]


def wipe(nats: Nats, directory: Path) -> None:
    nats.stop()
    shutil.rmtree(directory / "nats")


async def test_what_is_put_back_from_a_backup_goes_on_and_is_not_called_the_history_that_clients_know(
    fresh: System,
) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    async with v1(web) as (page, welcome):
        await page.submit("default", "open")
        kept = (await page.receive_until("job_queued"))[-1]["job_id"]
        saved = await backup(fresh.nats)
        worker = fresh.worker(BUS_RECONCILE_INTERVAL="0.2")
        await page.receive_until("job_result")
        lost, seen = await job(page, "lost")
    web.stop()
    worker.kill()
    wipe(fresh.nats, fresh.directory)
    fresh.nats.start()
    with fresh.valkey.client() as redis:
        redis.flushdb()
    async with connected(fresh.nats.url) as raw:
        await raw.restore(saved)
    await mark(fresh.nats)
    await overtake(fresh.nats)
    web.start()
    worker.start()
    async with v1(web, resume=welcome["resume"], cursors={"client": seen}) as (page, again):
        assert (again["client_id"], again["recovered"]) == (welcome["client_id"], False)
        assert again["epoch"] != welcome["epoch"]
        life = [frame for frame in await page.receive_until("job_result") if "seq" in frame]
        assert {frame["job_id"] for frame in life} == {kept}
        assert [frame["action"] for frame in life] == ["job_queued", "job_started", "job_result"]
        await page.send({"action": "get_job", "payload": {"job_id": lost}})
        assert (await page.receive())["payload"][0]["type"] == "unknown_job"
        _, seen = await job(page, "after")
    async with v1(web, resume=again["resume"], cursors={"client": seen}) as (_, whole):
        assert (whole["recovered"], whole["replayed"]) == (True, 0)


@pytest.fixture
def nats(tmp_path: Path) -> Nats:
    return Nats(tmp_path)


async def test_files_that_are_put_back_are_another_history_once_that_is_said(nats: Nats, tmp_path: Path) -> None:
    nats.start()
    try:
        await overtake(nats)
        before = await epoch(nats)
        nats.stop()
        await asyncio.to_thread(shutil.copytree, tmp_path / "nats", tmp_path / "copy")
        wipe(nats, tmp_path)
        (tmp_path / "copy").rename(tmp_path / "nats")
        nats.start()
        assert await epoch(nats) == before
        await mark(nats)
        marked = await epoch(nats)
        assert marked != before
        assert len(marked) <= 64
        async with Bus(Settings.load(nats_url=nats.url), update_stream=True):
            assert await epoch(nats) == marked  # a process that sets the stream right keeps it
    finally:
        nats.kill()
