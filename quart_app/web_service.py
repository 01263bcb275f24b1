"""A web process as operators see it: who it is, and which connections it has."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Iterable
from typing import Any, Protocol

from bus import subjects
from bus.services import Endpoint, Json, Service
from quart_app.services import Services
from workers import about

PAGE = 500
"""Connections that are told of in one answer."""


class OpenConnection(Protocol):
    """A connection, as operators see it."""

    @property
    def number(self) -> int:
        """Larger than of every one that was opened before."""

    @property
    def since(self) -> float:
        """When it was opened, as `time.time` has it."""

    @property
    def client_id(self) -> str:
        """Whose it is."""

    @property
    def address(self) -> str:
        """Where its other end is."""

    @property
    def protocol(self) -> str:
        """`plain`, `bus.v1`, or `sse` for events over HTTP."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for its reader."""


def web_service(services: Services, connections: Iterable[Any]) -> Service:
    """What this process tells whoever asks on the bus.

    Args:
        services: of the process.
        connections: all that are open, each an `OpenConnection`. Iterated anew for each question.
    """
    instance = about.new_instance()

    def page(request: bytes) -> Json:
        """Up to `PAGE` connections, the oldest first. The request is a JSON object.

        It may have `after`, a connection's number, for those that are newer, and `client_id`, for those of one client.
        """
        asked = _read(request)
        after, client_id = asked.get("after"), asked.get("client_id")
        after = after if isinstance(after, int) else 0
        later = (each for each in connections if each.number > after and client_id in (None, each.client_id))
        found: list[OpenConnection] = heapq.nsmallest(PAGE, later, key=lambda each: each.number)
        return {"connections": [_told(each) for each in found], "more": len(found) == PAGE}

    def data() -> Json:
        return {"connections": sum(1 for _ in connections), "time": time.time()}

    return Service(
        about.WEB,
        instance=instance,
        version=about.busctl_version(),
        description="serves WebSockets",
        metadata=about.about(services.settings, services.jobs),
        endpoints=[Endpoint("connections", subjects.connections(instance), page, data)],
    )


def _read(request: bytes) -> Json:
    try:
        asked = json.loads(request)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _told(connection: OpenConnection) -> Json:
    return {
        "number": connection.number,
        "client_id": connection.client_id,
        "since": round(connection.since, 3),
        "address": connection.address,
        "protocol": connection.protocol,
        "waiting": connection.waiting,
    }
