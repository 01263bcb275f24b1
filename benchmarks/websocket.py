"""A WebSocket client that counts messages and looks at nothing else: just enough of RFC 6455 to cost little."""

from __future__ import annotations

import socket

from benchmarks.figure import Invalid

TEXT_OR_BINARY = (0x81, 0x82)
PING = 0x89
CLOSE = 0x88


def masked(payload: bytes, opcode: int = 0x81) -> bytes:
    """A client's frame. The mask is zero, which RFC 6455 allows and which costs the driver nothing."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((opcode,)) + length + bytes(4) + payload


class Client:
    """One WebSocket, open or opening.

    Args:
        connected: its TCP connection.
        pong: how a ping in the payload (of a protocol inside WebSocket) is answered: (ping, pong).
    """

    __slots__ = ("frames", "greeting", "head", "octets", "partial", "pong", "socket", "upgraded", "waiting")

    def __init__(self, connected: socket.socket, pong: tuple[bytes, bytes] | None = None) -> None:
        self.socket = connected
        self.pong = pong
        self.upgraded = False
        self.waiting = False
        self.greeting = b""
        """What came with the first sign that the server is ready."""
        self.head = b""
        """Bytes of a handshake or a frame header that is not whole yet."""
        self.partial = 0
        """Payload bytes of the current frame that are still to come."""
        self.octets = 0
        """Payload bytes so far, of text and binary frames."""
        self.frames = 0

    def take(self, data: bytes) -> None:
        """Walk over frames: `data` may begin and end anywhere within one.

        Raises:
            Invalid: the server closes the WebSocket.
        """
        if self.head:
            data = self.head + data
            self.head = b""
        at, size = 0, len(data)
        if self.partial:
            at = min(self.partial, size)
            self.octets += at
            self.partial -= at
        while at < size:
            begun = at
            length = data[at + 1] if at + 2 <= size else 126
            at += 2
            if length == 126:
                length = int.from_bytes(data[at : at + 2], "big")
                at += 2
            elif length == 127:
                length = int.from_bytes(data[at : at + 8], "big")
                at += 8
            if at > size or size - begun < 2:
                self.head = data[begun:]
                return
            opcode = data[begun]
            if opcode not in TEXT_OR_BINARY:
                at = self._control(opcode, data, begun, at + length)
                continue
            here = min(length, size - at)
            if self.pong is not None and data[at : at + length] == self.pong[0]:
                self.socket.send(masked(self.pong[1]))
            else:
                self.octets += here
                self.frames += 1
                self.partial = length - here
            at += here

    def _control(self, opcode: int, data: bytes, begun: int, end: int) -> int:
        if opcode == CLOSE:
            code = int.from_bytes(data[begun + 2 : begun + 4], "big")
            raise Invalid(f"the server closed a WebSocket with {code} {data[begun + 4 : end].decode(errors='replace')}")
        if end > len(data):
            self.head = data[begun:]
            return len(data)
        if opcode == PING:
            self.socket.send(masked(data[begun + 2 : end], 0x8A))
        return end
