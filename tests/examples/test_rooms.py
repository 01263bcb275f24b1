"""The example of rooms, served as its README says: who is in a room hears it, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.request import urlopen

import pytest

from testbed.servers import Web, wait_until
from testbed.system import System, running
from tests.clients import Client, Frame, client

COMMAND = ("hypercorn", "--workers", "0", "examples.rooms:app")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """NATS and Valkey alone: rooms have no jobs."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture(scope="module")
def rooms(system: System) -> Web:
    return system.web(*COMMAND)


@asynccontextmanager
async def visitor(web: Web, *inside: str) -> AsyncIterator[Client]:
    """A client that has joined these rooms."""
    async with client(f"ws://127.0.0.1:{web.port}/ws/rooms") as connected:
        for room in inside:
            assert await answer(connected, action="join", payload=room) == {"action": "joined", "payload": room}
        yield connected


async def answer(connected: Client, **frame: object) -> Frame:
    await connected.send(frame)
    return await connected.receive()


async def refusal(connected: Client, **frame: object) -> str:
    told = await answer(connected, **frame)
    assert told["action"] == "error"
    return str(told["payload"][0]["type"])


def rooms_heard(system: System) -> set[str]:
    """The rooms that web processes are subscribed to, as NATS says."""
    with urlopen(f"{system.nats.monitor_url}/subsz?subs=1&limit=1000", timeout=10) as told:  # noqa: S310
        subjects = [entry["subject"] for entry in json.load(told)["subscriptions_list"]]
    return {subject.removeprefix("live.group.room-") for subject in subjects if subject.startswith("live.group.room-")}


async def test_what_is_said_in_a_room_is_heard_by_those_who_are_in_it(rooms: Web) -> None:
    async with visitor(rooms, "tea") as one, visitor(rooms, "tea") as two, visitor(rooms, "coffee") as other:
        await one.send({"action": "say", "room": "tea", "payload": "ready"})
        mine, heard = await one.receive(), await two.receive()
        seq = mine.pop("seq")
        assert mine == {"action": "heard", "payload": "ready", "room": "tea", "mine": True, "group": "room-tea"}
        assert heard == {
            "action": "heard",
            "payload": "ready",
            "room": "tea",
            "mine": False,
            "seq": seq,
            "group": "room-tea",
        }
        await other.send({"action": "say", "room": "coffee", "payload": "first"})
        assert (await other.receive())["payload"] == "first"


async def test_another_process_hears_the_same_rooms(system: System, rooms: Web) -> None:
    async with visitor(rooms, "far") as here, visitor(system.web(*COMMAND), "far") as there:
        await here.send({"action": "say", "room": "far", "payload": "hello"})
        assert (await there.receive())["payload"] == "hello"


async def test_who_has_left_hears_nothing_more(rooms: Web) -> None:
    async with visitor(rooms, "left", "kept") as leaver, visitor(rooms, "left") as stayer:
        assert await answer(leaver, action="leave", payload="left") == {"action": "left", "payload": "left"}
        await stayer.send({"action": "say", "room": "left", "payload": "gone?"})
        assert (await stayer.receive())["payload"] == "gone?"
        await leaver.send({"action": "say", "room": "kept", "payload": "here"})
        assert (await leaver.receive())["payload"] == "here"


async def test_joining_twice_is_joining_once(rooms: Web) -> None:
    async with visitor(rooms, "twice", "twice") as connected:
        await connected.send({"action": "say", "room": "twice", "payload": "once"})
        assert (await connected.receive())["payload"] == "once"
        assert (await answer(connected, action="leave", payload="twice"))["action"] == "left"
        assert await refusal(connected, action="leave", payload="twice") == "not_joined"


async def test_a_sixth_room_is_refused_until_one_is_left(rooms: Web) -> None:
    async with visitor(rooms, *(f"room{number}" for number in range(5))) as connected:
        assert await refusal(connected, action="join", payload="room5") == "too_many_groups"
        await answer(connected, action="leave", payload="room0")
        assert (await answer(connected, action="join", payload="room5"))["action"] == "joined"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ({"action": "say", "room": "elsewhere", "payload": "hi"}, "not_joined"),
        ({"action": "leave", "payload": "elsewhere"}, "not_joined"),
        ({"action": "join", "payload": "a.b"}, "string_pattern_mismatch"),
        ({"action": "join", "payload": "x\n"}, "string_pattern_mismatch"),
    ],
)
async def test_what_cannot_be_done_in_a_room_is_refused(rooms: Web, frame: Frame, kind: str) -> None:
    async with visitor(rooms) as connected:
        assert await refusal(connected, **frame) == kind


async def test_a_process_is_subscribed_to_the_rooms_of_its_clients_alone(system: System, rooms: Web) -> None:
    async with visitor(rooms, "shared", "own") as one:
        async with visitor(rooms, "shared"):
            assert {"shared", "own"} <= rooms_heard(system)
            for room in ("shared", "own"):
                await answer(one, action="leave", payload=room)
            wait_until(lambda: "own" not in rooms_heard(system), "end of the subscription to a room that was left")
            assert "shared" in rooms_heard(system)
        wait_until(lambda: "shared" not in rooms_heard(system), "end of the subscription of a client that has gone")


async def test_what_was_said_before_one_came_is_not_replayed(rooms: Web) -> None:
    async with visitor(rooms, "past") as early:
        await early.send({"action": "say", "room": "past", "payload": "before"})
        await early.receive()
        async with visitor(rooms, "past") as late:
            await early.send({"action": "say", "room": "past", "payload": "after"})
            assert (await late.receive())["payload"] == "after"


async def test_while_nats_is_away_nobody_joins_and_members_stay(fresh: System) -> None:
    web = fresh.web(*COMMAND)
    async with visitor(web, "stays") as member:
        fresh.nats.stop()
        assert await refusal(member, action="join", payload="new") == "bus_unavailable"
        fresh.nats.start()
        wait_until(lambda: "stays" in rooms_heard(fresh), "subscription that came back")
        assert "new" not in rooms_heard(fresh)
        assert (await answer(member, action="join", payload="new"))["action"] == "joined"
        for room in ("stays", "new"):
            await member.send({"action": "say", "room": room, "payload": room})
            assert (await member.receive())["payload"] == room
