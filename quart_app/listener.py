"""The listening socket, and every connection that came through it."""

from __future__ import annotations

import socket
import weakref
from contextlib import suppress
from typing import Any

INHERITED = "fd://"
"""What the address of an inherited descriptor begins with."""


class CannotListen(Exception):
    """An address that cannot be listened on."""

    def __init__(self, address: object, reason: Exception) -> None:
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        super().__init__(f"cannot listen on {address}: {text}; choose another address with --bind")


class Listener(socket.socket):
    """A bound TCP socket that can cut what it has accepted, so that its server's end hangs on no client's will.

    It listens only when the server does. Until then connections are refused: a process that starts is not taken for
    one that serves.
    """

    address: object = "the inherited socket"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    @classmethod
    def bound(cls, address: str, *, shared: bool = False) -> Listener:
        """Bind `HOST:PORT`, where an IPv6 host stands in brackets, or take over the descriptor N of `fd://N`.

        Args:
            shared: let other sockets of this user that are shared too have the same address; the kernel spreads
                connections over those that listen (SO_REUSEPORT in socket(7)).

        Raises:
            CannotListen: the address is in use, not this machine's, or none.
        """
        try:
            if address.startswith(INHERITED):
                return cls(fileno=int(address.removeprefix(INHERITED)))
            host, _, port = address.rpartition(":")
            host = host.removeprefix("[").removesuffix("]")
            listener = cls(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            listener.address = address
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if shared:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind((host, int(port)))
            except BaseException:
                listener.close()
                raise
        except (OSError, ValueError, OverflowError) as error:
            raise CannotListen(address, error) from error
        return listener

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
        """The next connection, which `cut` will know."""
        connection, peer = super().accept()
        self._accepted.add(connection)
        return connection, peer

    def cut(self) -> None:
        """End every connection that is still open, at once."""
        for connection in list(self._accepted):
            with suppress(OSError):  # gone by itself
                connection.shutdown(socket.SHUT_RDWR)
