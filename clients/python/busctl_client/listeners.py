"""Listeners: who is told of what happens, by a callback or by reading."""

from __future__ import annotations

import inspect
import logging
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from busctl_client.errors import BusctlError, ClientClosed, EventsDropped
from busctl_client.events import Event
from busctl_client.signal import Signal

log = logging.getLogger("busctl_client")

EVERY = "*"
"""Stands for every action."""
OWN = frozenset({"state", "welcome", "job", EVERY})
"""Names by which callbacks are told something else than the event of that name."""


class Events:
    """Events for one reader: `async for event in client.events(...)`. Made by `Client.events`.

    It has room for `most` events. When a reader is slower than that, the oldest are dropped, and it is told.
    """

    def __init__(self, most: int, trouble: Callable[[], BusctlError | None]) -> None:
        if most < 1:
            raise ValueError("room for at least 1 event is needed")
        self._waiting: deque[Event] = deque(maxlen=most)
        self._dropped = 0
        self._came = Signal()
        self._trouble = trouble

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        """The next one; the end when the client is closed.

        Raises:
            EventsDropped: some were dropped before it. Read on for what is left.
            ConnectionClosed: the server has closed the connection for good.
        """
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                raise EventsDropped(dropped)
            if self._waiting:
                return self._waiting.popleft()
            trouble = self._trouble()
            if isinstance(trouble, ClientClosed):
                raise StopAsyncIteration
            if trouble is not None:
                raise trouble
            await self._came.wait()

    def put(self, event: Event) -> None:
        """One has come."""
        if len(self._waiting) == self._waiting.maxlen:
            self._dropped += 1
        self._waiting.append(event)
        self.wake()

    def wake(self) -> None:
        """Look whether it is worth waiting still."""
        self._came.fire()


class Listeners:
    """Callbacks and readers, by name."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callable[[Any], object]]] = {}
        self._readers: weakref.WeakKeyDictionary[Events, frozenset[str]] = weakref.WeakKeyDictionary()

    def on(self, name: str, callback: Callable[[Any], object]) -> Callable[[], None]:
        """Call it for each; returns what takes that back.

        Raises:
            TypeError: it is a coroutine function, which nobody would await.
        """
        if inspect.iscoroutinefunction(callback):
            raise TypeError(
                "a callback must be an ordinary function, which returns at once; to await something for each event, "
                "read them: `async for event in client.events(...)`"
            )
        callbacks = self._callbacks.setdefault(name, [])
        callbacks.append(callback)

        def off() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return off

    def read(self, names: tuple[str, ...], reader: Events) -> Events:
        """Give it the events of these actions, for as long as somebody has it."""
        self._readers[reader] = frozenset(names or (EVERY,))
        return reader

    def tell(self, name: str, value: object) -> None:
        """It has happened. A callback that fails is logged, and harms nobody else."""
        for callback in list(self._callbacks.get(name, ())):
            try:
                callback(value)
            except Exception:
                log.exception("a callback for %r failed", name)

    def tell_event(self, event: Event) -> None:
        """The same for an event, of which readers are told too."""
        if event.action not in OWN:
            self.tell(event.action, event)
        self.tell(EVERY, event)
        for reader, names in list(self._readers.items()):
            if event.action in names or EVERY in names:
                reader.put(event)

    def wake(self) -> None:
        """Have every reader look whether it is worth waiting still."""
        for reader in list(self._readers):
            reader.wake()
