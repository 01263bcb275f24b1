"""Live events that wait until their connection has sent what its client missed."""

from __future__ import annotations

from collections.abc import Mapping

from quart_app.delivery.batch import Batch


class PendingBatches:
    """Batches in the order in which they came, within bounds, without what the replay brings too.

    Args:
        limit: bytes of events for which there is room.
    """

    __slots__ = ("_batches", "_cursors", "_limit", "_size", "overflowed")

    def __init__(self, limit: int) -> None:
        self.overflowed = False
        """Whether there was no room for one, and all were let go."""
        self._batches: list[Batch] = []
        self._cursors: Mapping[str, int] = {}
        self._limit = limit
        self._size = 0

    def add(self, batch: Batch) -> bool:
        """Keep one more, unless the replay brings all of it.

        Returns:
            False when there is no room for it. Then nothing is pending any more.
        """
        if batch.last <= self._cursors.get(batch.scope, 0):
            return True
        self._batches.append(batch)
        self._size += batch.bytes
        if self._size <= self._limit:
            return True
        self._batches.clear()
        self._size = 0
        self.overflowed = True
        return False

    def drop_replayed(self, cursors: Mapping[str, int]) -> None:
        """Keep nothing, now and later, that the replay brings.

        Args:
            cursors: per scope, the last sequence that it brings.
        """
        self._cursors = cursors
        for batch in self.take():
            self.add(batch)

    def take(self) -> list[Batch]:
        """All of them; none is pending any more."""
        batches, self._batches, self._size = self._batches, [], 0
        return batches
