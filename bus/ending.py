"""Ends tasks for certain, whatever library they are in at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def end_task(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task, again and again if need be, and wait until it is done; what it raises is let be.

    nats-py swallows a cancellation in several places. So does redis-py, by `asyncio.wait_for`, which until Python 3.12
    returns the result of what has ended in the same moment; then the task would go on for ever.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    if task is not None and not task.cancelled():
        task.exception()  # seen: nobody waits for what it would have done


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Do some work, which ends for certain when this is cancelled, as Ctrl+C does it: once."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        await end_task(task)
    return task.result()
