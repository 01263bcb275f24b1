"""Live events that wait while their feed reads the stream."""

from __future__ import annotations

from bus import Stored

MOST_EVENTS = 10_000
MOST_BYTES = 8 * 1024 * 1024


class PendingEvents:
    """In the order in which they were heard. There is room for so many; those past it are read from the stream."""

    __slots__ = ("_events", "_size", "overflowed")

    def __init__(self) -> None:
        self.overflowed = False
        """Whether there was no room for one."""
        self._events: list[Stored] = []
        self._size = 0

    def add(self, stored: Stored) -> None:
        """Keep one more, if there is room."""
        if len(self._events) < MOST_EVENTS and self._size < MOST_BYTES:
            self._events.append(stored)
            self._size += len(stored.data)
        else:
            self.overflowed = True

    def take(self) -> list[Stored]:
        """All of them; none is pending any more."""
        events, self._events, self._size = self._events, [], 0
        return events

    def has(self, seq: int) -> bool:
        """Whether an event is pending."""
        return any(stored.seq == seq for stored in self._events)

    def early(self, cursor: int) -> list[Stored]:
        """Those that follow an event which is neither pending nor up to the cursor."""
        early = []
        for stored in self._events:
            if stored.previous > cursor:
                early.append(stored)
            else:
                cursor = max(cursor, stored.seq)
        return early

    def discard(self, events: list[Stored]) -> None:
        """Forget these."""
        gone = {id(stored) for stored in events}
        self._events = [stored for stored in self._events if id(stored) not in gone]
        self._size = sum(len(stored.data) for stored in self._events)
