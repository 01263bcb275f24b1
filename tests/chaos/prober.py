"""Prober: how long a client waits until a job of its is accepted, when it is sent on to a web process that is ready."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from testbed.servers import Web
from tests import http
from tests.chaos.actors import AWAY
from tests.chaos.world import World
from tests.clients import Client, client

PAUSE = 0.7
"""Seconds between two jobs."""
ASK_AGAIN = 0.2
"""Seconds until what was refused is asked for once more."""
ANSWER_DEADLINE = 3.0
"""Seconds after which a client that got no answer connects again."""
CLOSE_TIMEOUT = 0.2
"""Seconds that a client waits for an answer to its close frame: what it waits for is elsewhere by then."""
OK = 200
TOO_MANY_JOBS = "too_many_jobs"
"""What a client is told whose jobs cannot run: another one's may be accepted."""
LONGEST = 25.0
"""Seconds that nobody should have to wait, on a machine that others use too. Wanted are ten."""


class Prober:
    """A client that asks for a job, waits until it is accepted, and asks for the next one.

    Args:
        world: where the web processes are.
        first: which of them it asks first.
    """

    def __init__(self, world: World, first: int) -> None:
        self.settled = asyncio.Event()
        self.waits: list[tuple[float, str]] = []
        """Seconds until each job was accepted; which faults had happened last, and what it was told meanwhile."""
        self._told = Counter[str]()
        self._world = world
        self._web = first
        self._begun = 0.0
        self._asked = 0

    async def run(self) -> None:
        """Ask until told to settle."""
        self._begin()
        while not self.settled.is_set():
            if (ready := await self._ready_web()) is None:
                self._told["nobody is ready"] += 1
            else:
                self._web = ready
                await self._ask()
            await asyncio.sleep(ASK_AGAIN)

    async def _ask(self) -> None:
        url = self._world.webs[self._web].ws_url
        try:
            async with client(url, open_timeout=ANSWER_DEADLINE, close_timeout=CLOSE_TIMEOUT) as connected:
                await self._ask_on(connected)
        except AWAY as error:
            self._told[type(error).__name__] += 1

    def _begin(self) -> None:
        self._begun = time.monotonic()
        self._told.clear()

    async def _ask_on(self, connected: Client) -> None:
        """Ask over one connection, until it is of no use."""
        while not self.settled.is_set():
            self._asked += 1
            await connected.submit("default", "is anybody there", ref=f"{self._asked}")
            frame = await connected.receive(ANSWER_DEADLINE)
            while frame.get("ref") != f"{self._asked}":
                frame = await connected.receive(ANSWER_DEADLINE)
            if frame["action"] == "job_queued":
                self._accepted()
                await asyncio.sleep(PAUSE)
                self._begin()
                continue
            told = frame["payload"][0]["type"]
            self._told[told] += 1
            if told == TOO_MANY_JOBS or await self._ready_web() != self._web:
                return  # to come back as another client, or to another process
            await asyncio.sleep(ASK_AGAIN)

    def _accepted(self) -> None:
        wait = time.monotonic() - self._begun
        last = list(self._world.injected)[-1:]
        self.waits.append((wait, f"{' '.join(self._world.under_way) or last} {dict(self._told)}"))
        if wait > LONGEST:
            self._world.complain(f"a client waited {wait:.1f} s until a job was accepted, {self.waits[-1][1]}")

    async def _ready_web(self) -> int | None:
        """Where a load balancer sends it: to the process where it is, or to the other one, if that is ready."""
        ready = await asyncio.gather(*(asyncio.to_thread(_ready, web) for web in self._world.webs))
        return next((web for web in (self._web, 1 - self._web) if ready[web]), None)


def _ready(web: Web) -> bool:
    try:
        return http.get(f"{web.url}/readyz", timeout=ANSWER_DEADLINE)[0] == OK
    except OSError:
        return False
