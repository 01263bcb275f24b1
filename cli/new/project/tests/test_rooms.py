"""The channel, spoken to in frames."""

from __future__ import annotations

from busctl.testing import Communicators

ROOMS = "/ws/rooms"


async def test_who_is_in_a_room_hears_what_is_said_there(communicator: Communicators) -> None:
    async with communicator(ROOMS) as ann, communicator(ROOMS) as bob, communicator(ROOMS) as eve:
        for client in (ann, bob):
            await client.send({"action": "join", "payload": "kitchen"})
            assert (await client.receive())["action"] == "joined"
        await ann.send({"action": "say", "room": "kitchen", "payload": "tea is ready"})
        for client in (ann, bob):
            heard = await client.receive()
            assert (heard["action"], heard["payload"]) == ("said", "tea is ready")
        assert await eve.nothing()


async def test_nobody_speaks_in_a_room_from_outside(communicator: Communicators) -> None:
    async with communicator(ROOMS) as client:
        await client.send({"action": "say", "room": "kitchen", "payload": "hello"})
        assert (await client.receive())["payload"][0]["type"] == "not_joined"
