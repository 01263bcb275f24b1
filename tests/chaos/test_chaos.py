"""Everything breaks, as a seed has it, while clients work; then the promises are checked.

By itself it takes a few faults only, though at least one of a worker, a web process, NATS and Redis each, one in the
middle of what a job writes, one of the worker that reconciles, and a flood that cuts the history; what it did not do it
says. This is more:

    CHAOS_SEED=7 CHAOS_MINUTES=5 pytest tests/chaos -s

replays seed 7 for five minutes; CHAOS_EVERY is the mean number of seconds between two faults. With CHAOS_ROLES=1 each
process has the NATS login and permissions of its role in deploy/nats, over TLS, and each client tokens of a user that
live for seconds: it brings a newer one in time, or is closed with 4401 and comes back with one. With CHAOS_CLUSTER=1
three NATS servers, two web processes and two workers are on hosts of their own, which are killed, frozen and cut off,
one at a time. With CHAOS_ALONE=1 each fault begins when the one before it is over. The schedule of faults is the
seed's; the timing inside the processes is not, so a rare failure may need a few runs to show again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from bus import Bus
from bus.messages import JobOutput
from tests.chaos import faults, hosts, invariants, midway, outside, schedule, slots  # noqa: F401 - a fault is in the table once its file is read
from tests.chaos.actors import ChaosClient, Operator
from tests.chaos.cluster_world import ClusterWorld
from tests.chaos.history import History
from tests.chaos.prober import Prober
from tests.chaos.schedule import FAULTS, Planned, inject, plan
from tests.chaos.world import World

pytestmark = pytest.mark.servers
SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = 60 * float(os.environ.get("CHAOS_MINUTES", "0.2"))
CLIENTS = 50
TWINS = 5
"""Of the clients, how many are second connections of the first ones."""
CLUSTER = os.environ.get("CHAOS_CLUSTER") == "1"
FAULT_EVERY = float(os.environ.get("CHAOS_EVERY", "3" if CLUSTER else "1.5"))
"""Mean seconds between two faults."""
WISH_EVERY = 5.0
"""Mean seconds between two jobs of one client."""
ROLES = os.environ.get("CHAOS_ROLES") == "1"
ALONE = os.environ.get("CHAOS_ALONE") == "1"
ONLY = os.environ.get("CHAOS_ONLY", "").split()
"""Names of the faults to choose from; all, when empty."""


# nats-py leaves its socket to the garbage collector where a server goes away while it connects.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(SECONDS + 600)
async def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if ROLES:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))  # for those who watch
    planned = plan(SEED, SECONDS, FAULT_EVERY, ONLY or schedule.names(cluster=CLUSTER))
    print(f"\nseed {SEED}, {SECONDS:g} s, {len(planned)} faults; logs in {tmp_path}")
    pool = "threads" if SEED % 2 else "prefork"
    async with ClusterWorld(tmp_path, pool) if CLUSTER else World(tmp_path, pool, roles=ROLES) as world:
        try:
            await run(world, planned)
        finally:
            if world.complaints:
                print(*planned, sep="\n")
    assert not world.complaints, "\n".join(
        [
            f"{len(world.complaints)} promises were broken; "
            f"replay with: make chaos SEED={SEED} MINUTES={SECONDS / 60:g} EVERY={FAULT_EVERY:g}{' ROLES=1' * ROLES}"
            f"{' CLUSTER=1' * CLUSTER}{' ALONE=1' * ALONE}",
            *world.complaints[:20],
        ]
    )


async def run(world: World, planned: list[Planned]) -> None:
    begun = time.monotonic()
    clients: list[ChaosClient] = []
    for number in range(CLIENTS):
        twin = clients[number - CLIENTS + TWINS] if number >= CLIENTS - TWINS else None
        clients.append(ChaosClient(world, number, random.Random(f"{SEED}/client/{number}"), WISH_EVERY, twin))
    operator = Operator(world.settings, random.Random(f"{SEED}/operator"), 1.0)
    probers = [Prober(world, first) for first in range(len(world.webs))] if CLUSTER else []
    history = History()
    async with asyncio.TaskGroup() as actors, Bus(world.settings, name="chaos") as bus:
        following = actors.create_task(history.follow(bus))
        for client in clients:
            actors.create_task(client.run())
        for prober in probers:
            actors.create_task(prober.run())
        announcing = actors.create_task(operator.run())
        await asyncio.gather(inject(planned, world, clients, history, SEED, alone=ALONE), asyncio.sleep(SECONDS))
        broken = time.monotonic()
        operator.settled.set()
        for prober in probers:
            prober.settled.set()
        for client in clients:
            client.settled.set()
        await announcing
        await slots.went_on(history, world)
        await invariants.settled(bus, history, clients, world)
        settled = time.monotonic()
        await invariants.caught_up(history, clients)
        await history.read_on(bus)
        following.cancel()
        for client in clients:
            client.leave.set()
    invariants.every_job_ended_once(history, clients, world)
    invariants.every_result_is_its_jobs(history, clients, world)
    slots.each_has_one_job_or_was_missed(history, world)
    invariants.what_jobs_wrote_is_their_result(history, world)
    invariants.everybody_saw_everything(history, clients, operator, world)
    invariants.nobody_was_told_of_a_loss_without_one(history, clients, world)
    invariants.tokens_were_renewed(clients, world)
    await invariants.coming_back_shows_nothing_twice(history, clients, world)
    await invariants.nothing_grew(world)
    await invariants.everything_ends(world)
    print(_told(history, clients, world))
    if waits := sorted((wait for prober in probers for wait in prober.waits), reverse=True):
        late = sum(wait > 10 for wait, _ in waits)
        print(f"{len(waits)} probes; the longest were accepted after {waits[:4]} s, {late} after more than 10 s")
    not_done = sorted(set(schedule.names(cluster=CLUSTER)) - set(world.injected))
    print(
        f"{len(operator.acknowledged)} announcements; the last fault ended after {broken - begun:.1f} s; settled "
        f"{settled - broken:.1f} s later, {time.monotonic() - begun:.1f} s in all; {len(world.complaints)} promises "
        f"broken; not done this time: {', '.join(not_done) or 'nothing'}"
    )


def _told(history: History, clients: list[ChaosClient], world: World) -> str:
    """What happened, in figures."""
    proofs = [client.proof for client in clients if client.proof is not None]
    refused = sum((client.refused for client in clients), Counter[str]())
    figures = {
        "jobs": sum(map(bool, history.jobs.values())),
        "of them of slots": len(history.slots),
        "of them waited for their turn": history.waited,
        "pieces of output": sum(map(len, history.written.values())),
        "answers written again by another attempt": sum(map(_was_replaced, history.written.values())),
        "answers read whole while they were written": sum(client.answers.whole for client in clients),
        "connections": sum(client.connections for client in clients),
        "of them lost in the middle of an answer": sum(client.left_midway for client in clients),
        "of them closed for a token that had expired": sum(proof.expired for proof in proofs),
        "of them told of a loss": sum(len(client.losses) for client in clients),
        "tokens refreshed": sum(proof.refreshed for proof in proofs),
        "steps carried forward": history.carried,
        "events stored": history.seen,
        "of them cut": history.first_seq - 1,
        "faults": sum(world.injected[name] for name in FAULTS),
    }
    lines = [f"{number:>7} {name}" for name, number in figures.items()]
    return "\n".join([*lines, f"refused: {dict(refused)}", f"faults: {dict(world.injected)}"])


def _was_replaced(pieces: list[JobOutput]) -> bool:
    return len({piece.attempt for piece in pieces}) > 1
