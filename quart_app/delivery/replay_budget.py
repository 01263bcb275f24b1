"""What all replays of this process share, so that many at once cost it no more memory and no more time than a few."""

from __future__ import annotations

from bus.byte_budget import ByteBudget
from quart_app.round_robin import RoundRobin


class ReplayBudget:
    """Memory, and turns of the event loop.

    Args:
        memory_bytes: what all replays may have in memory together.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.memory = ByteBudget(memory_bytes)
        """To be taken for what is in memory of a replay, one piece at a time."""
        self.turn = RoundRobin().turn
        """Lets other tasks have the loop, and comes back when no other replay goes on within the same turn of it."""
