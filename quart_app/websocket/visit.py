"""One WebSocket from its handshake to its end: counted, and a line in the log for when it opens and when it closes.

The server may close a WebSocket by itself, for frames that break the protocol, and only the server sees the code with
which a client closes. Both are noted in the ASGI scope, by `closed_by_server` and `closed_by_client`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Self

import structlog

from quart_app.close_codes import INTERNAL_ERROR, CloseCode
from quart_app.metrics import Metrics

BY_SERVER = "busctl.closed_by_server"
BY_CLIENT = "busctl.closed_by_client"
"""Keys of `scope["extensions"]`."""
NO_CLOSE_FRAME = 1006
"""Stands for the code of a WebSocket that ended without one (RFC 6455 section 7.1.5)."""

log = structlog.get_logger(__name__)


class Visit:
    """A block in which a WebSocket is served, and what is known of it. One that an exception ends is closed with 1011.

    Log lines from inside the block have its `connection_id`, and then its client's.

    Args:
        metrics: counts it.
        scope: its ASGI scope.
    """

    def __init__(self, metrics: Metrics, scope: Mapping[str, Any]) -> None:
        self.closing: CloseCode | None = None
        """With what this side has closed it, to be set when that is known."""
        self._metrics = metrics
        self._scope = scope
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._accepted = False

    def __enter__(self) -> Self:
        structlog.contextvars.bind_contextvars(connection_id=secrets.token_hex(6))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception):
            self.closing = self.closing or INTERNAL_ERROR
        self._end()
        structlog.contextvars.unbind_contextvars("connection_id", "client_id")

    def accepted(self, protocol: str) -> None:
        """It was accepted, with `plain` or `bus.v1`."""
        self._accepted = True
        self._metrics.opened.labels(protocol).inc()

    def known(self, client_id: str) -> None:
        """It is this client's."""
        structlog.contextvars.bind_contextvars(client_id=client_id)
        log.info("connection opened", path=self._scope["path"])

    def _end(self) -> None:
        if not self._accepted:
            return
        extensions = self._scope.get("extensions") or {}
        by_server: CloseCode | None = extensions.get(BY_SERVER)
        closing = by_server or self.closing
        if closing is None:
            code, reason = int(extensions.get(BY_CLIENT, NO_CLOSE_FRAME)), "client"
            self._metrics.closed_there(code)
        else:
            code, reason = closing.code, closing.name
            if by_server is None:  # else the server has counted it
                self._metrics.closed_here(closing)
        log.info("connection closed", code=code, reason=reason, seconds=round(self._clock() - self._began, 3))


def closed_by_server(scope: Any, code: CloseCode) -> None:
    """Note in an ASGI scope that the server closes a WebSocket by itself, and counts that."""
    scope.setdefault("extensions", {})[BY_SERVER] = code


def closed_by_client(scope: Any, code: int) -> None:
    """Note in an ASGI scope the code with which a client closes. Only the first counts: later ones know less."""
    scope.setdefault("extensions", {}).setdefault(BY_CLIENT, code)
