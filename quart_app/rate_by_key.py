"""How fast each of many may go on: a token bucket for every key, in memory that does not grow with their number."""

from __future__ import annotations

import time

MOST_REMEMBERED = 10_000
"""Keys whose tokens are remembered; past it those that were longest silent are forgotten, and begin anew."""


class RateByKey:
    """Token buckets, kept as the moment until which each is paid for (generic cell rate algorithm).

    Args:
        rate: tokens that come back in a second.
        burst: tokens that there are after a silence.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._slack = burst / rate
        self._paid: dict[str, float] = {}
        """Until when what a key has taken lasts at its rate; who was heard longest ago first."""

    def __len__(self) -> int:
        return len(self._paid)

    def take(self, key: str, tokens: float = 1.0) -> bool:
        """Take so many; False, and nothing is taken, when there are fewer."""
        now = time.monotonic()
        before = max(now, self._paid.get(key, now))
        after = before + tokens / self._rate
        taken = after - now <= self._slack + 1e-6
        self._remember(key, after if taken else before)
        return taken

    def charge(self, key: str, tokens: float) -> None:
        """Take so many, whether they are there or not."""
        now = time.monotonic()
        self._remember(key, max(now, self._paid.get(key, now)) + tokens / self._rate)

    def owes(self, key: str) -> float:
        """Seconds until what was charged beyond the burst is paid; 0 when nothing is owed."""
        now = time.monotonic()
        return max(0.0, self._paid.get(key, now) - now - self._slack)

    def _remember(self, key: str, paid: float) -> None:
        self._paid.pop(key, None)
        self._paid[key] = paid
        if len(self._paid) > MOST_REMEMBERED:
            del self._paid[next(iter(self._paid))]
