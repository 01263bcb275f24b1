"""The channel: clients join rooms, and hear what is said in those that they are in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from busctl import Channel, ClientMessage, Event, Identity, Refused, Reply, channel, ws_handler

Room = Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$", examples=["kitchen"])]
Text = Annotated[str, Field(min_length=1, max_length=1000, examples=["tea is ready"])]


class Join(ClientMessage):
    """Enter a room."""

    action: Literal["join"] = "join"
    payload: Room


class Joined(Reply):
    """The client is in the room."""

    action: Literal["joined"] = "joined"
    payload: Room


class Say(ClientMessage):
    """Say something to everybody in a room."""

    action: Literal["say"] = "say"
    room: Room
    payload: Text


class Said(Event):
    """Somebody in the room said something."""

    action: Literal["said"] = "said"
    room: Room
    payload: Text


@channel("/ws/rooms", name="rooms")
class Rooms(Channel):
    """Rooms to talk in."""

    passthrough_events = (Said,)
    most_groups = 5

    def may_join(self, identity: Identity, group: str) -> bool:
        """Rooms are open to everybody."""
        return group.startswith("room-")

    @ws_handler
    async def enter(self, message: Join) -> Joined:
        """Let the client into a room."""
        await self.join(f"room-{message.payload}")
        return Joined(payload=message.payload)

    @ws_handler(output_type=Said)
    async def say(self, message: Say) -> None:
        """Tell everybody in a room; the client hears it too, once it is stored."""
        group = f"room-{message.room}"
        if group not in self.joined:
            raise Refused("not_joined", f"join {message.room!r} first")
        await self.services.bus.broadcast_event(Said(room=message.room, payload=message.payload), groups=[group])
