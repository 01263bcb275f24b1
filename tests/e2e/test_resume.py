"""Long histories: what many clients ask for at once, or take slowly, costs nobody else anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from bus import Bus, Settings, job_log
from bus.job_log import JobRequest
from testbed.servers import Web
from testbed.system import System
from tests.clients import Frame, client
from tests.sizes import sized

SECRET = "s" * 64
MIB = 1024 * 1024
JOBS = 40
SLOW = sized(30, 15)
CONTENT = "x" * 100_000  # stored twice: as it was asked for, and as it is shown


async def history(system: System, web: Web) -> Frame:
    """A new client with 8 MB of events; the frame with which it comes back for all of them."""
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect"})
        welcome = (await connected.receive())["payload"]
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        for number in range(JOBS):
            request = JobRequest(task_type="default", job_type="default", content=CONTENT)
            await job_log.create(bus.stream, welcome["client_id"], request, job_id=f"job{number}")
    return {"action": "connect", "payload": {"resume": welcome["resume"], "cursors": {"client": 0}}}


async def resumed(web: Web, asked: Frame, *, pause: float = 0) -> tuple[bool, int]:
    """Whether all of it was promised, and how many events came."""
    async with client(web.ws_url, subprotocols=["bus.v1"], max_queue=1) as connected:
        await connected.send(asked)
        welcome = (await connected.receive(120))["payload"]
        assert welcome["replayed"] == JOBS
        ids = []
        for _ in range(JOBS):
            ids.append((await connected.receive(120))["job_id"])
            await asyncio.sleep(pause)
        return welcome["recovered"], len(set(ids))


async def beside(web: Web, ask: Callable[[], Awaitable[list[tuple[bool, int]]]]) -> tuple[list[tuple[bool, int]], int]:
    """What `ask` answers, and how often somebody else was served meanwhile."""
    served = 0
    asking = asyncio.ensure_future(ask())
    async with client(web.ws_url) as bystander:
        while not asking.done():
            await bystander.submit("default", "x", ref=str(served))
            queued = (await bystander.receive_until("job_queued", 10))[-1]
            assert queued["ref"] == str(served)
            served += 1
            await asyncio.sleep(0.02)  # within the rate of frames, and of open jobs, that a client may have
    return await asking, served


def resident(web: Web) -> int:
    """Megabytes in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{web.pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


async def test_many_resumes_of_long_histories_at_once_all_end_whole(fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    clients = [await history(fresh, web) for _ in range(6)]
    answers, served = await beside(web, lambda: asyncio.gather(*(resumed(web, asked) for asked in clients)))
    assert answers == [(True, JOBS)] * len(clients)
    assert served > 10
    assert not re.search("too slow for NATS|lost NATS|cannot be welcomed", web.output())


async def test_slow_resumes_of_a_long_history_take_little_memory(fresh: System) -> None:
    """Many that are sent 8 MB each, in a process that may have 8 MB of all that in memory."""
    bounds = {"BUS_REPLAY_MEMORY_BYTES": str(8 * MIB), "BUS_CLIENT_READ_BURST": str(1000 * MIB)}
    web = fresh.web(BUS_SECRET=SECRET, **bounds)
    asked = await history(fresh, web)
    await resumed(web, asked)
    before = resident(web)
    peak = before

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, resident(web))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    answers, served = await beside(web, lambda: asyncio.gather(*(resumed(web, asked, pause=0.02) for _ in range(SLOW))))
    watching.cancel()
    assert answers == [(True, JOBS)] * SLOW
    assert served > 10
    assert peak - before < 60, (before, peak)
