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
from bus.byte_budget import ByteBudget
from bus.messages import Event, JobEvent, JobProgress, Message
from bus.tracebacks import described
from quart_app.batch import Batch
from quart_app.close_codes import SERVICE_RESTART, CloseCode
from quart_app.connection import Connection
from quart_app.feed import CLIENT, Feed
from quart_app.metrics import Metrics
from quart_app.stream_end import StreamEnd

log = structlog.get_logger(__name__)

NOBODY = "nobody"
"""The id of no client."""

REFILLS_AT_ONCE = 32
DELIVERIES_IN_A_ROW = 500
"""After so many, about 5 ms, other tasks get a turn."""
REFILL_PAUSE = 0.02
"""Seconds between two rounds of refills: whoever makes feeds fall behind on purpose cannot keep the loop busy."""
REFILL_RETRY = 0.5
"""Seconds before feeds that could not be refilled are tried again."""


class Hub:
    """Routes stored events to connections. One task refills the feeds that have fallen behind.

    Args:
        bus: the process's bus.
        events: every event class that a channel of this app handles, by action.
        metrics: where events are counted.
        replay_memory_bytes: what all replays may have in memory together.
    """

    def __init__(
        self, bus: Bus, events: Mapping[str, type[Message]], metrics: Metrics, *, replay_memory_bytes: int
    ) -> None:
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
        self.replay_memory = ByteBudget(replay_memory_bytes)
        """To be held for what is in memory of a replay, one piece at a time."""
        self.replay_turn = asyncio.Lock()
        """Held by the one replay that goes on in this turn of the loop."""
        self.end = StreamEnd(bus)
        """How far the stream reaches."""
        self._epoch = ""
        self._refiller: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Connection]:
        return iter([connection for feed in self._clients.values() for connection in feed.members])

    async def start(self, groups: Iterable[str]) -> None:
        """Subscribe once to each group, and begin to refill.

        Raises:
            BusUnavailable: NATS does not confirm it.
        """
        state = await self.end.state()
        self._epoch = state.epoch
        for group in groups:
            self._groups[group] = self._feed(group, subjects.group(group))
            await self._groups[group].open(state.last_seq)
        # Nobody's, and kept: whether NATS lets this process hear what its clients need shows before one comes.
        await self.bus.subscribe(subjects.client(NOBODY), lambda stored: None)
        await self.bus.confirm_subscriptions()
        self._refiller = asyncio.create_task(self._refill(), name="refill")

    async def stop(self) -> None:
        """End the hub's own tasks."""
        if self._refiller is not None:
            self._refiller.cancel()
            await asyncio.gather(self._refiller, return_exceptions=True)
        await self.end.stop()

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
            feed = self._clients[client_id] = self._feed(CLIENT, subjects.client(client_id))
        feed.members[connection] = None
        feed.shows_progress |= connection.v1
        await feed.opened(self._known_end if fresh else self._last_seq)
        if not fresh and feed.shows_progress:
            feed.follow_progress(client_id)  # one of its jobs may be running

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
            fields |= {"seq": stored.seq or None, "at": stored.at, "group": address.group}
            if address.job_id is not None:
                fields["job_id"] = address.job_id
            return kind.model_validate(fields)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            self.bus.drop(
                "dropped a bus message that is no event", subject=stored.subject, seq=stored.seq, error=described(error)
            )
            return None

    def _feed(self, scope: str, subject: str) -> Feed:
        return Feed(self.bus, self.end, scope, subject, pass_on=self._pass_on, drop=self._drop, report=self._report)

    def _pass_on(self, feed: Feed, stored: Stored) -> None:
        event = self.read(stored)
        if event is None:
            return
        if feed.shows_progress and isinstance(event, JobEvent):
            feed.follow_progress(feed.subject.split(".")[2])
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

    def _drop(self, stored: Stored) -> None:
        what = "dropped a live message that is not in the stream; nobody but NATS should be allowed to publish there"
        self.bus.drop(what, subject=stored.subject, seq=stored.seq)

    def _report(self, feed: Feed) -> None:
        self._behind.add(feed)
        self._wake.set()

    async def _known_end(self) -> int:
        return self.end.last_seq

    async def _last_seq(self) -> int | None:
        try:
            return (await self.end.state()).last_seq
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
                state = await self.end.state()
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
            await asyncio.sleep(REFILL_PAUSE)

    def _begin_anew(self, state: StreamState) -> None:
        # Sequences of another stream mean nothing. Clients come back and are told that history was cut.
        log.warning("the stream was made anew; every client has to reconnect", was=self._epoch, now=state.epoch)
        self._epoch = state.epoch
        for feed in (*self._groups.values(), *self._clients.values()):
            feed.begin_anew()
        self.close_all(SERVICE_RESTART)
