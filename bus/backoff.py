"""Backoff: the growing pauses between two attempts at something that may work later."""

from __future__ import annotations


class Backoff:
    """Pauses in seconds: the first one, then each twice as long as the one before.

    Args:
        first: seconds of the first pause.
        longest: seconds that no pause is longer than.
    """

    def __init__(self, first: float, longest: float = float("inf")) -> None:
        self._first = first
        self._longest = longest
        self._next = min(first, longest)

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again: an attempt has worked."""
        self._next = min(self._first, self._longest)
