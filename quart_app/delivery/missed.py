"""What a client missed: counted first, because the welcome says how much it is, then read again as the client takes it.

So a client that reads slowly costs the process no more than a piece of its replay, however long that is.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from heapq import merge
from types import TracebackType
from typing import Self

from bus import Bus, BusUnavailable, Settings, Stored
from bus.messages import Event
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.ordered_events import TURN_BYTES
from quart_app.delivery.replay_budget import ReplayBudget

PIECE_BYTES = 64 * 1024
"""Bytes of events that are read and sent at a time; one larger event is a piece of its own."""
EVENT_OVERHEAD = 512
"""Bytes that an event counts for besides its data."""
COPIES = 4
"""How often an event is in memory on its way: as it was read, parsed, encoded, and framed."""
COUNTING_BYTES = 512 * 1024
"""Bytes to be taken while events are counted: for what was read, and for their sequences."""
TURN_EVENT = 2048
"""Bytes that take about as long as what is to be done for each event whatever its size."""


class Missed:
    """The stored events of a client's scopes after its cursors, in stream order.

    Use it as a context manager: it may keep a part of the process's memory for replays until the end of the block.

    Args:
        bus: whose stream is read.
        parser: makes events of what is stored.
        budget: what all replays share.
        subjects: the subject behind each scope, by scope.
        shown: the actions of the events that the client's channel shows.
        settings: `replay_max_events` and `replay_max_bytes`.
    """

    def __init__(
        self,
        bus: Bus,
        parser: EventParser,
        budget: ReplayBudget,
        *,
        subjects: Mapping[str, str],
        shown: Collection[str],
        settings: Settings,
    ) -> None:
        self.shown = 0
        """How many of the events the client is shown."""
        self.last: dict[str, int] = {}
        """Per scope the last event's sequence, where there is one."""
        self.cut = False
        """Whether there is more than may be replayed."""
        self._bus = bus
        self._parser = parser
        self._budget = budget
        self._subjects = subjects
        self._actions = shown
        self._room = (settings.replay_max_events, settings.replay_max_bytes)
        self._after: dict[str, int] = {}
        self._plan = array("q")
        """For each piece its bytes, then per scope the number of its events and the last one's sequence."""
        self._kept: list[tuple[int, Event]] | None = []
        """All events, when they are few."""
        self._kept_size = 0
        """Bytes of those; once all are counted, what the budget gave for them."""
        self._since_turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.memory.give_back(self._kept_size)
        self._kept_size = 0

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
            async for stored in self._bus.stream.replay(self._subjects[scope], after=after):
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
            size = self._kept_size * COPIES
            self._kept_size = size if self._budget.memory.take_now(size) else 0
            if size and not self._kept_size:
                self._kept = None

    def _note(self, stored: Stored, size: int) -> None:
        event = self._shown(stored)
        self.shown += event is not None
        if self._kept is not None:
            self._kept_size += size
            if self._kept_size > PIECE_BYTES:
                self._kept, self._kept_size = None, 0
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
            async with self._budget.memory.hold(size * COPIES):
                yield await self._piece(dict(zip(self._after, zip(parts[::2], parts[1::2], strict=True), strict=True)))

    async def _piece(self, parts: Mapping[str, tuple[int, int]]) -> list[Event]:
        shown: list[tuple[int, Event]] = []
        for scope, (count, last) in parts.items():
            if not count:
                continue
            read = 0
            async for stored in self._bus.stream.replay(self._subjects[scope], after=self._after[scope], events=count):
                read += 1
                self._after[scope] = stored.seq
                if (event := self._shown(stored)) is not None:
                    shown.append((stored.seq, event))
                await self._turn(stored)
            if (read, self._after[scope]) != (count, last):
                raise BusUnavailable("events were removed from the stream while they were replayed")
        return [event for _, event in sorted(shown, key=lambda entry: entry[0])]

    def _shown(self, stored: Stored) -> Event | None:
        event = self._parser.parse(stored)
        return event if event is not None and event.action in self._actions else None

    async def _turn(self, stored: Stored) -> None:
        """Let others have the loop now and then."""
        self._since_turn += len(stored.data) + TURN_EVENT
        if self._since_turn > TURN_BYTES:
            self._since_turn = 0
            await self._budget.turn()
