"""The pauses before connecting again."""

from __future__ import annotations

import random

MOST_DOUBLINGS = 30


class Backoff:
    """Pauses in seconds, each up to twice as long as the one before, spread so that not everybody comes at once.

    Args:
        first: longest first pause.
        longest: that no pause exceeds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def pause(self) -> float:
        """Seconds to wait before the next attempt: one more has failed."""
        ceiling = min(self._longest, self._first * 2.0 ** min(self._failures, MOST_DOUBLINGS))
        self._failures += 1
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - only spreads the load

    def reset(self) -> None:
        """Begin with small pauses again: a connection has lasted."""
        self._failures = 0
