"""What goes on beside a running job, on the bus's loop: answering for it, limiting its time, showing its progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bus import Bus, Settings, Subscription, holder
from bus.messages import JobProgress

GRACE = 2.0
"""Seconds that a job over its time has to notice it, before its failure is stored without it."""


class Hold:
    """Holds one job for as long as this process works on it. `begin`, `limit` and `end` are called on
    the bus's loop.

    Args:
        client_id, job_id: the job.
        settings: for the rate of progress messages.
        on_cancel: called on the loop when the job was cancelled.
    """

    def __init__(self, client_id: str, job_id: str, settings: Settings, on_cancel: Callable[[], None]) -> None:
        self._client_id = client_id
        self._job_id = job_id
        self._interval = settings.progress_interval
        self._on_cancel = on_cancel
        self._bus: Bus | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._over: asyncio.Task[None] | None = None
        self._latest: JobProgress | None = None
        self._progressing = False

    async def begin(self, bus: Bus) -> None:
        """Answer for the job from now on. Does nothing when that has begun already."""
        if self._subscription is None:
            self._bus = bus
            self._loop = asyncio.get_running_loop()
            self._subscription = await holder.hold(bus, self._job_id, self._on_cancel)

    def limit(self, seconds: float, on_over: Callable[[], None], give_up: Callable[[], Awaitable[None]]) -> None:
        """Call `on_over` on the loop after `seconds`, and run `give_up` if the job is still held `GRACE` later."""

        async def over() -> None:
            on_over()
            await asyncio.sleep(GRACE)
            await give_up()

        def begin() -> None:
            self._over = self._own(over())

        self._watch = asyncio.get_running_loop().call_later(seconds, begin)

    def relax(self) -> None:
        """Stop limiting the time, from any thread: this attempt is over."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop_watch)

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Note progress, from any thread. The latest is sent at most once in `progress_interval`."""
        self._latest = JobProgress(payload=fraction, message=message, job_id=self._job_id)
        if not self._progressing and self._loop is not None:
            self._progressing = True
            self._loop.call_soon_threadsafe(lambda: self._own(self._send_progress()))

    async def end(self) -> None:
        """Let go: no progress, no limit and no answer after this."""
        self._stop_watch()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._over is not None:
            self._over.cancel()

    async def _send_progress(self) -> None:
        while (latest := self._latest) is not None and self._bus is not None:
            self._latest = None
            await self._bus.publish_progress(latest, self._client_id, self._job_id)
            await asyncio.sleep(self._interval)
        self._progressing = False

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
