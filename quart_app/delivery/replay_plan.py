"""In which pieces what was counted of a replay is read again and sent."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import repeat


@dataclass(slots=True)
class Part:
    """One subject of what is replayed.

    Args:
        subject: a `bus.` subject, wildcards allowed.
        after: the sequence after which to read on.
        output: whether it is what jobs write, of which pieces can be left out.
        seqs: of the events that were counted, until the plan is made.
        sizes: their bytes.
    """

    subject: str
    after: int
    output: bool = False
    seqs: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))


class ReplayPlan:
    """The pieces, once `divide` was called. Iterated over, it gives of each its bytes, and what to read of each part:
    the number of events, and the last one's sequence.

    Each number of events is exact, so that one which is gone when it is read again is missed.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._pieces = array("q")
        """For each its bytes, then per part the number of its events and the last one's sequence."""

    def divide(self, most: int) -> None:
        """Make pieces of what was counted, in stream order.

        Args:
            most: bytes of a piece; one larger event is a piece of its own.
        """
        width = 1 + 2 * len(self.parts)
        piece = [0] * width
        found = (zip(part.seqs, part.sizes, repeat(1 + 2 * index)) for index, part in enumerate(self.parts))
        for seq, size, at in merge(*found):
            if piece[0] and piece[0] + size > most:
                self._pieces.extend(piece)
                piece = [0] * width
            piece[0] += size
            piece[at] += 1
            piece[at + 1] = seq
        if piece[0]:
            self._pieces.extend(piece)
        for part in self.parts:
            part.seqs, part.sizes = array("q"), array("q")

    def __iter__(self) -> Iterator[tuple[int, list[tuple[Part, int, int]]]]:
        width = 1 + 2 * len(self.parts)
        for begin in range(0, len(self._pieces), width):
            size, *counts = self._pieces[begin : begin + width]
            yield size, list(zip(self.parts, counts[::2], counts[1::2], strict=True))
