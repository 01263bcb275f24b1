"""What a feed has passed on since it last read the stream itself."""

from __future__ import annotations

from array import array

from bus import Stored


class PassedOn:
    """Live events by sequence and content, 16 bytes each: a forged one may have had the sequence of a real one."""

    __slots__ = ("_hashes", "_seqs", "last")

    def __init__(self) -> None:
        self.last = 0
        """The largest sequence."""
        self._seqs = array("q")
        self._hashes = array("q")

    def __len__(self) -> int:
        return len(self._seqs)

    def add(self, stored: Stored) -> None:
        """Note an event."""
        self._seqs.append(stored.seq)
        self._hashes.append(hash(stored.data))
        self.last = max(self.last, stored.seq)

    def has(self, stored: Stored) -> bool:
        """Whether this very event was passed on."""
        if stored.seq > self.last:
            return False
        content = hash(stored.data)
        return any(seq == stored.seq and noted == content for seq, noted in zip(self._seqs, self._hashes, strict=True))

    def oldest(self, count: int) -> int:
        """The largest sequence among the `count` that were noted first."""
        return max(self._seqs[:count], default=0)

    def forget(self, count: int) -> None:
        """Forget the `count` that were noted first."""
        del self._seqs[:count], self._hashes[:count]

    def keep_after(self, seq: int) -> None:
        """Forget all up to a sequence."""
        kept = [pair for pair in zip(self._seqs, self._hashes, strict=True) if pair[0] > seq]
        self._seqs = array("q", (pair[0] for pair in kept))
        self._hashes = array("q", (pair[1] for pair in kept))
        self.last = max(self._seqs, default=0)
