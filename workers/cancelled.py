"""Cancelled: the event that tells a job's function that nobody waits for its result any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Cancelled(threading.Event):
    """A `threading.Event` that coroutines can wait for too: `await job.cancelled`."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], object]] = []

    def set(self) -> None:
        """Set it, and call whoever asked for it. The second time it does nothing."""
        if self.is_set():
            return
        super().set()
        for callback in list(self._callbacks):
            # A job may have closed the loop on which somebody still waits; the others are told all the same.
            try:
                callback()
            except Exception as error:
                log.warning("somebody who waits for the cancel cannot be told", error=repr(error))

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Inside this block `callback` is called when it is set, perhaps twice, by the thread that sets it."""
        self._callbacks.append(callback)
        try:
            if self.is_set():
                callback()
            yield
        finally:
            self._callbacks.remove(callback)

    def __await__(self) -> Generator[Any, None, None]:
        return self._until_set().__await__()

    async def _until_set(self) -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        with self.calling(lambda: loop.call_soon_threadsafe(woken.set)):
            await woken.wait()
