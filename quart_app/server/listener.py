"""The listening socket, and every connection that came through it."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bus import bind_address
from quart_app.errors import CannotListen
from quart_app.server.socket_file import SocketFile

INHERITED = "fd://"
"""What the address of an inherited descriptor begins with."""

SERVICE_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
UNTOUCHED = 0.25
"""Seconds within which a connection that is idle is not closed for another: its request may be on its way."""
MOST_LEAVING = 32
"""Connections that may be on their way out, and still have a descriptor, when another is accepted."""
AT_ONCE = 16
"""Connections that are accepted in one turn of the event loop. asyncio would take all that wait, thousands after a
redeploy: it would do nothing else for that time, and whose request has not been read would be taken for idle."""
ACCEPT_AGAIN = 0.5
"""Seconds after the system refused a connection for want of something in which it is not asked again; asyncio tries
again after one second."""
WANT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What accept(2) fails with when the system has no more to give."""


class Accepted(socket.socket):
    """A connection that tells its listener when it is closed."""

    __slots__ = ("gone", "since")
    gone: Callable[[Accepted], None]
    since: float
    """When it became idle, in seconds of the monotonic clock."""

    def close(self) -> None:
        """Close it."""
        if self.fileno() != -1:
            self.gone(self)
        super().close()


class Listener(socket.socket):
    """A bound socket that can cut what it has accepted, so that its server's end hangs on no client's will.

    It listens only when the server does. Until then connections are refused: a process that starts is not taken for
    one that serves.

    At most `limit` connections are open, and at most `idle_limit` of them are idle; those are connections without a
    request, since they were accepted or since the last answer. For a new one the one idle longest is closed. When none
    is idle, it is answered 503.

    Closed by `end`, or at the end of a `with` block, it takes the file of a Unix socket with it; closed by `close`, as
    asyncio does, it leaves it to who made it.
    """

    address: object = "the inherited socket"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limit = self.idle_limit = 1 << 30
        self._open: dict[int, Accepted] = {}
        self._idle: dict[int, Accepted] = {}  # longest idle first
        self._leaving: set[int] = set()
        self._wanting = float("-inf")
        self._file: SocketFile | None = None
        self._taken = 0
        """How many were accepted in this turn of the event loop."""

    @classmethod
    def bound(cls, address: str, *, mode: int = 0o600) -> Listener:
        """Bind `HOST:PORT`, where an IPv6 host stands in brackets, or `unix:/path`, or take over N of `fd://N`.

        Args:
            mode: permissions of the file of a Unix socket.

        Raises:
            CannotListen: the address is in use, not this machine's, or none.
        """
        try:
            if address.startswith(INHERITED):
                return cls(fileno=int(address.removeprefix(INHERITED)))
            if (path := bind_address.unix_path(address)) is not None:
                return cls._of_file(address, SocketFile(path, mode))
            host, port = bind_address.parse(address, lowest=0)
            return cls._of_tcp(address, (host, port), ipv6=":" in host)
        except (OSError, ValueError, OverflowError) as error:
            raise CannotListen(address, error) from error

    @classmethod
    def several(cls, address: str, count: int, *, mode: int = 0o600) -> list[Listener]:
        """As many as there are processes that are to share an address.

        Of TCP each is a socket of its own, between which the kernel spreads connections, once they listen (SO_REUSEPORT
        in socket(7)). Of a Unix socket there is one, from which each process takes a connection at a time.

        Raises:
            CannotListen: as `bound`.
        """
        alone = cls.bound(address, mode=mode)
        if alone.family == socket.AF_UNIX:
            return [alone] * count
        with alone:  # a shared socket would not notice another server there
            name, ipv6 = alone.getsockname(), alone.family == socket.AF_INET6
        try:
            return [cls._of_tcp(address, name, ipv6=ipv6, shared=True) for _ in range(count)]
        except OSError as error:
            raise CannotListen(address, error) from error

    @classmethod
    def _of_tcp(cls, address: str, name: Any, *, ipv6: bool, shared: bool = False) -> Listener:
        listener = cls(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
        listener.address = address
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(name)
        except BaseException:
            listener.close()
            raise
        return listener

    @classmethod
    def _of_file(cls, address: str, file: SocketFile) -> Listener:
        listener = cls(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.address = address
        try:
            file.bind(listener)
        except BaseException:
            listener.close()
            raise
        listener._file = file
        return listener

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Close it, and remove the file of a Unix socket that `bound` has made."""
        self.close()
        if self._file is not None:
            self._file.remove()
            self._file = None

    def listen(self, *backlog: int) -> None:
        """Let connections come.

        Raises:
            CannotListen: another process was faster.
        """
        try:
            super().listen(*backlog)
        except OSError as error:
            raise CannotListen(self.address, error) from error

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, which `cut` will know.

        Raises:
            BlockingIOError: there is none, or it has to wait.
            OSError: the system has no descriptor or memory for it; said once in a while, between which it has to wait.
        """
        now = time.monotonic()
        # asyncio asks for the next one at once. Of a Unix socket let another process have it.
        if self._taken >= (1 if self.family == socket.AF_UNIX else AT_ONCE):
            self._taken = 0
            raise BlockingIOError
        if now - self._wanting < ACCEPT_AGAIN or len(self._leaving) > MOST_LEAVING:
            raise BlockingIOError
        full = len(self._open) - len(self._leaving) >= self.limit
        if (full or len(self._idle) >= self.idle_limit) and not self._part_with_idle(now):
            if not self._idle:
                self._refuse()
            raise BlockingIOError
        try:
            plain, peer = super().accept()
        except OSError as error:
            self._taken = 0
            if error.errno in WANT:
                self._wanting = now
            raise
        connection = Accepted(plain.family, plain.type, plain.proto, plain.detach())
        connection.gone = self._forget
        connection.since = now
        self._taken += 1
        self._open[connection.fileno()] = self._idle[connection.fileno()] = connection
        return connection, peer

    def mark(self, descriptor: int, *, idle: bool) -> None:
        """Say that a connection has a request now, or none any more."""
        connection = self._idle.pop(descriptor, None) or self._open.get(descriptor)
        if idle and connection is not None:
            connection.since = time.monotonic()
            self._idle[descriptor] = connection

    def cut(self) -> None:
        """End every connection that is still open, at once."""
        for connection in list(self._open.values()):
            _shut(connection)

    def _part_with_idle(self, now: float) -> bool:
        """End the connection that has been idle longest, unless that is not long, or its request waits to be read."""
        oldest = next(iter(self._idle.values()), None)
        if oldest is None or now - oldest.since < UNTOUCHED or _has_said_something(oldest):
            return False
        del self._idle[oldest.fileno()]
        self._leaving.add(oldest.fileno())
        _shut(oldest)  # its transport notices, and closes it
        return True

    def _refuse(self) -> None:
        connection, _ = super().accept()
        with connection, suppress(OSError):
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.recv(65536)  # what is not read makes TCP reset the connection, and the answer is lost
            connection.send(SERVICE_UNAVAILABLE)

    def _forget(self, connection: Accepted) -> None:
        for known in (self._open, self._idle):
            known.pop(connection.fileno(), None)
        self._leaving.discard(connection.fileno())


def _has_said_something(connection: socket.socket) -> bool:
    """Whether there is something that nobody has read."""
    with suppress(OSError):  # nothing is there, or the connection is gone
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # gone by itself
        connection.shutdown(socket.SHUT_RDWR)
