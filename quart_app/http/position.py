"""Position: where a reader of Server-Sent Events stands, as the `id` of an event says it.

`client:42,system:40@2026-01-01T00:00:00.000000001Z`: per scope the last sequence that was seen, and the stream's epoch.
A browser sends the last one back as `Last-Event-ID`; to it that is an opaque text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from bus.messages import MOST_SCOPES

_CURSOR = r"[A-Za-z0-9_-]{1,64}:\d{1,19}"
_TEXT = re.compile(rf"{_CURSOR}(,{_CURSOR}){{0,{MOST_SCOPES - 1}}}(@[0-9TZ:.+-]{{1,64}})?")


@dataclass(frozen=True, slots=True)
class Position:
    """Cursors by scope, and of which stream they are; None when that is not said."""

    cursors: Mapping[str, int]
    epoch: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id.

        Raises:
            ValueError: it is none.
        """
        if not _TEXT.fullmatch(text):
            raise ValueError("a position is written as client:42,system:40 and, if it is known, @ and the epoch")
        told, _, epoch = text.partition("@")
        pairs = (pair.split(":") for pair in told.split(","))
        cursors = {scope: int(seq) for scope, seq in pairs}
        if max(cursors.values()) >= 2**63:
            raise ValueError("a sequence is too large")
        return cls(cursors, epoch or None)

    def __str__(self) -> str:
        cursors = ",".join(f"{scope}:{seq}" for scope, seq in self.cursors.items())
        return f"{cursors}@{self.epoch}" if self.epoch else cursors
