"""What goes wrong between hosts, and with whole hosts: each fault one function, for a cluster alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from testbed.cluster import HOSTS, REDIS, Member
from tests.chaos.cluster_world import ClusterWorld
from tests.chaos.schedule import Scene, fault

SHORTEST, LONGEST = 3.0, 14.0
"""Seconds for which something is cut off: less and more than NATS takes to choose another leader."""


def world_of(scene: Scene) -> ClusterWorld:
    """The cluster that a fault of this file happens to."""
    assert isinstance(scene.world, ClusterWorld)
    return scene.world


async def leader_of(scene: Scene) -> Member:
    """The server that leads the stream; any one when none does."""
    cluster = world_of(scene).cluster
    leader = await asyncio.to_thread(cluster.stream_leader)
    return leader or scene.rng.choice(list(cluster.members.values()))


async def for_a_while(scene: Scene) -> None:
    """Leave it as it is for some seconds; then mend it."""
    await asyncio.sleep(scene.rng.uniform(SHORTEST, LONGEST))
    await world_of(scene).make_whole()


@fault("cluster", 4)
async def leader_killed(scene: Scene) -> None:
    """kill -9 for the server that leads the stream."""
    leader = await leader_of(scene)
    await asyncio.to_thread(leader.kill)
    await asyncio.sleep(scene.rng.uniform(SHORTEST, LONGEST))
    await world_of(scene).make_whole(leader)


@fault("cluster", 3)
async def leader_frozen(scene: Scene) -> None:
    """SIGSTOP for the server that leads the stream."""
    leader = await leader_of(scene)
    leader.pause()
    await asyncio.sleep(scene.rng.uniform(SHORTEST, LONGEST))
    leader.resume()
    await world_of(scene).make_whole()


@fault("cluster", 3)
async def member_killed(scene: Scene) -> None:
    """kill -9 for any NATS server."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, LONGEST))
    await world_of(scene).make_whole(scene.server)


@fault("cluster", 2)
async def member_frozen(scene: Scene) -> None:
    """SIGSTOP for any NATS server."""
    scene.server.pause()
    await asyncio.sleep(scene.rng.uniform(SHORTEST, LONGEST))
    scene.server.resume()
    await world_of(scene).make_whole()


@fault("cluster", 4)
async def host_of_the_leader_cut_off(scene: Scene) -> None:
    """Nothing gets to the leader's host or away from it: its clients are a minority with it."""
    world_of(scene).cluster.isolate((await leader_of(scene)).at)
    await for_a_while(scene)


@fault("cluster", 3)
async def host_cut_off(scene: Scene) -> None:
    """The same for any host."""
    world_of(scene).cluster.isolate(_host(scene))
    await for_a_while(scene)


@fault("cluster", 4)
async def leader_parted_from_the_others(scene: Scene) -> None:
    """The leader hears no other server, and none hears it; every client reaches all three."""
    world_of(scene).cluster.part((await leader_of(scene)).at)
    await for_a_while(scene)


@fault("cluster", 2)
async def member_parted_from_the_others(scene: Scene) -> None:
    """The same for any server."""
    world_of(scene).cluster.part(_host(scene))
    await for_a_while(scene)


@fault("cluster", 2)
async def host_muted(scene: Scene) -> None:
    """What a host says arrives nowhere; it hears the others."""
    world_of(scene).cluster.mute(_host(scene))
    await for_a_while(scene)


@fault("cluster", 2)
async def host_deafened(scene: Scene) -> None:
    """A host hears nothing; what it says arrives."""
    world_of(scene).cluster.deafen(_host(scene))
    await for_a_while(scene)


@fault("cluster", 3)
async def redis_cut_off(scene: Scene) -> None:
    """Redis hears nobody, and nobody hears it, without a word: as when its host loses power for a while."""
    world_of(scene).cluster.isolate(REDIS)
    await for_a_while(scene)


@fault("cluster", 2)
async def one_way_of_one_link_cut(scene: Scene) -> None:
    """Of two servers one does not hear the other any more."""
    source, target = scene.rng.sample(list(HOSTS), 2)
    world_of(scene).cluster.network.cut(f"nats-{source}", f"nats-{target}")
    await for_a_while(scene)


@fault("cluster", 4)
async def host_killed(scene: Scene) -> None:
    """kill -9 for all that is on a host, at once: NATS, and on two of the three a web process and a worker."""
    world = world_of(scene)
    host = _host(scene)
    beside = world.beside(host)
    async with AsyncExitStack() as stack:
        for server in beside:
            await stack.enter_async_context(world.lock(server))
        await asyncio.to_thread(world.cluster.kill, host)
        await asyncio.sleep(scene.rng.uniform(SHORTEST, LONGEST))
        await world.make_whole(world.cluster.members[host], *beside)


def _host(scene: Scene) -> str:
    return scene.rng.choice(list(HOSTS))
