"""What an ASGI application is still to receive of one request or WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any


class Inbox:
    """A queue with a bound, for one reader: `asyncio.Queue` has three deques, 2.3 KB for each connection.

    Args:
        most: events that wait at most; who puts more waits.
    """

    __slots__ = ("_events", "_most", "_reader", "_writers")

    def __init__(self, most: int) -> None:
        self._events: list[Any] = []
        self._most = most
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] | None = None

    async def put(self, event: Any) -> None:
        """Put an event behind the others, once there is room."""
        while len(self._events) >= self._most:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._writers = [*(self._writers or ()), room]
            await room
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        """The next event, once there is one."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        event = self._events.pop(0)
        self._make_room()
        return event

    def clear(self) -> None:
        """Drop what waits, and let go on who waits to put more."""
        self._events.clear()
        self._make_room()

    def _make_room(self) -> None:
        writers, self._writers = self._writers, None
        for room in writers or ():  # all of them: one that is cancelled meanwhile keeps nobody waiting
            if not room.done():
                room.set_result(None)
