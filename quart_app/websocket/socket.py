"""Socket: what a connection needs of whatever leads to its client."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from werkzeug.datastructures import Headers


class Scoped(Protocol):
    """What a server has begun for a client: a WebSocket, or a request."""

    @property
    def scope(self) -> Any:
        """The ASGI scope."""


class Socket(Scoped, Protocol):
    """A WebSocket of Quart, or what stands for one where events leave in another way."""

    @property
    def headers(self) -> Headers:
        """Those of the request that opened it."""

    def receive(self) -> Awaitable[Any]:
        """The next frame: text, bytes, or None. Raises `CancelledError` when the client has left."""

    async def send(self, data: str) -> None:
        """Send a text frame. Returns when there is room for another; has no deadline of its own."""

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye with a code of `quart_app.close_codes`."""


def peer_of(socket: Scoped) -> str | None:
    """The address of the other end, without a port; None when it has none, as over a Unix socket."""
    client = socket.scope.get("client")
    return str(client[0]) if client else None
