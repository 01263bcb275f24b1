"""A process that hears events for many clients, as a web process does, but without their WebSockets.

`python -m benchmarks.client_holder URL` reads what to do from standard input, a JSON array a line, and answers each
with a line. It ends when standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bus import Bus, BusUnavailable, Settings, Stored, subjects

AT_ONCE = 16
"""Clients that come back at a time."""
PATIENCE = 60.0
"""Seconds for the server to take what was subscribed."""


class Holder:
    """The clients of one process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._delays: list[float] = []

    async def subscribe(self, first: int, last: int, step: int) -> dict[str, float]:
        """Subscribe for each client of a range, until the server has taken all of it."""
        for number in range(first, last, step):
            await self._bus.subscribe(subjects.client(f"client-{number}"), self._heard)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self._bus.confirm_subscriptions()
                    return {}
                except BusUnavailable:  # it has not looked at all of them within its own deadline
                    continue

    async def replay(self, clients: list[int], until: int | None) -> dict[str, float]:
        """Read what the stream has of these clients: up to a sequence, as a resume does, or what a replica has."""
        waiting, events, stream = iter(clients), 0, self._bus.stream

        async def come_back() -> None:
            nonlocal events
            for number in waiting:
                subject = subjects.client(f"client-{number}")
                if until is None:
                    read = stream.replay(subject, after=0)
                else:
                    read = stream.replay_until(subject, after=0, until=until)
                async for _ in read:
                    events += 1

        await asyncio.gather(*(come_back() for _ in range(AT_ONCE)))
        return {"events": events}

    async def delays(self) -> dict[str, Any]:
        """Seconds from when each event was published until it was heard here, since the last time."""
        found, self._delays = self._delays, []
        return {"delays": found}

    def _heard(self, stored: Stored) -> None:
        self._delays.append(time.monotonic() - json.loads(stored.data)["at"])


async def main(url: str) -> None:
    """Do what standard input asks for."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Bus(Settings.load(nats_url=url, append_timeout=20, connect_timeout=60, stream_replicas=3)) as bus:
        holder = Holder(bus)
        verbs: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "subscribe": holder.subscribe,
            "replay": holder.replay,
            "delays": holder.delays,
        }
        print(json.dumps({"pid": os.getpid()}), flush=True)
        while line := await lines.readline():
            verb, *arguments = json.loads(line)
            wall, cpu = time.monotonic(), time.process_time()
            answer = await verbs[verb](*arguments)
            told = {"seconds": time.monotonic() - wall, "cpu": time.process_time() - cpu}
            print(json.dumps(answer | told), flush=True)
        os._exit(0)  # thousands of subscriptions need not be ended one by one


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
