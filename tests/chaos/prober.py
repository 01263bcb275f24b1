"""Prober: how long a client waits until a job of its is accepted, when it is sent on to a web process that is ready."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

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
OK = 200
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
        """Seconds until each job was accepted, and which faults had happened last."""
        self._world = world
        self._web = first
        self._begun = 0.0

    async def run(self) -> None:
        """Ask until told to settle."""
        self._begun = time.monotonic()
        while not self.settled.is_set():
            with suppress(*AWAY):
                await self._find_ready()
                async with client(self._world.webs[self._web].ws_url) as connected:
                    await self._ask_on(connected)
            await asyncio.sleep(ASK_AGAIN)

    async def _ask_on(self, connected: Client) -> None:
        """Ask over one connection, until it is of no use."""
        while not self.settled.is_set():
            await connected.submit("default", "is anybody there", ref="probe")
            frame = await connected.receive(ANSWER_DEADLINE)
            while frame.get("ref") != "probe":
                frame = await connected.receive(ANSWER_DEADLINE)
            if frame["action"] == "job_queued":
                self._accepted()
                await asyncio.sleep(PAUSE)
                self._begun = time.monotonic()
            elif await self._find_ready():
                return
            else:
                await asyncio.sleep(ASK_AGAIN)

    def _accepted(self) -> None:
        wait = time.monotonic() - self._begun
        last = list(self._world.injected)[-1:]
        self.waits.append((wait, f"{' '.join(self._world.under_way) or last}"))
        if wait > LONGEST:
            self._world.complain(f"a client waited {wait:.1f} s until a job was accepted, {self.waits[-1][1]}")

    async def _find_ready(self) -> bool:
        """Go to another web process when this one is not ready, as a load balancer has it. Whether it did."""
        if await asyncio.to_thread(_ready, self._world.webs[self._web]):
            return False
        self._web = 1 - self._web
        return True


def _ready(web: Web) -> bool:
    try:
        return http.get(f"{web.url}/readyz", timeout=ANSWER_DEADLINE)[0] == OK
    except OSError:
        return False
