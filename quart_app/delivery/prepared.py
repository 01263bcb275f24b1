"""Prepared: what is sent to many connections, encoded once for all of them."""

from __future__ import annotations

import struct

from bus.messages import Event


class PreparedFrames:
    """Text messages on their way to clients, encoded once for all of them.

    Args:
        texts: one for each message.
    """

    __slots__ = ("data", "texts")

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.data = b"".join(map(text_frame, texts))


def text_frame(text: str) -> bytes:
    """An unfragmented, unmasked text frame, as servers send it (RFC 6455 section 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


Entry = PreparedFrames | Event
"""What is sent as it is, or an event that the channel makes a message of."""
Prepared = tuple[Entry, ...]
"""What one turn of the event loop brings to a connection."""
