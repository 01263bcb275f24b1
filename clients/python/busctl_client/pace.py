"""Pace: a client keeps below the rate of frames past which a server closes its connection."""

from __future__ import annotations

import asyncio


class Pace:
    """A token bucket.

    Args:
        rate: frames a second for long.
        burst: frames at once after a silence.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._clock = asyncio.get_running_loop().time
        self._at = self._clock()

    async def next(self) -> None:
        """Wait until one more may be sent."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        if self._left < 0:
            await asyncio.sleep(-self._left / self._rate)
