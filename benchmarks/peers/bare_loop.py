"""Nothing but `send(2)`: what comes in on /publish is written to every other socket, one call each.

python -m benchmarks.peers.bare_loop PORT

It does just enough of RFC 6455 to be talked to by the driver, keeps nothing, checks nothing, and buffers nothing. So it
is no server, but the least that one message to each of many sockets costs a Python process.
"""

from __future__ import annotations

import base64
import hashlib
import selectors
import socket
import struct
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASKED = 6
"""Bytes before the payload of a masked frame of up to 125 bytes."""


def accepted(request: bytes) -> bytes:
    """The answer to a handshake."""
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    proof = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + GUID).digest())  # noqa: S324
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"


def payloads(data: bytearray) -> list[bytes]:
    """The messages of all whole frames, which are taken out."""
    found = []
    while len(data) >= MASKED and len(data) >= MASKED + (size := data[1] & 0x7F):
        mask = int.from_bytes(data[2:MASKED], "big")
        keys = (mask.to_bytes(4, "big") * (size // 4 + 1))[:size]
        found.append(bytes(a ^ b for a, b in zip(data[MASKED : MASKED + size], keys, strict=True)))
        del data[: MASKED + size]
    return found


def main(port: int) -> None:
    """Serve until the process is ended."""
    audience: list[socket.socket] = []
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if connection is listener:
                new, _ = listener.accept()
                new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(new, selectors.EVENT_READ)
            elif not (received := connection.recv(1 << 16)):
                selector.unregister(connection)
                if connection in audience:
                    audience.remove(connection)
                connection.close()
            elif key.data is None:
                connection.sendall(accepted(received))
                publishes = received.startswith(b"GET /publish ")
                if not publishes:
                    connection.setblocking(False)
                    audience.append(connection)
                selector.modify(connection, selectors.EVENT_READ, bytearray() if publishes else b"")
            elif isinstance(key.data, bytearray):
                key.data.extend(received)
                for payload in payloads(key.data):
                    frame = struct.pack("!BB", 0x81, len(payload)) + payload
                    for each in audience:
                        each.send(frame)


if __name__ == "__main__":
    main(int(sys.argv[1]))
