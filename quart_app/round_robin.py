"""Many that have much to do at once: each does a little, then waits until all the others have had their turn."""

from __future__ import annotations

import asyncio
from collections import deque


class RoundRobin:
    """Lets one of those that wait go on in each turn of the event loop.

    However many wait, a turn of the loop has no more of their work than one of them does between two waits; so who has
    little to do is served as if they were one.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for the next turn; at least until the next turn of the event loop."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._next)
        self._waiting.append(mine)
        await mine

    def _next(self) -> None:
        while self._waiting:
            one = self._waiting.popleft()
            if not one.done():  # its task was cancelled
                one.set_result(None)
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
