"""This process's connections and feeds: event in, frames out.

Each client with a connection here has one feed, each group one per process. An event is parsed and encoded once,
whatever the number of connections that get it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import structlog
from pydantic import ValidationError
from pydantic_core import from_json

from bus import Bus, BusUnavailable, Stored, StreamState, subjects
from bus.messages import Event, JobEvent, JobProgress, Message
from quart_app.batch import Batch
from quart_app.close_codes import SERVICE_RESTART, CloseCode
from quart_app.connection import Connection
from quart_app.feed import CLIENT, Feed
from quart_app.metrics import Metrics

log = structlog.get_logger(__name__)

NOBODY = "nobody"
"""The id of no client."""

REFILLS_AT_ONCE = 32
REPLAYS_AT_ONCE = 16
"""More at once would take NATS past the deadline of each, when all clients of a process that stopped come here."""
DELIVERIES_IN_A_ROW = 500
"""After so many, about 5 ms, other tasks get a turn."""
REFILL_RETRY = 0.5
"""Seconds before feeds that could not be refilled are tried again."""


class Hub:
    """Routes stored events to connections. One task refills the feeds that have fallen behind.

    Args:
        bus: the process's bus.
        events: every event class that a channel of this app handles, by action.
        metrics: where events are counted.
    """

    def __init__(self, bus: Bus, events: Mapping[str, type[Message]], metrics: Metrics) -> None:
        self.bus = bus
        self._metrics = metrics
        self._events = events
        self._clients: dict[str, Feed] = {}
        self._groups: dict[str, Feed] = {}
        self._filled: deque[tuple[Feed, Batch]] = deque()
        """What is to be handed out next."""
        self._batch = Batch("")
        self._left: list[Connection] = []
        """The batch that is being handed out, and who has not got it yet."""
        self._behind: set[Feed] = set()
        self._wake = asyncio.Event()
        self.replays = asyncio.Semaphore(REPLAYS_AT_ONCE)
        """To be held while a client's missed events are read."""
        self._epoch = ""
        self._seen = 0
        """A sequence up to which the stream is known to reach."""
        self._asking: asyncio.Task[StreamState] | None = None
        self._refiller: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Connection]:
        return iter([connection for feed in self._clients.values() for connection in feed.members])

    async def start(self, groups: Iterable[str]) -> None:
        """Subscribe once to each group, and begin to refill.

        Raises:
            BusUnavailable: NATS does not confirm it.
        """
        state = await self.bus.stream.state()
        self._epoch = state.epoch
        self._seen = state.last_seq
        for group in groups:
            self._groups[group] = Feed(self.bus, group, subjects.group(group), self._pass_on, self._report)
            await self._groups[group].open(state.last_seq)
        # Nobody's, and kept: whether NATS lets this process hear what its clients need shows before one comes.
        await self.bus.subscribe(subjects.client(NOBODY), lambda stored: None)
        await self.bus.confirm_subscriptions()
        self._refiller = asyncio.create_task(self._refill(), name="refill")

    async def stop(self) -> None:
        """End the hub's own task."""
        if self._refiller is not None:
            self._refiller.cancel()
            await asyncio.gather(self._refiller, return_exceptions=True)

    async def attach(self, connection: Connection, *, fresh: bool) -> None:
        """From now on the connection gets its client's events and those of its channel's groups.

        Args:
            fresh: the client's id was made just now, so that it cannot have an event that is older.

        Raises:
            BusUnavailable: the bus is closed.
        """
        for group in connection.channel.groups:
            self._groups[group].members[connection] = None
        client_id = connection.client_id
        feed = self._clients.get(client_id)
        if feed is None:
            feed = Feed(self.bus, CLIENT, subjects.client(client_id), self._pass_on, self._report)
            self._clients[client_id] = feed
        feed.members[connection] = None
        await feed.opened(self._newest if fresh else self._last_seq)

    async def detach(self, connection: Connection) -> None:
        """The connection is gone. Safe to call when `attach` failed half-way."""
        for group in connection.channel.groups:
            self._groups[group].members.pop(connection, None)
        feed = self._clients.get(connection.client_id)
        if feed is not None:
            feed.members.pop(connection, None)
            if not feed.members:
                del self._clients[connection.client_id]
                self._behind.discard(feed)
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

    async def state(self) -> StreamState:
        """What the stream holds. Callers at the same moment share one request.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.bus.stream.state(), name="ask for the stream's state")
            self._asking.add_done_callback(_retrieved)
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
            self._metrics.dropped.inc()
            log.warning(
                "dropped a bus message that is no event", subject=stored.subject, seq=stored.seq, error=str(error)
            )
            return None

    def _pass_on(self, feed: Feed, stored: Stored) -> None:
        self._seen = max(self._seen, stored.seq)
        event = self.read(stored)
        if event is None:
            return
        if feed.batch is None:
            feed.batch = Batch(feed.scope)
            self._filled.append((feed, feed.batch))
            if len(self._filled) == 1 and not self._left:
                asyncio.get_running_loop().call_soon(self._hand_out)
        feed.batch.add(stored.seq, event)

    def _hand_out(self) -> None:
        """Give connections what has come, so many in a turn of the loop. What comes meanwhile is the next batch."""
        room = DELIVERIES_IN_A_ROW
        while room > 0 and (self._left or self._filled):
            if not self._left:
                feed, self._batch = self._filled.popleft()
                feed.batch = None
                self._left = list(feed.members)
                self._metrics.events.inc(len(self._batch))
                self._metrics.deliveries.inc(len(self._batch) * len(self._left))
            now, self._left = self._left[:room], self._left[room:]
            room -= len(now)
            for connection in now:
                connection.deliver(self._batch)
        if self._left or self._filled:
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _report(self, feed: Feed) -> None:
        self._behind.add(feed)
        self._wake.set()

    async def _newest(self) -> int:
        return self._seen

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
            if not self.bus.reachable:
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
        self._seen = 0
        for feed in (*self._groups.values(), *self._clients.values()):
            feed.begin_anew()
        self.close_all(SERVICE_RESTART)


def _retrieved(task: asyncio.Task[StreamState]) -> None:
    """Every caller may have left before a request failed; its error is then nobody's."""
    if not task.cancelled():
        task.exception()
