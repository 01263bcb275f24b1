"""What clients cost a NATS cluster, without their WebSockets: `python -m benchmarks.subscriptions [clients]`.

Three servers on this machine keep the stream three times, and one process at each of them hears the events of a third
of the clients. It stops by itself, at the latest after `DEADLINE`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.figure import Invalid
from benchmarks.processes import cpu_seconds, memory_bytes
from bus import Bus, Settings, subjects
from testbed.ports import free_port
from testbed.servers import ConfiguredNats, wait_until

SERVERS = 3
DEADLINE = 170.0
"""Seconds for all of it."""
STEPS = (1000, 10_000, 100_000)
"""Numbers of clients at which is measured, up to the one that was asked for."""
ONE_BY_ONE = 200
"""Events of which each is published when the one before was heard."""
RETURNING, MISSED = 600, 10
"""Clients that come back, and the events that each of them missed."""
OTHERS = 20_000
"""Most clients who get an event besides, so that the stream has subjects of many."""
AT_ONCE = 100
"""Appends on their way at a time."""
SEED = 1


class Process:
    """A process that holds clients: `benchmarks.client_holder`."""

    def __init__(self, inner: asyncio.subprocess.Process) -> None:
        self._inner = inner

    async def ask(self, *what: object) -> dict[str, Any]:
        """Have it do something, and return what it tells."""
        assert self._inner.stdin is not None
        self._inner.stdin.write(json.dumps(what).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        assert self._inner.stdout is not None
        if not (line := await self._inner.stdout.readline()):
            raise Invalid("a process that holds clients has ended; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def holders(servers: Sequence[ConfiguredNats]) -> AsyncIterator[list[Process]]:
    """One process for each server; they end with the block."""
    command = (sys.executable, "-m", "benchmarks.client_holder")
    pipe = asyncio.subprocess.PIPE
    limit = 1 << 20  # bytes of a line
    inner = [
        await asyncio.create_subprocess_exec(*command, server.url, stdin=pipe, stdout=pipe, limit=limit)
        for server in servers
    ]
    try:
        processes = [Process(each) for each in inner]
        for process in processes:
            await process.answer()
        yield processes
    finally:
        for each in inner:
            if each.returncode is None:
                each.kill()
            await each.wait()


def cluster(directory: Path) -> list[ConfiguredNats]:
    """Three servers that find each other, started."""
    ports = [free_port() for _ in range(SERVERS)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = []
    for number, port in enumerate(ports):
        (own := directory / f"n{number}").mkdir()
        text = f'server_name: n{number}\ncluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n'
        servers.append(ConfiguredNats(own, text))
        servers[-1].start()
    return servers


class Measuring:
    """What the servers have used between two looks."""

    def __init__(self, servers: Sequence[ConfiguredNats]) -> None:
        self._pids = [server.pid for server in servers]
        self._cpu, self._wall = cpu_seconds(self._pids), time.monotonic()

    def used(self) -> tuple[float, float]:
        """Seconds of the clock, and of CPU in all servers together."""
        return time.monotonic() - self._wall, cpu_seconds(self._pids) - self._cpu


async def subscribe(servers: list[ConfiguredNats], processes: list[Process], before: int, clients: int) -> str:
    """Subscribe for more clients, until every server knows of each."""
    known = [int(server.monitored("varz")["subscriptions"]) for server in servers]
    memory = [memory_bytes([server.pid]) for server in servers]
    measuring, more = Measuring(servers), clients - before
    asked = (process.ask("subscribe", before + n, clients, SERVERS) for n, process in enumerate(processes))
    answers = await asyncio.gather(*asked)

    def everywhere() -> bool:
        now = (int(server.monitored("varz")["subscriptions"]) for server in servers)
        return all(count >= was + more for count, was in zip(now, known, strict=True))

    await asyncio.to_thread(wait_until, everywhere, "subscription known at every server")
    seconds, cpu = measuring.used()
    grown = [(memory_bytes([server.pid]) - was) / more for server, was in zip(servers, memory, strict=True)]
    total = [memory_bytes([server.pid]) / 1e6 for server in servers]
    own = sum(answer["cpu"] for answer in answers)
    return (
        f"subscribed {more:,} in {seconds:.1f} s; CPU of each: servers {cpu / more * 1e6:.0f} µs, "
        f"processes {own / more * 1e6:.0f} µs; memory of each at each server: "
        f"{', '.join(f'{each / 1024:.1f}' for each in grown)} KiB; "
        f"servers now {', '.join(f'{each:.0f}' for each in total)} MB"
    )


async def append(bus: Bus, client: int) -> int:
    """An event for one client."""
    data = json.dumps({"action": "news", "payload": "x" * 60, "at": time.monotonic()}).encode()
    return await bus.stream.append(subjects.client_event(f"client-{client}"), data)


async def heard(processes: list[Process], events: int) -> list[float]:
    """The delays of so many events, once all of them were heard."""
    found: list[float] = []
    while len(found) < events:
        for process in processes:
            found += (await process.ask("delays"))["delays"]
        await asyncio.sleep(0.01)
    return found


async def one_by_one(servers: list[ConfiguredNats], processes: list[Process], bus: Bus, clients: int) -> str:
    """How long one event to one client takes while nothing else is on its way."""
    measuring, stored = Measuring(servers), []
    for client in random.sample(range(clients), ONE_BY_ONE):
        began = time.monotonic()
        await append(bus, client)
        stored.append(time.monotonic() - began)
    _, cpu = measuring.used()
    delays = await heard(processes, ONE_BY_ONE)
    return (
        f"one event to one client: heard after {spread(delays)}, acknowledged after {spread(stored)}; "
        f"servers' CPU {cpu / ONE_BY_ONE * 1e6:.0f} µs"
    )


def spread(seconds: Sequence[float]) -> str:
    cut = quantiles(seconds, n=100)
    return f"p50 {cut[49] * 1e3:.2f} ms, p99 {cut[98] * 1e3:.2f} ms"


async def many(servers: list[ConfiguredNats], processes: list[Process], bus: Bus, some: list[int], clients: int) -> str:
    """What an event costs when many are on their way: `MISSED` to some clients, and one to each of many others."""
    others = random.sample(range(clients), min(clients, OTHERS))
    measuring, events = Measuring(servers), len(some) * MISSED + len(others)
    targets = iter(some * MISSED + others)

    async def publish() -> None:
        for client in targets:
            await append(bus, client)

    await asyncio.gather(*(publish() for _ in range(AT_ONCE)))
    await heard(processes, events)
    seconds, cpu = measuring.used()
    return (
        f"{events:,} events to {len({*some, *others}):,} clients: {events / seconds:,.0f}/s; "
        f"servers' CPU {cpu / events * 1e6:.0f} µs"
    )


async def replay(
    servers: list[ConfiguredNats], processes: list[Process], bus: Bus, some: list[int], compared: bool
) -> str:
    """What it costs to read what clients missed, from any replica, and compared with its leader as a resume does."""
    until = (await bus.stream.state()).last_seq if compared else None
    measuring = Measuring(servers)
    asked = (process.ask("replay", some[n::SERVERS], until) for n, process in enumerate(processes))
    answers = await asyncio.gather(*asked)
    seconds, cpu = measuring.used()
    events = sum(answer["events"] for answer in answers)
    assert events >= len(some) * MISSED, f"{events} events were read back"
    own = sum(answer["cpu"] for answer in answers)
    return (
        f"{len(some)} clients come back for {events:,} events{', compared with the leader' if compared else ''}: "
        f"{len(some) / seconds:,.0f} clients/s; CPU of each: "
        f"servers {cpu / len(some) * 1e3:.2f} ms, processes {own / len(some) * 1e3:.2f} ms"
    )


async def measure(servers: list[ConfiguredNats], clients: int, say: Callable[[str], None]) -> None:
    """All of it, step by step."""
    random.seed(SEED)
    settings = Settings.load(nats_url=servers[0].url, append_timeout=20, connect_timeout=60, stream_replicas=3)
    async with asyncio.timeout(DEADLINE), Bus(settings) as bus, holders(servers) as processes:
        told = await bus.stream.info()
        say(f"the stream has {told['config']['num_replicas']} replicas, led by {told['cluster']['leader']}")
        before = 0
        for step in sorted({*(step for step in STEPS if step < clients), clients}):
            say(f"\n{step:,} clients")
            say(await subscribe(servers, processes, before, step))
            say(await one_by_one(servers, processes, bus, step))
            some = random.sample(range(step), min(step, RETURNING))
            say(await many(servers, processes, bus, some, step))
            for compared in (False, True):
                say(await replay(servers, processes, bus, some, compared))
            before = step


def main(clients: int) -> None:
    """Measure on servers of its own, and print."""
    with tempfile.TemporaryDirectory() as directory:
        servers: list[ConfiguredNats] = []
        try:
            servers = cluster(Path(directory))
            asyncio.run(measure(servers, clients, lambda line: print(line, flush=True)))
        finally:
            for server in servers:
                server.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
