"""This process's connections and feeds: event in, frames out.

Each client with a connection here has one feed, each group one per process. An event is parsed and encoded once,
whatever the number of connections that get it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import structlog
from pydantic import ValidationError
from pydantic_core import from_json

from bus import Bus, BusUnavailable, Stored, StreamState, subjects
from bus.messages import Event, JobEvent, JobProgress, Message
from quart_app.close_codes import SERVICE_RESTART, CloseCode
from quart_app.connection import Connection
from quart_app.feed import Feed

log = structlog.get_logger(__name__)

CLIENT = "client"
"""The scope of a client's own events; a group's scope is its name."""

REFILLS_AT_ONCE = 32
REFILL_RETRY = 0.5
"""Seconds before feeds that could not be refilled are tried again."""


class Hub:
    """Routes stored events to connections. One task refills the feeds that have fallen behind.

    Args:
        bus: the process's bus.
        events: every event class that a channel of this app handles, by action.
    """

    def __init__(self, bus: Bus, events: Mapping[str, type[Message]]) -> None:
        self.bus = bus
        self._events = events
        self._clients: dict[str, Feed] = {}
        self._groups: dict[str, Feed] = {}
        self._behind: set[Feed] = set()
        self._wake = asyncio.Event()
        self._departed = asyncio.Event()
        self._epoch = ""
        self._asking: asyncio.Task[StreamState] | None = None
        self._refiller: asyncio.Task[None] | None = None
        self.dropped = 0
        """Bus messages that were no event this app knows."""

    def __len__(self) -> int:
        return sum(len(feed.members) for feed in self._clients.values())

    def __iter__(self) -> Iterator[Connection]:
        return iter([connection for feed in self._clients.values() for connection in feed.members])

    async def start(self, groups: Iterable[str]) -> None:
        """Subscribe once to each group, and begin to refill.

        Raises:
            BusUnavailable: NATS does not confirm it.
        """
        state = await self.bus.stream.state()
        self._epoch = state.epoch
        for group in groups:
            self._groups[group] = Feed(self.bus, group, subjects.group(group), self._pass_on, self._report)
            await self._groups[group].open(state.last_seq)
        await self.bus.confirm_subscriptions()
        self._refiller = asyncio.create_task(self._refill(), name="refill")

    async def stop(self) -> None:
        """End the hub's own task."""
        if self._refiller is not None:
            self._refiller.cancel()
            await asyncio.gather(self._refiller, return_exceptions=True)

    async def attach(self, connection: Connection) -> None:
        """From now on the connection gets its client's events and those of its channel's groups.

        Raises:
            BusUnavailable: the bus is closed.
        """
        for group in connection.channel.groups:
            self._groups[group].members.add(connection)
        client_id = connection.client_id
        feed = self._clients.get(client_id)
        if feed is None:
            feed = Feed(self.bus, CLIENT, subjects.client(client_id), self._pass_on, self._report)
            self._clients[client_id] = feed
        feed.members.add(connection)
        await feed.opened(self._last_seq)

    async def detach(self, connection: Connection) -> None:
        """The connection is gone. Safe to call when `attach` failed half-way."""
        for group in connection.channel.groups:
            self._groups[group].members.discard(connection)
        feed = self._clients.get(connection.client_id)
        if feed is not None:
            feed.members.discard(connection)
            if not feed.members:
                del self._clients[connection.client_id]
                self._behind.discard(feed)
                self._departed.set()
                await feed.close()

    def follows(self, connection: Connection) -> bool:
        """Whether it is known since when this process hears the events of the connection's client."""
        feed = self._clients.get(connection.client_id)
        return feed is not None and feed.begun

    def scopes(self, connection: Connection) -> dict[str, str]:
        """The subject behind each scope of a connection, by scope."""
        own = {CLIENT: subjects.client(connection.client_id)}
        return own | {group: subjects.group(group) for group in connection.channel.groups}

    def close_all(self, code: CloseCode) -> None:
        """Ask every connection to close."""
        for connection in self:
            connection.close(code)

    async def empty(self) -> None:
        """Return when no connection is left."""
        while self._clients:
            self._departed.clear()
            await self._departed.wait()

    async def state(self) -> StreamState:
        """What the stream holds. Callers at the same moment share one request.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.bus.stream.state())
        return await asyncio.shield(self._asking)

    def on_gap(self) -> None:
        """Live events may have been missed: every feed is refilled."""
        for feed in (*self._groups.values(), *self._clients.values()):
            feed.fall_behind()

    def read(self, stored: Stored) -> Event | None:
        """The event behind a bus message; None, logged and counted, when it is none."""
        address = subjects.parse(stored.subject) or subjects.Address()
        try:
            fields = from_json(stored.data, allow_inf_nan=False)
            kind = self._events.get(fields["action"])
            if kind is None or not issubclass(kind, Event):
                return None  # another program's event, or one that only newer servers know
            if issubclass(kind, JobEvent) != (address.job_id is not None) or (
                issubclass(kind, JobProgress) != address.progress
            ):
                raise ValueError(f"{fields['action']} does not belong on {stored.subject}")
            fields |= {"seq": stored.seq or None, "group": address.group}
            if address.job_id is not None:
                fields["job_id"] = address.job_id
            return kind.model_validate(fields)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            self.dropped += 1
            log.warning(
                "dropped a bus message that is no event", subject=stored.subject, seq=stored.seq, error=str(error)
            )
            return None

    def _pass_on(self, feed: Feed, stored: Stored) -> None:
        event = self.read(stored)
        if event is not None:
            frame = event.encode()
            for connection in feed.members:
                connection.deliver(feed.scope, stored.seq, event, frame)

    def _report(self, feed: Feed) -> None:
        self._behind.add(feed)
        self._wake.set()

    async def _last_seq(self) -> int | None:
        try:
            return (await self.state()).last_seq
        except BusUnavailable:
            return None

    async def _refill(self) -> None:
        slots = asyncio.Semaphore(REFILLS_AT_ONCE)

        async def refill(feed: Feed, last_seq: int) -> None:
            async with slots:
                await feed.refill(last_seq)

        while True:
            await self._wake.wait()
            if not self.bus.connected:
                await asyncio.sleep(REFILL_RETRY)
                continue
            self._wake.clear()
            feeds, self._behind = self._behind, set()
            try:
                state = await self.bus.stream.state()
                if state.epoch != self._epoch:
                    self._begin_anew(state)
                results = await asyncio.gather(
                    *(refill(feed, state.last_seq) for feed in feeds), return_exceptions=True
                )
            except BusUnavailable as error:
                results = [error] * len(feeds)
            failed = [feed for feed, result in zip(feeds, results, strict=True) if result is not None]
            if failed:
                reason = next(result for result in results if result is not None)
                log.warning("could not read what was missed; trying again", feeds=len(failed), error=str(reason))
                await asyncio.sleep(REFILL_RETRY)
                self._behind.update(feed for feed in failed if feed.members or feed.scope in self._groups)
                self._wake.set()

    def _begin_anew(self, state: StreamState) -> None:
        # Sequences of another stream mean nothing. Clients come back and are told that history was cut.
        log.warning("the stream was made anew; every client has to reconnect", was=self._epoch, now=state.epoch)
        self._epoch = state.epoch
        for feed in (*self._groups.values(), *self._clients.values()):
            feed.begin_anew()
        self.close_all(SERVICE_RESTART)
