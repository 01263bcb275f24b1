"""What the stream holds of each group, read and made ready once for all who missed the same.

A redeploy sends everybody back within seconds, and nearly all of them missed the same events of the same groups.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from contextlib import aclosing
from datetime import UTC, datetime
from typing import NamedTuple

from bus import Bus, StreamState, subjects
from quart_app.delivery.batch import Batch, Encoded
from quart_app.delivery.event_parser import EventParser

LARGEST = 256 * 1024
"""Bytes of a group's events that are kept; who missed more reads them from the stream for itself."""
OVERHEAD = 1024
"""Bytes that a group counts for besides its events."""
EVENT_OVERHEAD = 1024
"""Bytes that an event counts for besides its text."""
MOST = 4 * LARGEST
"""Bytes of a group, with the batches that are kept ready: there is one for each event that somebody missed first."""
COPIES = 2
"""How often each of a batch's events is in memory besides: as text is, and framed for each view."""
LONG_AGO, FAR_AHEAD = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Nothing has expired at the one, and at the other whatever can. An event can reckon from both."""


class GroupHistory:
    """The latest events of the groups that somebody came back to.

    It takes nothing from what is heard live: only the stream knows what it holds, and what is gone from it.

    Args:
        bus: whose stream is read.
        parser: makes events of what is stored.
        size: bytes of all that is kept; of more, the groups are let go that were asked for longest ago.
    """

    def __init__(self, bus: Bus, parser: EventParser, *, size: int = 32 * LARGEST) -> None:
        self._bus = bus
        self._parser = parser
        self._size = size
        self._groups: OrderedDict[str, _Group] = OrderedDict()

    async def missed(self, name: str, *, after: int, state: StreamState) -> Batch | None:
        """The events of a group after a cursor, without those that have expired.

        Args:
            after: the cursor.
            state: of the stream, up to whose last sequence the events are wanted.

        Returns:
            One batch for all who missed the same, not to be changed; None when the events are too many for that.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        if (group := self._groups.get(name)) is None:
            group = self._groups[name] = _Group(self._bus, self._parser, name)
        self._groups.move_to_end(name)
        batch = await group.missed(after, state)
        while len(self._groups) > 1 and sum(each.size for each in self._groups.values()) > self._size:
            self._groups.popitem(last=False)
        return batch

    def forget(self) -> None:
        """The stream was put back to an older state: what was read may not be what it holds."""
        self._groups.clear()


class _Group:
    """The events of one group from some sequence on."""

    def __init__(self, bus: Bus, parser: EventParser, name: str) -> None:
        self._bus = bus
        self._parser = parser
        self._name = name
        self._of = ("", 0)
        """The stream's epoch and its last hole: with another one, what was read may be gone."""
        self._since = self._until = 0
        """After which sequence, and up to which, all of the group's events are here."""
        self._too_far = -1
        """A cursor that is known to be too far back."""
        self._events: list[Encoded] = []
        self._bytes = 0
        self._batches: dict[tuple[int, int], _Ready] = {}
        """By the places of their first event and of the one after their last."""
        self._reading = asyncio.Lock()

    @property
    def size(self) -> int:
        """Bytes of what is kept."""
        return OVERHEAD + self._bytes + sum(COPIES * ready.batch.bytes for ready in self._batches.values())

    async def missed(self, after: int, state: StreamState) -> Batch | None:
        """As of `GroupHistory`. One at a time reads, and whoever waits for it finds what it has read."""
        async with self._reading:
            of = state.epoch, state.last_hole
            if of != self._of or after > self._until:
                self._of, self._since, self._until, self._too_far = of, after, after, -1
                self._keep([])
            if self._until < state.last_seq:
                await self._go_on(state.last_seq)
            if self._too_far < after < self._since:
                await self._go_back(after)
            if self._events and self._events[0].seq < state.first_seq:
                self._keep([one for one in self._events if one.seq >= state.first_seq])
            if after < self._since:
                return None
            begin, end = (bisect_right(self._events, seq, key=_seq) for seq in (after, state.last_seq))
            return self._ready(begin, max(begin, end))

    async def _go_on(self, until: int) -> None:
        newer = await self._read(self._until, until)
        if newer is None:
            self._since = until
            self._keep([])
        elif newer:
            self._keep([*self._events, *newer])
        self._until = until

    async def _go_back(self, after: int) -> None:
        older = await self._read(after, self._since)
        if older is None or sum(map(_size, older)) + self._bytes > LARGEST:
            self._too_far = after
        else:
            self._since = after
            self._keep([*older, *self._events])

    async def _read(self, after: int, until: int) -> list[Encoded] | None:
        """The events in between; None when they are more than may be kept."""
        events: list[Encoded] = []
        size = 0
        subject = subjects.group(self._name)
        async with aclosing(self._bus.stream.replay_until(subject, after=after, until=until)) as read:
            async for stored in read:
                one = self._parser.parse(stored, now=LONG_AGO)
                if one is not None:
                    events.append(one)
                    size += _size(one)
                if size > LARGEST:
                    return None
        return events

    def _keep(self, events: list[Encoded]) -> None:
        """Of more than may be kept, the newest."""
        size = sum(map(_size, events))
        gone = 0
        while size > LARGEST:
            size -= _size(events[gone])
            self._since = events[gone].seq
            gone += 1
        self._events, self._bytes = events[gone:], size
        self._batches.clear()

    def _ready(self, begin: int, end: int) -> Batch:
        now = datetime.now(UTC)
        ready = self._batches.get((begin, end))
        expired = self._parser.expired
        if ready is not None and not any(expired(one, now) for one in ready.perishable):
            return ready.batch
        events = [one for one in self._events[begin:end] if not expired(one, now)]
        batch = Batch(self._name)
        for one in events:
            batch.add(one)
        if self.size > MOST:
            self._batches.clear()
        self._batches[begin, end] = _Ready(batch, [one for one in events if expired(one, FAR_AHEAD)])
        return batch


class _Ready(NamedTuple):
    """A batch, and those of its events that will expire."""

    batch: Batch
    perishable: list[Encoded]


def _seq(one: Encoded) -> int:
    return one.seq


def _size(one: Encoded) -> int:
    return len(one.text) + EVENT_OVERHEAD
