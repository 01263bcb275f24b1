"""Run what a client has asked for to its end, though the client leaves meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

FINISH_TIMEOUT = 5.0
"""Seconds that handlers get to finish once their client has left, or is being sent away."""


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns. Who waits for it can be cancelled, and then what it has begun is not left half done."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_TIMEOUT)
        task.cancel()
        raise


async def uncancelled(work: Awaitable[T]) -> T:
    """What the work returns. That something was cancelled which it waits for ends nobody else.

    Raises:
        RuntimeError: for a `CancelledError`, unless it is who waits here that was cancelled.
    """
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("what was waited for was cancelled") from error
