"""How full the stream is, and whether there is room for another job beside the ends of those that are open.

NATS refuses an append to a full stream (`discard: new`), whatever it is. So that a job that was accepted can always
end, new jobs are refused before that: the rest of the stream is kept for what happens to those that are open. Where
NATS itself has to cut (`stream_config.can_be_cut`) there is always room.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bus import subjects
from bus.errors import BusUnavailable, StreamFull
from bus.jetstream import ApiError, JetStream
from bus.stream_config import can_be_cut

FOR_NEW_JOBS = 0.9
"""The share of the stream up to which jobs are accepted."""
KNOWN_FOR = 0.2
"""Seconds for which one look at the stream serves; what this process accepts meanwhile is added."""
KNOWN_AT_LEAST = 0.02
"""Seconds for which it serves even where it says that there is no room."""
LOOK_TIMEOUT = 1.0
"""Deadline in seconds for one look."""

BY_BYTES = "BUS_STREAM_MAX_BYTES"
BY_NUMBER = f"max_msgs of the stream ('nats stream edit {subjects.STREAM}')"
"""What to raise for more room, by what there is no more room for. The latter is an operator's alone."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of the stream is used.

    Args:
        first_seq, last_seq: its oldest and its newest event. Of an empty stream the first is one more than the last.
        used: bytes that its events take.
        max_bytes: bytes that they may take; -1 for any number.
        events: how many there are.
        max_events: how many there may be; -1 for any number.
        max_age: seconds after which NATS removes an event; 0 for never.
        can_be_cut: whether `bus.retention` can make room; if not, NATS does.
    """

    first_seq: int
    last_seq: int
    used: int
    max_bytes: int
    events: int
    max_events: int
    max_age: float
    can_be_cut: bool

    @property
    def room(self) -> float:
        """Bytes that are free."""
        return self.max_bytes - self.used if self.max_bytes > 0 else math.inf

    @property
    def share(self) -> float:
        """How full the stream is: from 0 to 1, by bytes or by number, whichever is nearer to its limit."""
        return max(self._shares)

    @property
    def limit(self) -> str:
        """What to raise for more room."""
        of_bytes, of_number = self._shares
        return BY_NUMBER if of_number > of_bytes else BY_BYTES

    @property
    def _shares(self) -> tuple[float, float]:
        return (
            self.used / self.max_bytes if self.max_bytes > 0 else 0.0,
            self.events / self.max_events if self.max_events > 0 else 0.0,
        )


class Space:
    """The room in the stream, as one process knows it.

    Args:
        jetstream: asked now and then.
    """

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._one_at_a_time = asyncio.Lock()
        self._usage = Usage(1, 0, used=0, max_bytes=-1, events=0, max_events=-1, max_age=0, can_be_cut=True)
        self._looked = -math.inf
        self._accepted = 0
        """Bytes accepted here since the last look."""

    async def usage(self) -> Usage:
        """How much of the stream is used now.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        try:
            return usage_of(await self._jetstream.info())
        except ApiError as error:
            raise BusUnavailable(f"the stream {subjects.STREAM} cannot be read: {error}") from error

    async def require(self, size: int) -> None:
        """Make sure that there is room for a new job, whose request has `size` bytes, as far as is known.

        Raises:
            StreamFull: there is none, now.
        """
        async with self._one_at_a_time:
            if self._looked == -math.inf or (not self._has_room(size) and self._age() > KNOWN_AT_LEAST):
                await self._look()
            if not self._has_room(size):
                raise StreamFull(
                    f"there is no room for another job: {self._usage.share:.0%} of the stream {subjects.STREAM} is in "
                    f"use. Try again when some of the open jobs have ended, or raise {self._usage.limit}"
                )
            self._accepted += size

    async def max_bytes(self) -> int:
        """Bytes that the stream's events may take, as far as is known; -1 for any number."""
        if self._looked == -math.inf:
            async with self._one_at_a_time:
                if self._looked == -math.inf:
                    await self._look()
        return self._usage.max_bytes

    async def refresh(self) -> None:
        """Look again, if the last look is some time ago. It comes after an append, which then need not wait for it."""
        if self._age() > KNOWN_FOR:
            async with self._one_at_a_time:
                if self._age() > KNOWN_FOR:
                    await self._look()

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._looked

    async def _look(self) -> None:
        with suppress(BusUnavailable, TimeoutError):  # which an append says better
            async with asyncio.timeout(LOOK_TIMEOUT):
                self._usage, self._accepted = await self.usage(), 0
        # Also when nobody answered: others must not wait for that one after the other.
        self._looked = asyncio.get_running_loop().time()

    def _has_room(self, size: int) -> bool:
        usage = self._usage
        if not usage.can_be_cut:  # NATS makes room
            return True
        fits = usage.max_bytes < 0 or usage.used + self._accepted + size <= FOR_NEW_JOBS * usage.max_bytes
        return fits and usage.share <= FOR_NEW_JOBS


def usage_of(info: dict[str, Any]) -> Usage:
    """What NATS says of the stream, as far as it tells how much of it is used."""
    state, config = info["state"], info["config"]
    return Usage(
        first_seq=state["first_seq"] or state["last_seq"] + 1,
        last_seq=state["last_seq"],
        used=state["bytes"],
        max_bytes=config.get("max_bytes") or -1,
        events=state["messages"],
        max_events=config.get("max_msgs") or -1,
        max_age=(config.get("max_age") or 0) / 1e9,
        can_be_cut=can_be_cut(config),
    )
