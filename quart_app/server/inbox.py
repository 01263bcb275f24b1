"""What an ASGI application is still to receive of one request or WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

from hypercorn.asyncio import task_group
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.config import Config


class Inbox:
    """A queue with a bound. `asyncio.Queue` has three deques, 2.3 KB for each connection.

    As there, who waits has no deadline: both sides end with their connection.

    Args:
        most: events that wait at most, one or more; who puts another waits.
    """

    __slots__ = ("_events", "_most", "_waiting")

    def __init__(self, most: int) -> None:
        self._events: list[Any] = []
        self._most = most
        self._waiting: list[asyncio.Future[None]] = []
        """Who waits for room, or for an event; never both, since it is not full and empty at once."""

    async def put(self, event: Any) -> None:
        """Put an event behind the others, once there is room."""
        while len(self._events) >= self._most:
            await self._change()
        self._events.append(event)
        self._changed()

    async def get(self) -> Any:
        """The next event, once there is one."""
        while not self._events:
            await self._change()
        event = self._events.pop(0)
        self._changed()
        return event

    def clear(self) -> None:
        """Drop what is there, and let go on who waits to put more."""
        self._events.clear()
        self._changed()

    async def _change(self) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        try:
            await change
        finally:
            if change in self._waiting:  # cancelled
                self._waiting.remove(change)

    def _changed(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for change in waiting:  # all of them look again, so that one which is cancelled meanwhile holds nobody up
                if not change.done():
                    change.set_result(None)


class Tasks(TaskGroup):
    """The tasks of one connection. What its application is to receive waits in an `Inbox`."""

    async def spawn_app(self, app: Any, config: Config, scope: Any, send: Any) -> Any:
        """Begin the application, and return what puts events into its inbox."""
        inbox = Inbox(config.max_app_queue_size)
        for_wsgi = (None, None)
        self.spawn(task_group._handle, app, config, scope, inbox.get, send, *for_wsgi)
        return inbox.put
