"""What all replays of this process share, so that many at once cost it no more memory and no more time than a few."""

from __future__ import annotations

import asyncio

from bus.byte_budget import ByteBudget


class ReplayBudget:
    """Memory, and turns of the event loop.

    Args:
        memory_bytes: what all replays may have in memory together.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.memory = ByteBudget(memory_bytes)
        """To be taken for what is in memory of a replay, one piece at a time."""
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Let other tasks have the loop, and come back when no other replay goes on within the same turn of it."""
        async with self._turn:
            await asyncio.sleep(0)
