"""A connection that keeps what delivery gives it."""

from __future__ import annotations

from quart_app.close_codes import CloseCode
from quart_app.delivery.batch import Batch


class RecordingMember:
    """Stands in for a connection of one client.

    Args:
        client_id: whose it is.
        groups: which it is in.
        v1: whether it speaks `bus.v1`.
    """

    def __init__(self, client_id: str = "ann", groups: tuple[str, ...] = (), *, v1: bool = False) -> None:
        self.client_id = client_id
        self.groups = groups
        self.v1 = v1
        self.batches: list[Batch] = []
        self.closed: list[CloseCode] = []

    def deliver(self, batch: Batch) -> None:
        """Keep a batch."""
        self.batches.append(batch)

    def close(self, code: CloseCode) -> None:
        """Keep a close code."""
        self.closed.append(code)

    @property
    def seqs(self) -> list[tuple[int, int]]:
        """First and last sequence of each batch."""
        return [(batch.first, batch.last) for batch in self.batches]
