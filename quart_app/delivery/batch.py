"""What one turn of the event loop brought to a scope, made ready once for every connection that gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bus.messages import Event
from quart_app.channel import Channel
from quart_app.delivery.prepared import Entry, Prepared, PreparedFrames


@dataclass(frozen=True, eq=False)
class View:
    """Connections that are shown the same: those of one channel and one protocol.

    There is one object for each, so that comparing them costs nothing.

    Args:
        channel: their channel.
        v1: whether they speak `bus.v1`.
    """

    channel: type[Channel]
    v1: bool

    def shows(self, event: Event) -> bool:
        """Whether they are shown such an event."""
        return event.action in self.channel.events and (event.plain or self.v1)


class Encoded(NamedTuple):
    """An event, ready for everybody who is shown it.

    Args:
        seq: its sequence in the stream; 0 for progress, which is not stored.
        text: its frame.
    """

    seq: int
    event: Event
    text: str

    @classmethod
    def of(cls, seq: int, event: Event) -> Encoded:
        """Encode an event. Raises whatever its class does."""
        return cls(seq, event, event.encode())


class Batch:
    """Events of one scope, in stream order.

    What each view is shown of them is chosen and encoded once.

    Args:
        scope: `client`, or a group's name.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.first = 0
        """The first stored event's sequence; 0 when there is none, only progress."""
        self.last = 0
        self.bytes = 0
        """Bytes of all events."""
        self.events: list[Encoded] = []
        self.prepared: dict[View, Prepared] = {}
        """What each view is shown that asked so far."""

    def __len__(self) -> int:
        return len(self.events)

    @property
    def stored_at(self) -> str | None:
        """When its first event was stored; None for progress, and for an empty batch."""
        return self.events[0].event.at if self.events else None

    def add(self, encoded: Encoded) -> None:
        """Append an event."""
        seq, _, text = encoded
        self.events.append(encoded)
        self.bytes += len(text) if text.isascii() else len(text.encode())
        self.first = self.first or seq
        self.last = seq or self.last

    def shown(self, to: View) -> Prepared:
        """What this view is shown; kept in `prepared`."""
        prepared = self.prepared[to] = _prepare(self.events, to)
        return prepared

    def shown_after(self, seq: int, to: View) -> Prepared:
        """What is shown to a connection that has seen the scope up to `seq`, without progress, which may be old."""
        return _prepare([encoded for encoded in self.events if encoded.seq > seq], to)


def _prepare(events: list[Encoded], to: View) -> Prepared:
    """Runs of events that go as they are become one entry."""
    prepared: list[Entry] = []
    texts: list[str] = []
    for _, event, text in events:
        if not to.shows(event):
            continue
        if to.channel.events[event.action].method is None:
            texts.append(text)
            continue
        if texts:
            prepared.append(PreparedFrames(*texts))
            texts = []
        prepared.append(event)
    if texts:
        prepared.append(PreparedFrames(*texts))
    return tuple(prepared)
