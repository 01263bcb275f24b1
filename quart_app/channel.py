"""Channels: a class is one WebSocket endpoint, its methods are operations.

    @channel("/ws/echo", name="echo")
    class EchoChannel(Channel):
        \"\"\"Repeats what it is told.\"\"\"

        @ws_handler
        async def echo(self, message: Say) -> Said:
            \"\"\"Say it again.\"\"\"
            return Said(payload=message.payload)

Routing follows the annotated message type, documentation the docstrings. Channel, operation and message mean
what AsyncAPI 3.1 means by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from bus import InvalidName, subjects
from bus.messages import MOST_SCOPES, Event, Message
from quart_app.errors import ChannelDefinitionError, Refused
from quart_app.identity.identity import Identity
from quart_app.operations import Operation, event_handler, operations_of, ws_handler

if TYPE_CHECKING:
    from quart_app.services import ChannelConnection, Services

C = TypeVar("C", bound="type[Channel]")

CLIENT = "client"
"""The scope of a client's own events; a group's scope is its name."""


def channel(path: str, *, name: str) -> Callable[[C], C]:
    """Give a `Channel` class its address and its name. A trailing slash is accepted in addition.

    Raises:
        ChannelDefinitionError: the path does not begin with a slash.
    """
    if not path.startswith("/"):
        raise ChannelDefinitionError(f"channel path {path!r} must begin with '/'")

    def decorate(cls: C) -> C:
        cls.path = path.rstrip("/") or "/"
        cls.name = name
        return cls

    return decorate


class Channel:
    """One WebSocket endpoint. One instance serves one connection.

    Class attributes to set:
        groups: groups every connection joins.
        passthrough_events: events that go to the client as they are.
        most_groups: how many groups one connection may `join` at a time; with `groups` 63 at most, because a client
            that comes back can say of so many what it has seen. Those that a token lists count too.
    """

    path: ClassVar[str]
    name: ClassVar[str]
    groups: ClassVar[tuple[str, ...]] = ()
    passthrough_events: ClassVar[tuple[type[Event], ...]] = ()
    most_groups: ClassVar[int] = 20

    receives: ClassVar[Mapping[str, Operation]] = MappingProxyType({})
    """What clients may send, by action. Made from the `@ws_handler` methods."""
    events: ClassVar[Mapping[str, Operation]] = MappingProxyType({})
    """What comes from the bus, by action. Made from `@event_handler` methods and `passthrough_events`."""

    def __init__(self, connection: ChannelConnection, services: Services) -> None:
        self.connection = connection
        self.services = services

    @property
    def client_id(self) -> str:
        """Whose connection this is."""
        return self.connection.client_id

    @property
    def identity(self) -> Identity:
        """Who that is, as far as it was proved. Another one of the same user once a newer token has come."""
        return self.connection.identity

    @property
    def joined(self) -> Collection[str]:
        """The groups that this connection has joined and not left."""
        return self.connection.membership.joined

    def may_connect(self) -> bool:
        """Whether this client may use this channel. Override it to decide otherwise; it must not wait.

        It is asked once the client has said who it is, and again when a newer token comes. A client that may not is
        answered with 403, or with `bus.v1` closed with 4403.
        """
        return True

    def send(self, message: Message, *, ref: str | None = None) -> None:
        """Send a message to this client, besides what handlers return. Never waits."""
        self.connection.send(message.encode(ref=ref) if ref is not None else message.encode())

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Do something beside, until the connection ends: then it is cancelled, and has to end soon.

        Args:
            work: what to do. What it raises is logged, and nobody else is disturbed.
            name: of its task.

        Returns:
            Its task, or None when the connection has ended already.
        """
        return self.connection.start(work, name)

    def may_join(self, identity: Identity, group: str) -> bool:
        """Whether a client may be in a group. Override it to decide otherwise; it must not wait.

        It is asked for each `join`, for each group that a token lists, which the connection then joins by itself, and
        again for every joined group when a newer token comes. By default somebody anonymous may join whatever a handler
        says, and a user what the user's token lists. `groups` are everybody's.

        Args:
            identity: who wants to join.
            group: a name that a group can have.
        """
        return identity.user is None or group in identity.groups

    async def join(self, group: str) -> None:
        """Get the events of one more group on this connection, from now on until `leave` or the connection's end.

        When this returns, NATS has confirmed that this process hears the group. Joining twice is joining once. Nobody
        remembers it for a client that is away: one that comes back joins again, and is not sent what was stored in
        between; only `groups` and the client's own events are replayed.

        Args:
            group: 1 to 64 letters, digits, '-' or '_'.

        Raises:
            Refused: `most_groups` are joined already, `may_join` says no, or it cannot be a group's name.
            BusUnavailable: NATS is away; nothing was joined.
        """
        if (wrong := _wrong_with(group)) is not None:
            raise Refused("bad_group", wrong)
        if not self.may_join(self.identity, group):
            raise Refused("not_allowed", f"this client may not join {group!r}")
        await self.connection.membership.join(group, most=self.most_groups)

    async def leave(self, group: str) -> None:
        """Get the events of a joined group no longer. One that is on its way already may still be shown.

        Raises:
            Refused: this connection has not joined it; every connection is in `groups` for good.
        """
        if not await self.connection.membership.leave(group):
            raise Refused("not_joined", f"{group!r} is not among the groups that this connection has joined")

    def __init_subclass__(cls) -> None:
        receives, events = operations_of(cls, cls.passthrough_events)
        for group in cls.groups:
            if (wrong := _wrong_with(group)) is not None:
                raise ChannelDefinitionError(f"{cls.__name__}.groups: {wrong}")
        if (groups := len(cls.groups) + cls.most_groups) >= MOST_SCOPES:
            raise ChannelDefinitionError(
                f"{cls.__name__} lets a connection be in {groups} groups, {len(cls.groups)} of its own and "
                f"{cls.most_groups} more (most_groups): {MOST_SCOPES - 1} are the most of which a client can say what "
                "it has seen"
            )
        cls.receives = MappingProxyType(receives)
        cls.events = MappingProxyType(events)


def _wrong_with(group: str) -> str | None:
    if group == CLIENT:
        return f"{CLIENT!r} is the scope of a client's own events: call the group otherwise"
    try:
        subjects.token("group", group)
    except InvalidName as error:
        return str(error)
    return None


__all__ = [
    "Channel",
    "ChannelDefinitionError",
    "channel",
    "event_handler",
    "ws_handler",
]
