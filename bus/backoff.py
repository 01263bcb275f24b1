"""Backoff: the growing pauses between two attempts at something that may work later."""

from __future__ import annotations

import random

MOST_DOUBLINGS = 60
"""After so many failures in a row pauses no longer grow, which is past anybody's patience."""


class Backoff:
    """Pauses in seconds: the first one, then each twice as long as the one before.

    Args:
        first: seconds of the first pause.
        longest: seconds that no pause is longer than, but for its jitter.
        jitter: by which part of itself a pause is longer or shorter, at random, so that many who failed at the same
            moment do not all try again at the same moment.
    """

    def __init__(self, first: float, longest: float = float("inf"), *, jitter: float = 0.0) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._failures = 0

    def pause(self) -> float:
        """Seconds to wait before the next attempt: one more has failed."""
        self._failures += 1
        return self.pause_after(self._failures)

    def pause_after(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least 1; for who counts them elsewhere."""
        pause = min(self._first * 2.0 ** min(failures - 1, MOST_DOUBLINGS), self._longest)
        return pause * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - only spreads the load

    def reset(self) -> None:
        """Begin with the first pause again: an attempt has worked."""
        self._failures = 0
