"""Signal: wakes whoever waits for a change. They look themselves at what has changed, so nothing is stored for them."""

from __future__ import annotations

import asyncio


class Signal:
    """Something changes now and then."""

    def __init__(self) -> None:
        self.count = 0
        """How often it has changed."""
        self._event = asyncio.Event()

    def fire(self) -> None:
        """It has changed."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait until it changes."""
        await self._event.wait()
