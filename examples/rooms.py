"""Rooms: clients join and leave them, and hear what is said in those that they are in.

    hypercorn --bind 127.0.0.1:8001 examples.rooms:app

A room is a group of the bus, `room-` and its name, and exists while somebody is in it. What is said is an event:
every web process hears it, whatever process the room's members are connected to.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bus.messages import ClientMessage, Event, Message, Reply
from quart_app import create_app
from quart_app.asgi import LazyApp
from quart_app.channel import Channel, channel, event_handler, ws_handler
from quart_app.errors import Refused
from quart_app.identity.identity import Identity

Room = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,32}$", examples=["kitchen"])]
Text = Annotated[str, Field(min_length=1, max_length=1000, examples=["tea is ready"])]


class Join(ClientMessage):
    """Enter a room."""

    action: Literal["join"] = "join"
    payload: Room


class Leave(ClientMessage):
    """Leave a room."""

    action: Literal["leave"] = "leave"
    payload: Room


class Say(ClientMessage):
    """Say something to everybody in a room."""

    action: Literal["say"] = "say"
    room: Room
    payload: Text


class Joined(Reply):
    """The client is in the room: it hears everything that is said from now on."""

    action: Literal["joined"] = "joined"
    payload: Room


class Left(Reply):
    """The client is in the room no longer."""

    action: Literal["left"] = "left"
    payload: Room


class Said(Event):
    """Somebody said something. Stored; clients are shown `heard`, which does not name the author's client id."""

    action: Literal["said"] = "said"
    payload: Text
    author: str


class Heard(Message):
    """Something was said in a room."""

    action: Literal["heard"] = "heard"
    payload: Text
    room: Room
    mine: bool = Field(description="Whether this client said it.")
    seq: int = Field(description="Its sequence in the stream; larger is later.", examples=[42])


@channel("/ws/rooms", name="rooms")
class RoomsChannel(Channel):
    """Rooms to talk in."""

    most_groups = 5

    def may_join(self, identity: Identity, group: str) -> bool:
        """Rooms are open to everybody; other groups, which a token may list, are not for here."""
        return group.startswith(PREFIX)

    @ws_handler
    async def enter(self, message: Join) -> Joined:
        """Let the client into a room. It is in five at most, and has to enter again after a reconnect."""
        await self.join(_group(message.payload))
        return Joined(payload=message.payload)

    @ws_handler
    async def go(self, message: Leave) -> Left:
        """Let the client out of a room."""
        await self.leave(_group(message.payload))
        return Left(payload=message.payload)

    @ws_handler(output_type=Heard)
    async def say(self, message: Say) -> None:
        """Tell everybody in a room that the client is in. The client hears it too, once it is stored."""
        if _group(message.room) not in self.joined:
            raise Refused("not_joined", f"join {message.room!r} first")
        said = Said(payload=message.payload, author=self.client_id)
        await self.services.bus.broadcast_event(said, groups=[_group(message.room)])

    @event_handler
    async def said(self, event: Said) -> Heard | None:
        """Show each client what was said as it concerns that client."""
        if event.group is None or event.seq is None:
            return None  # it was not said in a room
        room = event.group.removeprefix(PREFIX)
        return Heard(payload=event.payload, room=room, mine=event.author == self.client_id, seq=event.seq)


PREFIX = "room-"


def _group(room: str) -> str:
    return PREFIX + room


app = LazyApp(lambda: create_app(channels=[RoomsChannel]))
