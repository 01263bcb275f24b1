"""When which fault happens to which server: the table of faults, and the schedule that a seed makes of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from redis import Redis
from redis.exceptions import RedisError

from bus import nats_url
from bus.nats_client import NatsClient
from bus.nats_login import Proof
from testbed.servers import Server
from tests.chaos.actors import ChaosClient
from tests.chaos.history import History, Key
from tests.chaos.world import World, processes_in, until

WRITES_WITHIN = 15.0
"""Seconds within which some job writes."""
REST = 6.0
"""Seconds to get over a fault before the next one, where each comes alone."""


@dataclass(frozen=True)
class Scene:
    """Where a fault happens.

    Args:
        world: the servers.
        clients: for faults that touch jobs.
        history: what is stored so far.
        server: the server it happens to; for faults of the bus or of tasks, NATS or Valkey.
        rng: the fault's own source of chance.
    """

    world: World
    clients: Sequence[ChaosClient]
    history: History
    server: Server
    rng: random.Random

    def jobs(self, most: int) -> list[tuple[str, str, str]]:
        """Client id, job id and job type of some accepted jobs, the newest more likely."""
        known = [
            (client.client_id, job_id, "default" if job_type == "nonsense" else job_type)
            for client in self.clients
            for job_id, job_type in client.accepted[-5:]
        ]
        return self.rng.sample(known, min(most, len(known)))

    async def writers(self, server: Server | None = None) -> dict[Key, tuple[int, int]]:
        """Attempt and pid of the jobs that are writing now, of one worker or of all; it waits until there are some."""

        def found() -> dict[Key, tuple[int, int]]:
            among = None if server is None else processes_in(server.pid)
            return {key: run for key, run in self.history.writers.items() if among is None or run[1] in among}

        if not await until(lambda: bool(found()), WRITES_WITHIN, every=0.1):
            self.world.injected["(nobody wrote then)"] += 1
        return found()

    async def in_redis(self, do: Callable[[Redis], object]) -> None:
        """Do something in Redis, if it is there."""

        def run() -> None:
            with self.world.valkey.client() as redis, suppress(RedisError):
                do(redis)

        await asyncio.to_thread(run)

    @asynccontextmanager
    async def any_program(self) -> AsyncIterator[Client]:
        """Some NATS client that may write everywhere.

        It leaves as ours do: over TLS nats-py's own `close` raises or never ends where the server has gone meanwhile.
        """
        [server] = nats_url.parse(self.world.program_url)
        program = NatsClient(server, Proof(), name="any program", on_error=_let_be)
        await program.connect(self.world.program_url, connect_timeout=10)
        try:
            yield program
        finally:
            with suppress(nats.errors.Error, TimeoutError):
                await program.flush(5)
            await program.leave()


async def _let_be(client: Client, error: Exception) -> None:
    """Faults are made for errors."""


Fault = Callable[[Scene], Awaitable[None]]

FAULTS: dict[str, tuple[str, int, Fault]] = {}
"""By name: what it happens to, how likely it is, and what it does."""


def fault(of: str, weight: int = 2) -> Callable[[Fault], Fault]:
    """Put a fault into the table."""

    def register(function: Fault) -> Fault:
        FAULTS[function.__name__] = (of, weight, function)
        return function

    return register


SINGLE_ONLY = {
    "garbage_published",
    "garbage_published_on_jobs",
    "events_published_twice",
    "live_poisoned",
    "nats_full_of_connections",
    "nats_login_revoked",
    "nats_takes_small_payloads_only",
    "somebody_listens_to_everything",
}
"""Faults of other programs and of logins, which are made at one server and are the same with several."""


def names(*, cluster: bool) -> list[str]:
    """The faults that can happen in a cluster, or to single servers."""
    return [name for name, (of, _, _) in FAULTS.items() if (name not in SINGLE_ONLY if cluster else of != "cluster")]


@dataclass(frozen=True)
class Planned:
    """One line of a schedule: at `at` seconds, `fault` happens to server number `number` of its kind."""

    at: float
    fault: str
    number: int


def plan(seed: int, seconds: float, every: float, names: Sequence[str]) -> list[Planned]:
    """The schedule of a seed: about one of these faults each `every` seconds, for `seconds`.

    The first ones happen to one server of each kind, however long that takes; then each is any of them.
    """
    rng = random.Random(seed)
    kinds = sorted({FAULTS[name][0] for name in names})
    rng.shuffle(kinds)
    planned = []
    at = rng.expovariate(1 / every)
    while kinds or at < seconds:
        of = kinds.pop() if kinds else ""
        among = [name for name in names if not of or FAULTS[name][0] == of]
        (name,) = rng.choices(among, [FAULTS[name][1] for name in among])
        planned.append(Planned(round(at, 2), name, rng.randrange(2)))
        at += rng.expovariate(1 / every)
    return planned


async def inject(
    schedule: Sequence[Planned],
    world: World,
    clients: Sequence[ChaosClient],
    history: History,
    seed: int,
    *,
    alone: bool,
) -> None:
    """Let the schedule happen. Faults overlap, but each server is in the hands of one at a time.

    Alone, each one begins some seconds after the end of the one before it, whenever it was planned.
    """
    begun = asyncio.get_running_loop().time()

    async def one(number: int, planned: Planned) -> None:
        of, _, function = FAULTS[planned.fault]
        server = _servers(world, of)[planned.number % len(_servers(world, of))]
        async with world.lock(server):
            world.injected[planned.fault] += 1
            world.under_way.append(planned.fault)
            await function(Scene(world, clients, history, server, random.Random(f"{seed}/fault/{number}")))
            world.under_way.remove(planned.fault)

    async def at_its_time(number: int, planned: Planned) -> None:
        await asyncio.sleep(begun + planned.at - asyncio.get_running_loop().time())
        await one(number, planned)

    if alone:
        for number, planned in enumerate(schedule):
            await asyncio.sleep(REST)
            await one(number, planned)
        return
    async with asyncio.TaskGroup() as tasks:
        for number, planned in enumerate(schedule):
            tasks.create_task(at_its_time(number, planned))


def _servers(world: World, of: str) -> Sequence[Server]:
    match of:
        case "worker" | "writer":
            return world.workers
        case "reconciler":
            return [world.reconciler]
        case "web":
            return world.webs
        case "nats" | "history" | "cluster":
            return world.nats
        case _:
            return [world.valkey]
