"""One stored event, as NATS tells of it: republished live, or read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from bus import subjects

LARGEST_SEQUENCE = 2**63 - 1
OVERHEAD = 256
"""About how many bytes of the stream an event takes beside its data: its subject, and its headers."""
_DIGITS = re.compile(r"[0-9]{1,19}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")


class Stored(NamedTuple):
    """One stored event.

    Args:
        seq: its sequence in the stream; 0 for progress, which is not stored.
        subject: its `bus.` subject.
        data: its bytes.
        message_id: its `Nats-Msg-Id`, where it was read back.
        previous: sequence of the event before it on the same subject, where it was heard live; 0 for none.
        timestamp: when it was stored, as NATS writes it (RFC 3339, UTC); empty for progress.
    """

    seq: int
    subject: str
    data: bytes
    message_id: str | None = None
    previous: int = 0
    timestamp: str = ""

    @property
    def size(self) -> int:
        """About how many bytes of the stream it takes."""
        return size(self.data)

    @property
    def at(self) -> str | None:
        """When it was stored, in microseconds: as NATS writes it but of one length, so that texts sort as times do."""
        if not self.timestamp:
            return None
        seconds, _, fraction = self.timestamp.removesuffix("Z").partition(".")
        return f"{seconds}.{fraction:0<6.6}Z"


def size(data: bytes) -> int:
    """About how many bytes of the stream an event of this data takes."""
    return len(data) + OVERHEAD


def from_live(subject: str, data: bytes, headers: Mapping[str, str]) -> Stored | None:
    """What the stream republished on a `live.` subject (ADR-28 of the NATS architecture); None for anything else.

    Whoever may publish there can write such headers too. What does not fit together is none of the stream's; what does
    is still only believed as far as the stream is known to reach (see `quart_app.delivery.ordered_events`).
    """
    origin = "bus." + subject.removeprefix("live.")
    seq, previous = sequence(headers.get("Nats-Sequence")), sequence(headers.get("Nats-Last-Sequence", "0"))
    timestamp = headers.get("Nats-Time-Stamp", "")
    if (
        seq is None
        or previous is None
        or not previous < seq
        or headers.get("Nats-Stream") != subjects.STREAM
        or headers.get("Nats-Subject") != origin
        or not _TIMESTAMP.fullmatch(timestamp)
    ):
        return None
    return Stored(seq, origin, data, previous=previous, timestamp=timestamp)


def from_direct(data: bytes, headers: Mapping[str, str]) -> Stored:
    """An event as a direct get answers it (ADR-31)."""
    seq, subject, stored_at = int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers["Nats-Time-Stamp"]
    return Stored(seq, subject, data, headers.get("Nats-Msg-Id"), timestamp=stored_at)


def sequence(text: str | None) -> int | None:
    """A stream sequence as a header has it; None when it is none: no ASCII digits, or more than a sequence can be."""
    if text is None or not _DIGITS.fullmatch(text):
        return None
    number = int(text)
    return number if number <= LARGEST_SEQUENCE else None
