"""JobLoop: the one event loop of a worker process on which the coroutines of all its jobs run."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import structlog

from workers.cancelled import Cancelled

log = structlog.get_logger(__name__)

CLOSE_TIMEOUT = 5.0
"""Seconds that tasks which jobs have left behind get to end, and then the loop."""
LOOK_AGAIN = 1.0
"""Seconds after which a thread that waits looks by itself."""


class JobLoop:
    """An event loop on a thread of its own, begun at its first use.

    It runs between jobs too, so that what a job keeps for the next one (an HTTP client, a pool of connections) goes on
    living. A process that is forked must not have used it before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Awaitable[object], cancelled: Cancelled) -> object:
        """Run `work` on the loop, and wait here for what it returns or raises.

        It is cancelled, once, when `cancelled` is set, and when a signal raises something in the thread that waits
        here; that is raised on when the work has ended.
        """
        call, loop = _Call(work), self.begun()
        try:
            loop.call_soon_threadsafe(call.begin)
            with cancelled.calling(lambda: loop.call_soon_threadsafe(call.cancel)):
                call.wait()
        except BaseException:
            loop.call_soon_threadsafe(call.cancel)
            call.wait()
            raise
        return call.result()

    def begun(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs from now on."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="jobs", daemon=True)
                self._thread.start()
            return self._loop

    def is_here(self) -> bool:
        """Whether it runs in the thread that asks."""
        return self._thread is threading.current_thread()

    def close(self) -> None:
        """Cancel what still runs, and end the thread. Does nothing when it was never used."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(CLOSE_TIMEOUT)
        except FutureTimeoutError:
            log.warning("what async jobs have left behind does not end")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_TIMEOUT)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                log.error("a task that a job left behind raised", error=repr(error))
            else:
                if self._loop is not loop:
                    break
                log.error("a job stopped the event loop of all jobs; it goes on")
        loop.close()


class _Call:
    """One piece of work on the loop. Everything but `wait` and `result` is called on the loop."""

    def __init__(self, work: Awaitable[object]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._value: object = None
        self._error: BaseException | None = None
        self._cancelled = False
        self._done = False
        # A bare lock: a signal may raise in the thread that waits at any moment, and must not leave it locked for us.
        self._ended = threading.Lock()
        self._ended.acquire()

    def begin(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        if self._task is None:  # a signal came before `begin` was handed over
            self.begin()
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def wait(self) -> None:
        while not self._done:
            self._ended.acquire(timeout=LOOK_AGAIN)

    def result(self) -> object:
        if self._error is not None:
            raise self._error
        return self._value

    async def _run(self) -> None:
        try:
            self._value = await self._work
        except BaseException as error:  # a SystemExit would end the loop
            self._error = error

    def _end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before it began
            self._error = asyncio.CancelledError()
            if inspect.iscoroutine(self._work):
                self._work.close()
        self._done = True
        self._ended.release()


async def _cancel_all() -> None:
    tasks: set[asyncio.Task[Any]] = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await asyncio.get_running_loop().shutdown_asyncgens()
