"""The groups that one connection has joined, besides those that every connection of its channel is in."""

from __future__ import annotations

from bus import BusUnavailable
from quart_app.delivery.hub import Hub, HubMember
from quart_app.errors import Refused


class Membership:
    """What a connection has joined and not left.

    Args:
        hub: which connections hear what.
        connection: whose groups these are.
    """

    __slots__ = ("_connection", "_hub", "joined")

    def __init__(self, hub: Hub, connection: HubMember) -> None:
        self.joined: frozenset[str] = frozenset()
        """The groups' names."""
        self._hub = hub
        self._connection = connection

    async def join(self, group: str, *, most: int) -> None:
        """Get the events of a group from now on. In a group that the connection is in already, nothing changes.

        Args:
            most: how many may be joined.

        Raises:
            Refused: so many are joined already.
            BusUnavailable: NATS is away; nothing was joined.
        """
        if group in self._connection.groups:
            return
        if len(self.joined) >= most:
            raise Refused("too_many_groups", f"{most} groups are joined, and no more may be; leave one first")
        self.joined |= {group}  # before anything waits: so that a connection that ends meanwhile leaves it
        try:
            if not await self._hub.join(self._connection, group):
                raise BusUnavailable("NATS is away; join again when it is back")
        except BaseException:
            await self.leave(group)
            raise

    async def leave(self, group: str) -> bool:
        """Get its events no longer. Returns False when it was not joined."""
        if group not in self.joined:
            return False
        self.joined -= {group}
        await self._hub.leave(self._connection, group)
        return True
