"""Publishing with nothing but a socket, so that it costs the driver next to nothing."""

from __future__ import annotations

import socket
from typing import Protocol

from benchmarks.figure import Invalid
from benchmarks.websocket import masked


class Publisher(Protocol):
    """A connection that broadcasts so many messages each time it is called."""

    def __call__(self, number: int) -> None: ...

    def close(self) -> None: ...


class NatsPublisher:
    """Publishes with nothing but a socket: `message` on `subject`, so many times."""

    def __init__(self, port: int, subject: str = "", message: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.recv(1 << 16)
        self._socket.sendall(b'CONNECT {"verbose":false}\r\n')
        self._subject = subject
        self._message = message

    def __call__(self, number: int) -> None:
        self.publish(self._subject, self._message, number)

    def publish(self, subject: str, message: bytes, number: int) -> None:
        """Publish something else."""
        self._socket.sendall(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(message), message) * number)

    def close(self) -> None:
        self._socket.close()


class WebSocketPublisher:
    """Publishes by sending frames on a WebSocket of its own at /publish."""

    def __init__(self, port: int, message: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(
            b"GET /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = self._socket.recv(1 << 16)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise Invalid(f"a peer does not let the driver publish: {answer[:100]!r}")
        self._frame = masked(message)

    def __call__(self, number: int) -> None:
        self._socket.sendall(self._frame * number)

    def close(self) -> None:
        self._socket.close()
