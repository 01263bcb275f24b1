"""So many bytes at once, for everybody who asks, in the order in which they ask."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """Bounds what several tasks keep in memory together.

    Nobody overtakes: a small request waits behind a large one, so that the large one is served too. Hold one piece at a
    time: a task that waits for a second one while it holds the first can wait for ever.

    Args:
        size: bytes that may be held at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Wait for `size` bytes, and have them until the end of the block. More than there are means all of them."""
        taken = await self.take(size)
        try:
            yield
        finally:
            self.give_back(taken)

    async def take(self, size: int) -> int:
        """Wait for `size` bytes, or for all there are if that is less. Returns how many they are: give them back."""
        size = min(size, self.size)
        if self._waiting or self.held + size > self.size:
            await self._wait(size)
        else:
            self.held += size
        return size

    def give_back(self, size: int) -> None:
        """Leave bytes that were taken to others, at once or some at a time."""
        self.held -= size
        self._grant()

    async def _wait(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(size)  # it was granted in the same moment
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._grant()  # the next one may have waited for this one only
            raise

    def _grant(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.size:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.held += size
                turn.set_result(None)
