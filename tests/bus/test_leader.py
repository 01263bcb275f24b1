"""One leader at a time, and another soon when it is gone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from bus import Bus, Settings, leases
from bus.leader import Leader

INTERVAL = 0.2


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@pytest.fixture
def name() -> str:
    """A lease that no other test wants."""
    return f"lease-{secrets.token_hex(4)}"


async def leads(leader: Leader, bus: Bus) -> None:
    """Wait until it does."""
    async with asyncio.timeout(20):
        while not leader.leads:
            await leader.look(bus)
            await asyncio.sleep(0.02)


async def test_of_several_that_want_a_lease_one_leads(bus: Bus, name: str) -> None:
    leaders = [Leader(name, 60) for _ in range(5)]
    for _ in range(3):
        await asyncio.gather(*(leader.look(bus) for leader in leaders))
    assert sum(leader.leads for leader in leaders) == 1


async def test_when_a_leader_resigns_another_leads_at_its_next_look(bus: Bus, name: str) -> None:
    one, two = Leader(name, 60), Leader(name, 60)
    await one.look(bus)
    await two.look(bus)
    await one.end(bus)
    await two.look(bus)
    assert (one.leads, two.leads) == (False, True)


async def test_a_leader_that_does_not_renew_is_replaced_and_notices(bus: Bus, name: str) -> None:
    dead, alive = Leader(name, INTERVAL), Leader(name, INTERVAL)
    await dead.look(bus)
    await leads(alive, bus)
    await dead.look(bus)
    assert (dead.leads, alive.leads) == (False, True)


async def test_a_leader_whose_lease_expired_leads_again(bus: Bus, name: str) -> None:
    leader = Leader(name, 60)
    await leader.look(bus)
    await leases.give_up(bus, name)  # as when its entry is gone
    await leader.look(bus)
    assert leader.leads


async def test_a_leader_renews_by_itself_until_it_ends(bus: Bus, name: str) -> None:
    one, two = Leader(name, INTERVAL), Leader(name, INTERVAL)
    await one.begin(bus)
    await leads(one, bus)
    first, _ = await leases.get(bus, name)
    await two.begin(bus)
    async with asyncio.timeout(20):
        while (await leases.get(bus, name))[0] < first + 3:
            await asyncio.sleep(0.02)
    await one.end(bus)
    async with asyncio.timeout(20):
        while not two.leads:
            await asyncio.sleep(0.02)
    await two.end(bus)
    assert (await leases.get(bus, name))[1] is None
