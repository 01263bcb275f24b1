"""What a client missed: counted first, because the welcome says how much it is, then read again as the client takes it.

So a client that reads slowly costs the process no more than a piece of its replay, however long that is.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, Iterator, Mapping
from heapq import merge
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bus import BusUnavailable, Settings, Stored
from bus.messages import Event

if TYPE_CHECKING:
    from quart_app.connection import Connection
    from quart_app.hub import Hub

PIECE_BYTES = 64 * 1024
"""Bytes of events that are read and sent at a time; one larger event is a piece of its own."""
EVENT_OVERHEAD = 512
"""Bytes that an event counts for besides its data."""
COPIES = 4
"""How often an event is in memory on its way: as it was read, parsed, encoded, and framed."""
COUNTING_BYTES = 512 * 1024
"""Bytes to be held while events are counted: what was read, and their sequences."""
TURN_BYTES = 64 * 1024
"""Bytes of events after which other tasks get a turn of the loop."""
TURN_EVENT = 2048
"""Bytes that take about as long as what is to be done for each event whatever its size."""


class Missed:
    """The stored events of a connection's scopes after its cursors, in stream order.

    Use it as a context manager: it may keep a part of the process's memory for replays until the end of the block.

    Args:
        hub: reads, and owns the memory that all replays share.
        connection: whose events are meant.
        settings: `replay_max_events` and `replay_max_bytes`.
    """

    def __init__(self, hub: Hub, connection: Connection, settings: Settings) -> None:
        self.shown = 0
        """How many of the events the client is shown."""
        self.last: dict[str, int] = {}
        """Per scope the last event's sequence, where there is one."""
        self.cut = False
        """Whether there is more than may be replayed."""
        self._hub = hub
        self._events = connection.channel.events
        self._subjects = hub.scopes(connection)
        self._room = (settings.replay_max_events, settings.replay_max_bytes)
        self._after: dict[str, int] = {}
        self._plan = array("q")
        """For each piece its bytes, then per scope the number of its events and the last one's sequence."""
        self._kept: list[tuple[int, Event]] | None = []
        """All events, when they are few."""
        self._held = 0
        self._since_turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.replay_memory.give_back(self._held)
        self._held = 0

    async def count(self, cursors: Mapping[str, int]) -> None:
        """Find out what there is after these cursors, by scope.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        self._after = dict(cursors)
        events, size = self._room
        found: list[Iterator[tuple[int, int, int]]] = []
        for index, (scope, after) in enumerate(cursors.items()):
            seqs, sizes = array("q"), array("q")
            async for stored in self._hub.bus.stream.replay(self._subjects[scope], after=after):
                seqs.append(stored.seq)
                sizes.append(len(stored.data) + EVENT_OVERHEAD)
                events, size = events - 1, size - len(stored.data)
                self._note(stored, sizes[-1])
                if events < 0 or size < 0:
                    self.cut = True
                    break
                await self._turn(stored)
            if seqs:
                self.last[scope] = seqs[-1]
            found.append(zip(seqs, sizes, [index] * len(seqs), strict=True))
        self._divide(merge(*found))
        if self._kept is not None:
            held = self._held * COPIES
            self._held = held if self._hub.replay_memory.take_now(held) else 0
            if held and not self._held:
                self._kept = None

    def _note(self, stored: Stored, size: int) -> None:
        event = self._shown(stored)
        self.shown += event is not None
        if self._kept is not None:
            self._held += size
            if self._held > PIECE_BYTES:
                self._kept, self._held = None, 0
            elif event is not None:
                self._kept.append((stored.seq, event))

    def _divide(self, found: Iterator[tuple[int, int, int]]) -> None:
        """Plan the pieces. Each number of events is read again exactly, so that one which is gone by then is missed."""
        scopes = len(self._after)
        piece = [0] * (1 + 2 * scopes)
        for seq, size, index in found:
            if piece[0] and piece[0] + size > PIECE_BYTES:
                self._plan.extend(piece)
                piece = [0] * (1 + 2 * scopes)
            piece[0] += size
            piece[1 + 2 * index] += 1
            piece[2 + 2 * index] = seq
        if piece[0]:
            self._plan.extend(piece)

    async def pieces(self) -> AsyncGenerator[list[Event]]:
        """What the client is shown, in stream order. A piece is to be sent before the next one is asked for.

        Raises:
            BusUnavailable: NATS is away or silent, or events were removed since they were counted.
        """
        if self._kept is not None:
            yield [event for _, event in sorted(self._kept, key=lambda entry: entry[0])]
            return
        width = 1 + 2 * len(self._after)
        for begin in range(0, len(self._plan), width):
            size, *parts = self._plan[begin : begin + width]
            async with self._hub.replay_memory.hold(size * COPIES):
                yield await self._piece(dict(zip(self._after, zip(parts[::2], parts[1::2], strict=True), strict=True)))

    async def _piece(self, parts: Mapping[str, tuple[int, int]]) -> list[Event]:
        shown: list[tuple[int, Event]] = []
        for scope, (count, last) in parts.items():
            if not count:
                continue
            read = 0
            async for stored in self._hub.bus.stream.replay(
                self._subjects[scope], after=self._after[scope], events=count
            ):
                read += 1
                self._after[scope] = stored.seq
                if (event := self._shown(stored)) is not None:
                    shown.append((stored.seq, event))
                await self._turn(stored)
            if (read, self._after[scope]) != (count, last):
                raise BusUnavailable("events were removed from the stream while they were replayed")
        return [event for _, event in sorted(shown, key=lambda entry: entry[0])]

    def _shown(self, stored: Stored) -> Event | None:
        event = self._hub.read(stored)
        return event if event is not None and event.action in self._events else None

    async def _turn(self, stored: Stored) -> None:
        """Let others have the loop now and then: one replay at a time goes on within a turn of it."""
        self._since_turn += len(stored.data) + TURN_EVENT
        if self._since_turn > TURN_BYTES:
            self._since_turn = 0
            async with self._hub.replay_turn:
                await asyncio.sleep(0)
