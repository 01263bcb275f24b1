"""Frames that are encoded once, and written once a turn of the event loop: the ASGI extension `busctl.frame_writer`.

A server that has it puts a `FrameWriter` into `scope["extensions"]["busctl.frame_writer"]["writer"]` of a WebSocket.
The app hands over bytes that it encoded once for every connection, and says whether they may wait for the end of the
turn, to leave in one write with what else it brings. With any other server `websocket.send` is used instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

WRITER_EXTENSION = "busctl.frame_writer"

ROOM = 64 * 1024
"""Bytes that may be corked before the writer asks its user to wait."""


class Turn:
    """The frame writers that are to be flushed when this turn of the event loop ends. One for each server."""

    def __init__(self) -> None:
        self._writers: list[FrameWriter] = []

    def join(self, writer: FrameWriter) -> None:
        """Flush this one at the end of the turn."""
        if not self._writers:
            asyncio.get_running_loop().call_soon(self._end)
        self._writers.append(writer)

    def _end(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.flush()


class FrameWriter:
    """The way to one socket, past everything between the app and its transport.

    Args:
        writer: of the socket.
        turn: of the server.
    """

    __slots__ = ("_corked", "_frames", "_stream", "_transport", "_turn", "open")

    def __init__(self, writer: asyncio.StreamWriter, turn: Turn) -> None:
        self.open = False
        """Whether data frames may be sent: after the handshake and before a close frame. The server sets it."""
        self._stream = writer
        self._transport: asyncio.WriteTransport = writer.transport
        self._turn = turn
        self._frames: list[bytes] = []
        self._corked = 0

    def offer(self, frames: bytes) -> bool:
        """Send whole frames now, in one write with those that are corked. Never waits.

        Returns:
            False when the peer has not taken all of what came before; then nothing is done, since nobody would watch
            what is left behind. Use `write` and `drain`, with a deadline.
        """
        transport = self._transport
        if transport.get_write_buffer_size():
            return False
        if self._frames:
            self._frames.append(frames)
            self.flush()
        elif self.open and not transport.is_closing():
            transport.write(frames)
        return True

    def cork(self, frames: bytes) -> bool:
        """Send whole frames at the end of this turn of the event loop, in one write with whatever else it brings.

        Returns:
            False, and nothing is done, when much is corked already or the peer has not taken all of what came before.
            Use `write` and `drain`, with a deadline.
        """
        if self._corked > ROOM or self._transport.get_write_buffer_size():
            return False
        if not self._frames:
            self._turn.join(self)
        self._frames.append(frames)
        self._corked += len(frames)
        return True

    def flush(self) -> None:
        """Write what is corked. The server does so before every message of its own, so that the order is kept."""
        if self._frames:
            frames = b"".join(self._frames)
            self._frames.clear()
            self._corked = 0
            self.write(frames)

    def write(self, frames: bytes) -> None:
        """Send whole frames now, whatever the peer has taken. On a socket that is closed, nothing happens."""
        self.flush()
        if self.open and not self._transport.is_closing():
            self._transport.write(frames)

    def abort(self) -> None:
        """Cut the connection off, with whatever the peer has not taken."""
        self._transport.abort()

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written. Has no deadline of its own.

        Raises:
            ConnectionError: the peer is gone.
        """
        await self._stream.drain()


def frame_writer_of(scope: Mapping[str, Any]) -> FrameWriter | None:
    """What the server announced in this ASGI scope, if it has the extension."""
    extension = (scope.get("extensions") or {}).get(WRITER_EXTENSION) or {}
    writer: FrameWriter | None = extension.get("writer")
    return writer
