"""How fast one client may talk."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bus import Settings

RATE_EXTENSION = "busctl.frame_rate"
"""The ASGI extension of a server that counts the frames that an app never sees: pings, pongs and fragments."""


class TokenBucket:
    """A token bucket: a frame takes a token, and so many tokens come back in a second.

    Args:
        rate: frames a second for as long as one likes.
        burst: frames at once, after a silence.
    """

    __slots__ = ("_burst", "_rate", "_seen", "_tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._seen = 0.0

    def exceeded(self) -> bool:
        """Count one more frame now, and say whether it is one too many."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        self._tokens -= 1
        return self._tokens < 0


def bucket_of(scope: Mapping[str, Any], settings: Settings) -> TokenBucket:
    """The bucket of a WebSocket: the server's, in which the app counts whole messages, or one for those alone."""
    extension = (scope.get("extensions") or {}).get(RATE_EXTENSION) or {}
    rate: TokenBucket | None = extension.get("rate")
    return rate or TokenBucket(settings.frame_rate, settings.frame_burst)
