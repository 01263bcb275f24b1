"""The system that clients are tried with: real servers, and what is done to them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bus import Bus, Settings, subjects
from bus.messages import SystemNotification
from testbed.servers import Web
from testbed.system import System
from tests.own_jobs import install
from tests.tokens import AUDIENCE, ISSUER, SHARED, token

JOBS = """
import os, pathlib, time
from collections.abc import Iterator
from workers.registry import Fail, JobContext, job

@job
def story(content: str, job: JobContext) -> Iterator[str]:
    "Write until the file that the content names is there; beside it stands which process does."
    pathlib.Path(content + ".pid").write_text(str(os.getpid()))
    yield f"attempt {job.attempt}:"
    number = 0
    while not os.path.exists(content):
        yield f" {number}"
        number += 1
        time.sleep(0.01)
    yield " the end"

@job
def add(content: list[int], job: JobContext) -> dict[str, int]:
    "Add numbers."
    job.progress(0.5, "adding")
    return {"sum": sum(content)}

@job
def fail(content: str, job: JobContext) -> str:
    "Fail with the content for a reason."
    raise Fail(content)
"""

SECRET = "conformance-" + "s" * 64
QUICK_END = {"BUS_DRAIN_TIMEOUT": "1", "BUS_SECRET": SECRET}
JWT = {"BUS_AUTH": "jwt", "BUS_AUTH_SECRET": SHARED, "BUS_AUTH_ISSUER": ISSUER, "BUS_AUTH_AUDIENCE": AUDIENCE}


class World:
    """NATS, Valkey, a worker, and web processes as they are needed.

    Args:
        system: with NATS and Valkey running.
        bus: a connection of the test's own.
    """

    def __init__(self, system: System, bus: Bus) -> None:
        self.system = system
        self.bus = bus
        self._webs: dict[str, Web] = {}
        self._starting = asyncio.Lock()

    async def web(self, kind: str) -> Web:
        """A web process: `shared` and `jwt` have one for all, `own` is another each time."""
        async with self._starting:
            if kind == "own" or kind not in self._webs:
                settings = QUICK_END | (JWT if kind == "jwt" else {})
                self._webs[kind] = await asyncio.to_thread(lambda: self.system.web(**settings))
            return self._webs[kind]

    async def redeploy(self, web: Web) -> None:
        """SIGTERM, then a new process at the same port."""
        assert await asyncio.to_thread(web.stop) == 0, web.output()
        await self._start(web)

    async def kill(self, web: Web) -> None:
        """SIGKILL, then a new process at the same port."""
        await asyncio.to_thread(web.kill)
        await self._start(web)

    async def _start(self, web: Web) -> None:
        async with self._starting:
            await asyncio.to_thread(web.start)

    async def announce(self, text: str, *, client_id: str | None = None, level: Any = None) -> int:
        """Tell everybody, or one client; its sequence."""
        event = SystemNotification(payload=text, level=level)
        if client_id is None:
            (seq,) = await self.bus.broadcast_event(event, ["system"])
            return seq
        return await self.bus.send_event(event, client_id)

    async def purge(self, client_id: str) -> None:
        """Remove every event of a client from the stream."""
        await self.bus.stream._purge({"filter": subjects.client(client_id)})

    async def stored(self, subject: str) -> list[dict[str, Any]]:
        """What the stream has of a subject, each with its `seq`."""
        return [json.loads(each.data) | {"seq": each.seq} async for each in self.bus.stream.replay(subject, after=0)]


def signed(sub: str, seconds: float) -> str:
    """A token of a user that is good for so many seconds."""
    return token(sub=sub, exp=int(time.time() + seconds))


def kill_runner(gate: Path) -> None:
    """SIGKILL to the process that writes a story."""
    os.kill(int(gate.with_name(gate.name + ".pid").read_text()), signal.SIGKILL)


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    """A running one; everything ends with the block."""
    package = install(directory, JOBS)
    system = System(directory, PYTHONPATH=package, BUS_OUTPUT_INTERVAL="0.01")
    try:
        await asyncio.to_thread(system.start)
        await asyncio.to_thread(lambda: system.worker("--concurrency", "6"))
        async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
            yield World(system, bus)
    finally:
        await asyncio.to_thread(system.stop)
