"""The load driver: thousands of WebSocket clients on one epoll, which count messages and look at nothing else.

It has to cost little beside the servers it measures; what arrives is counted exactly all the same.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from benchmarks.figure import Invalid
from benchmarks.websocket import Client

DEADLINE = 60.0
"""Seconds without any progress before a run is given up."""

PROBE = 0.5
"""Seconds between two messages that are published to see who hears them."""

CHUNK = 1 << 18


class Clients:
    """Many WebSockets to one server.

    Args:
        port: of the server on 127.0.0.1.
        path: of the WebSocket.
        subprotocol: to ask for.
        first: makes the frames to send right after the upgrade, such as a connect frame.
        ready: what is in the answer to `first`; it is waited for.
        pong: how a ping in the payload (of a protocol inside WebSocket) is answered: (ping, pong).
    """

    def __init__(
        self,
        port: int,
        path: str,
        *,
        subprotocol: str | None = None,
        first: Callable[[], bytes] = bytes,
        ready: bytes = b"",
        pong: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.address = ("127.0.0.1", port)
        asked = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{asked}\r\n"
        ).encode()
        self._first = first
        self._ready_mark = ready
        self._pong = pong
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._open = 0
        self._end = 0.0
        self._unit = 1
        self._reached: list[int] = []
        """How many clients have at least so many messages, by number of messages less one."""

    def __len__(self) -> int:
        return len(self._clients)

    def open(self, number: int, at_once: int = 50) -> None:
        """Open so many more WebSockets, and wait until all are upgraded and have their replies to `first`.

        Args:
            at_once: how many may be opening at the same time.

        Raises:
            Invalid: the server refuses one, or is too slow.
        """
        wanted = len(self._clients) + number
        self._progressed()
        while self._open < wanted:
            while len(self._clients) < min(wanted, self._open + at_once):
                self._connect()
            before = self._open
            self._turn(f"{wanted} open WebSockets")
            if self._open > before:
                self._progressed()

    def close(self) -> None:
        """Close every WebSocket by its TCP connection, as a client that leaves for good."""
        for client in self._clients.values():
            client.socket.close()
        self._clients.clear()
        self._epoll.close()

    def rest(self, seconds: float) -> None:
        """Read for so long, answering pings."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._poll(left)

    def subscribe(self, publish: Callable[[int], None], unit: int) -> None:
        """Publish until every client hears it: some servers accept a WebSocket first and subscribe it later.

        Args:
            unit: payload bytes of a message.
        """
        self.expect(unit, 1)
        self._progressed()
        while self._reached[0] < len(self._clients):
            if time.monotonic() > self._end:
                raise Invalid(
                    f"after {DEADLINE:g} s only {self._reached[0]} of {len(self._clients)} clients hear anything"
                )
            publish(1)
            self.rest(PROBE)
        seen = -1
        while seen != (seen := self.frames()):
            self.rest(PROBE)

    def expect(self, unit: int, number: int) -> None:
        """From now on count messages of `unit` payload bytes, up to `number` of them at each client."""
        self._unit = unit
        self._reached = [0] * number
        for client in self._clients.values():
            if client.partial or client.head:
                raise Invalid("a client got something that nobody sent")
            client.octets = 0

    def paced(self, publish: Callable[[int], None], number: int) -> list[float]:
        """Publish one message after the other, each once the one before has arrived everywhere.

        Returns:
            Seconds from publishing until the last client had it, for each message.
        """
        took = []
        for index in range(number):
            begun = time.perf_counter()
            publish(1)
            self._progressed()
            while self._reached[index] < len(self._clients):
                self._turn(f"message {index + 1} at every client")
            took.append(time.perf_counter() - begun)
        self._verify(number)
        return took

    def burst(self, publish: Callable[[int], None], number: int, in_flight: int) -> float:
        """Publish so that always up to `in_flight` messages are on their way. Returns the seconds it took."""
        begun = time.perf_counter()
        published = arrived = 0
        while arrived < number:
            room = min(number, arrived + in_flight) - published
            if room:
                publish(room)
                published += room
                self._progressed()
            self._turn(f"message {arrived + 1} at every client")
            while arrived < number and self._reached[arrived] == len(self._clients):
                arrived += 1
        took = time.perf_counter() - begun
        self._verify(number)
        return took

    def greetings(self) -> list[bytes]:
        """What each client got first in answer to `first`."""
        return [client.greeting for client in self._clients.values()]

    def frames(self) -> int:
        """Text and binary frames so far, of all clients together."""
        return sum(client.frames for client in self._clients.values())

    def wait_frames(self, number: int) -> None:
        """Read until all clients together have so many frames.

        Raises:
            Invalid: they do not come, or more come.
        """
        self._progressed()
        while self.frames() < number:
            self._turn(f"{number} frames")
        if self.frames() != number:
            raise Invalid(f"{self.frames()} frames came, {number} were expected")

    def _verify(self, number: int) -> None:
        wrong = sum(client.octets != number * self._unit for client in self._clients.values())
        if wrong:
            raise Invalid(f"{wrong} of {len(self._clients)} clients did not get exactly {number} messages")

    def _connect(self) -> None:
        connected = socket.socket()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.connect(self.address)
        connected.setblocking(False)
        connected.send(self._request)
        self._clients[connected.fileno()] = Client(connected, self._pong)
        self._epoll.register(connected.fileno(), select.EPOLLIN)

    def _progressed(self) -> None:
        self._end = time.monotonic() + DEADLINE

    def _turn(self, awaited: str) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise Invalid(f"waited {DEADLINE:g} s in vain for {awaited}")
        self._poll(left)

    def _poll(self, timeout: float) -> int:
        events = self._epoll.poll(timeout)
        for descriptor, _ in events:
            client = self._clients[descriptor]
            data = client.socket.recv(CHUNK)
            if not data:
                raise Invalid("the server closed a connection")
            if client.upgraded:
                self._take(client, data)
            else:
                self._upgrade(client, data)
        return len(events)

    def _upgrade(self, client: Client, data: bytes) -> None:
        head, end, rest = (client.head + data).partition(b"\r\n\r\n")
        if not end:
            client.head = head
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise Invalid(f"the server refuses to upgrade: {head[:100]!r}")
        client.head = b""
        client.upgraded = True
        if first := self._first():
            client.socket.send(first)
        client.waiting = bool(self._ready_mark)
        self._open += not client.waiting
        if rest:
            self._take(client, rest)

    def _take(self, client: Client, data: bytes) -> None:
        before = client.octets
        client.take(data)
        if self._reached:
            for index in range(before // self._unit, min(client.octets // self._unit, len(self._reached))):
                self._reached[index] += 1
        elif client.waiting and self._ready_mark in data:
            client.waiting = False
            client.greeting = data
            self._open += 1
