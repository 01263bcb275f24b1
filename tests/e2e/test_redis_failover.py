"""Celery's Redis dies, and Sentinel has its replica take over: `REDIS_URL=sentinel://…?master_name=…`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from testbed.planted import SECRET
from testbed.sentinel import MASTER, Replica, Sentinel
from testbed.servers import wait_until
from testbed.system import System
from tests.e2e.watcher import Watcher

QUICK = (f"sentinel down-after-milliseconds {MASTER} 500", f"sentinel failover-timeout {MASTER} 5000")
JOBS = 6
"""As many before as after."""


async def test_jobs_end_once_when_sentinel_promotes_a_replica(tmp_path: Path) -> None:
    system = System(tmp_path, BUS_SECRET=SECRET, BUS_RECONCILE_INTERVAL="1", BUS_VISIBILITY_TIMEOUT="5")
    replica = Replica(tmp_path, system.valkey)
    sentinel = Sentinel(tmp_path, system.valkey, *QUICK)
    system.settings["REDIS_URL"] = f"sentinel://127.0.0.1:{sentinel.port}/0?master_name={MASTER}"
    try:
        await asyncio.to_thread(system.start)
        for server in (replica, sentinel):
            system.servers.append(server)
            await asyncio.to_thread(server.start)
        await asyncio.to_thread(wait_until, lambda: replica.is_in_step() and sentinel.knows_replica(), "known replica")
        worker = await asyncio.to_thread(system.worker, "--concurrency", "1")
        web = await asyncio.to_thread(system.web)
        watcher = Watcher()
        async with watcher.connect(web) as connected:
            await connected.submit("default", "before")
            await watcher.see_until(connected, "job_result")
            worker.pause()
            for number in range(JOBS):
                await connected.submit("default", f"waits in Redis {number}")
            await watcher.see_until(connected, "job_queued", 1 + JOBS)
            system.valkey.kill()
            worker.resume()
            for number in range(JOBS):
                await connected.submit("default", f"comes meanwhile {number}")
            await watcher.see_until(connected, "job_result", 1 + 2 * JOBS)
        assert watcher.one_end_each()
    finally:
        system.stop()
