"""What a replay costs NATS when others' events lie between those of a client: `python -m benchmarks.sparse_replays`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.processes import cpu_seconds
from bus import Bus, Settings, subjects
from testbed.servers import Nats

MISSED = 10
"""Events of the client that comes back."""
BETWEEN = (10, 100, 1000, 4000)
"""Events of others after each of them."""
AT_ONCE = 200
TIMES = 100


async def fill(bus: Bus, between: int) -> int:
    """Store what the client missed and what lies between. Returns the sequence before it."""
    before = (await bus.stream.state()).last_seq
    for _ in range(MISSED):
        for first in range(0, between, AT_ONCE):
            others = (subjects.client_event(f"other-{n}") for n in range(first, min(between, first + AT_ONCE)))
            await asyncio.gather(*(bus.stream.append(subject, b"x" * 150) for subject in others))
        await bus.stream.append(subjects.client_event("client"), b"x" * 150)
    return before


async def main() -> None:
    """Measure on a server of its own, and print."""
    with tempfile.TemporaryDirectory() as directory:
        server = Nats(Path(directory))
        server.start()
        try:
            async with Bus(Settings.load(nats_url=server.url, append_timeout=20)) as bus:
                for between in BETWEEN:
                    before, read = await fill(bus, between), 0
                    used = cpu_seconds([server.pid])
                    for _ in range(TIMES):
                        async for _ in bus.stream.replay(subjects.client("client"), after=before):
                            read += 1
                    used = cpu_seconds([server.pid]) - used
                    assert read == MISSED * TIMES
                    print(f"{MISSED} events, {between} of others between each: {used / TIMES * 1e3:.2f} ms", flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    asyncio.run(main())
