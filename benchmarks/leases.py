"""What leases cost NATS: `python -m benchmarks.leases [children]`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from bus import Bus, Settings, leases, liveness
from bus.liveness import Instance, Observer
from testbed.servers import Nats

SECONDS = 30


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main(children: int) -> None:
    """Let so many children live, each with a connection of its own, and see what the server does meanwhile."""
    with tempfile.TemporaryDirectory() as directory:
        server = Nats(Path(directory))
        server.start()
        settings = Settings.load(nats_url=server.url, append_timeout=5, connect_timeout=60)
        buses = [Bus(settings) for _ in range(children)]
        try:
            for bus in buses:
                await bus.connect()
            instances = [Instance(bus, f"child-{number}") for number, bus in enumerate(buses)]
            for instance in instances:
                await instance.prove()
                await asyncio.sleep(liveness.RENEW_EVERY / children)
            await asyncio.sleep(liveness.RENEW_EVERY)
            stored, began, used = await _stored(buses[0]), time.monotonic(), cpu_seconds(server.pid)
            await asyncio.sleep(SECONDS)
            took = time.monotonic() - began
            share = (cpu_seconds(server.pid) - used) / took
            renewed = (await _stored(buses[0]) - stored) / took
            print(f"{children} leases: {renewed:.0f} renewals/s, nats-server at {share:.1%} of one core")
            observer, used, began = Observer(), cpu_seconds(server.pid), time.monotonic()
            for _ in range(100):
                assert await observer.look(buses[0], {"child-0"}) == set()
            each, used = (time.monotonic() - began) / 100, (cpu_seconds(server.pid) - used) / 100
            print(f"one look at all of them: {each * 1e3:.1f} ms, of which nats-server {used * 1e3:.1f} ms of CPU")
            for instance in instances:
                await instance.close()
        finally:
            await asyncio.gather(*(bus.close() for bus in buses))
            server.kill()


async def _stored(bus: Bus) -> int:
    return int((await leases.BUCKET._api(bus, "STREAM.INFO"))["state"]["last_seq"])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
