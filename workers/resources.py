"""Resources: what the jobs of a process share, such as a pool of connections; opened once, closed in the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from typing import Any, TypeVar, overload

import structlog

from workers.errors import UnusableResource
from workers.job_loop import JobLoop
from workers.written import in_coroutine

log = structlog.get_logger(__name__)

T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
"""Seconds that the async resources of a process get to close."""


class Resources:
    """The resources of one process, by the factory that makes them.

    Args:
        loop: on which async ones are opened, used and closed.
    """

    def __init__(self, loop: JobLoop) -> None:
        self._loop = loop
        self._lock = threading.RLock()
        self._plain: dict[object, object] = {}
        self._to_close = ExitStack()
        self._async: dict[object, _Kept] = {}

    @overload
    def get(self, factory: Callable[[], AbstractAsyncContextManager[T]]) -> Awaitable[T]: ...
    @overload
    def get(self, factory: Callable[[], AbstractContextManager[T]]) -> T: ...
    def get(self, factory: Callable[[], Any]) -> Any:
        """What the context manager gives that `factory` makes; see `JobContext.resource`.

        Raises:
            UnusableResource: the factory makes no context manager, or an async one and this is no coroutine of an
                async job.
            Exception: what opening it raises; the next job tries again.
        """
        if self._loop.is_here() and (kept := self._async.get(factory)) is not None:
            return kept.value()
        with self._lock:
            if factory in self._plain:
                return self._plain[factory]
            manager = factory()
            if isinstance(manager, AbstractAsyncContextManager):
                return self._keep(factory, manager)
            if not isinstance(manager, AbstractContextManager):
                raise UnusableResource(
                    f"{_name(factory)} makes {type(manager).__name__}, which is no context manager: "
                    "put @contextmanager or @asynccontextmanager before a function that yields once"
                )
            self._plain[factory] = value = self._to_close.enter_context(manager)
            return value

    def close(self) -> None:
        """Close all of them, those that were opened last first; what closing raises is logged."""
        if self._async:
            closing = asyncio.run_coroutine_threadsafe(self._close_async(), self._loop.begun())
            try:
                closing.result(CLOSE_TIMEOUT)
            except FutureTimeoutError:
                log.warning("a resource of async jobs does not close; it is left open")
        try:
            self._to_close.close()
        except BaseException:  # whatever it is, the process has more to close
            log.exception("a resource of jobs could not be closed")
        self._plain.clear()

    def _keep(self, factory: object, manager: AbstractAsyncContextManager[Any]) -> Awaitable[Any]:
        if not self._loop.is_here():
            where = ", not on a loop of your own" if in_coroutine() else ""
            raise UnusableResource(f"{_name(factory)} is an async context manager: ask for it in an async job{where}")
        kept = self._async[factory] = _Kept(manager, _name(factory), on_end=lambda: self._async.pop(factory, None))
        return kept.value()

    async def _close_async(self) -> None:
        while self._async:
            _, kept = self._async.popitem()
            await kept.close()


class _Kept:
    """An async resource in a task of its own, which opens and closes it: no cancelled job leaves it half open."""

    def __init__(self, manager: AbstractAsyncContextManager[Any], name: str, on_end: Callable[[], object]) -> None:
        self._manager = manager
        self._name = name
        self._on_end = on_end
        self._opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._keep(), name="keep a resource of jobs")

    async def value(self) -> Any:
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        self._closing.set()
        await asyncio.wait({self._task})

    async def _keep(self) -> None:
        try:
            async with self._manager as value:
                self._opened.set_result(value)
                await self._closing.wait()
        except BaseException as error:
            if not self._opened.done():
                # Anything but an `Exception` would end or cancel whoever waits for it.
                told = error if isinstance(error, Exception) else UnusableResource(f"opening {self._name}: {error!r}")
                self._opened.set_exception(told)
            elif self._closing.is_set():
                log.exception("a resource of jobs could not be closed", resource=self._name)
            else:
                log.exception("a resource of jobs has ended; the next job opens it anew", resource=self._name)
        finally:
            self._on_end()


def _name(factory: object) -> str:
    return getattr(factory, "__qualname__", repr(factory))
