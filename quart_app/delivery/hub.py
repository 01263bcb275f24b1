"""Which connections of this process hear which feed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from bus import Bus, subjects
from quart_app.channel import CLIENT
from quart_app.close_codes import SERVICE_RESTART, CloseCode
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.fan_out import FanOut, Member
from quart_app.delivery.feed import Feed
from quart_app.delivery.stream_end import StreamEnd

NOBODY = "nobody"
"""The id of no client."""


class HubMember(Member, Protocol):
    """A connection, as the hub sees it."""

    @property
    def client_id(self) -> str:
        """Whose it is."""

    @property
    def groups(self) -> Collection[str]:
        """The groups that it is in."""

    @property
    def v1(self) -> bool:
        """Whether it speaks `bus.v1`, and so is shown progress."""


class Hub:
    """The registry of this process: one feed for each client with a connection here, and one for each group.

    Args:
        bus: the process's bus.
        end: how far the stream reaches.
        parser: makes events of bus messages.
        fan_out: delivers what the feeds hear.
        behind: where feeds wait that have to be refilled.
    """

    def __init__(
        self, bus: Bus, end: StreamEnd, parser: EventParser, fan_out: FanOut, behind: asyncio.Queue[Feed]
    ) -> None:
        self._bus = bus
        self._end = end
        self._parser = parser
        self._fan_out = fan_out
        self._behind = behind
        self._clients: dict[str, Feed] = {}
        self._groups: dict[str, Feed] = {}
        self._kept: frozenset[str] = frozenset()
        """Groups whose feeds stay open though nobody is in them."""

    def __iter__(self) -> Iterator[Member]:
        return iter([member for feed in self._clients.values() for member in feed.members])

    async def open_groups(self, groups: Iterable[str], cursor: int) -> None:
        """Subscribe once to each group.

        Args:
            cursor: the stream's last sequence.

        Raises:
            BusUnavailable: NATS does not confirm it.
        """
        self._kept = frozenset(groups)
        for group in self._kept:
            self._groups[group] = self._feed(group, subjects.group(group))
            await self._groups[group].open(cursor)
        # Nobody's, and kept: whether NATS lets this process hear what its clients need shows before one comes.
        await self._bus.subscribe(subjects.client(NOBODY), lambda stored: None)
        await self._bus.confirm_subscriptions()

    async def attach(self, member: HubMember, *, fresh: bool) -> None:
        """From now on the member gets its client's events and those of its groups.

        Args:
            fresh: the client's id was made just now, so that it cannot have an event that is older.

        Raises:
            BusUnavailable: the bus is closed.
        """
        for group in member.groups:
            self._groups[group].members[member] = None
        client_id = member.client_id
        feed = self._clients.get(client_id)
        if feed is None:
            feed = self._clients[client_id] = self._feed(CLIENT, subjects.client(client_id), client_id)
        feed.members[member] = None
        feed.shows_progress |= member.v1
        await feed.ensure_open(fresh=fresh)
        if not fresh and feed.shows_progress:
            feed.follow_progress()  # one of its jobs may be running

    async def detach(self, member: HubMember) -> None:
        """The member is gone. Safe to call when `attach` failed half-way."""
        for group in member.groups:
            await self.leave(member, group)
        feed = self._clients.get(member.client_id)
        if feed is not None:
            feed.members.pop(member, None)
            if not feed.members:
                del self._clients[member.client_id]
                await feed.close()

    async def join(self, member: HubMember, group: str) -> bool:
        """From now on an attached member gets the events of one more group, whose feed the first one opens.

        Args:
            group: the group's name, among `member.groups` already.

        Returns:
            False when it is not known since when this process hears the group, because NATS was away. Then `leave`.

        Raises:
            BusUnavailable: NATS does not confirm that it takes the subscription.
        """
        client = self._clients.get(member.client_id)
        if client is None or member not in client.members:
            return False  # it has gone, and nothing would be left for it
        feed = self._groups.get(group)
        if feed is None:
            feed = self._groups[group] = self._feed(group, subjects.group(group))
        feed.members[member] = None
        await feed.ensure_open(fresh=False)
        await self._bus.confirm_subscriptions()
        return feed.begun

    async def leave(self, member: HubMember, group: str) -> None:
        """The member gets the events of a group no longer. The last one of a group that was joined closes its feed."""
        feed = self._groups.get(group)
        if feed is None:
            return
        feed.members.pop(member, None)
        if not feed.members and group not in self._kept:
            del self._groups[group]
            await feed.close()

    def number_of(self, client_id: str) -> int:
        """How many connections this client has here."""
        feed = self._clients.get(client_id)
        return 0 if feed is None else len(feed.members)

    def follows(self, member: HubMember) -> bool:
        """Whether it is known since when this process hears the events of the member's client."""
        feed = self._clients.get(member.client_id)
        return feed is not None and feed.begun

    def close_all(self, code: CloseCode) -> None:
        """Ask every connection to close."""
        for member in self:
            member.close(code)

    def on_gap(self) -> None:
        """Live events may have been missed: every feed has to be refilled."""
        for feed in self._feeds():
            feed.fall_behind()

    def begin_anew(self) -> None:
        """The stream is another one, so that no sequence means anything: clients come back and are told so."""
        for feed in self._feeds():
            feed.begin_anew()
        self.close_all(SERVICE_RESTART)

    def _feeds(self) -> Iterator[Feed]:
        return iter((*self._groups.values(), *self._clients.values()))

    def _feed(self, scope: str, subject: str, client_id: str | None = None) -> Feed:
        return Feed(
            self._bus,
            self._end,
            scope,
            subject,
            parser=self._parser,
            fan_out=self._fan_out,
            behind=self._behind,
            client_id=client_id,
        )
