"""What the stream says of itself, asked once for all who want to know it at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bus import Bus, BusUnavailable, StreamState

log = structlog.get_logger(__name__)

MARGIN = 10_000
"""How far past its known end the stream may have grown unnoticed; a live message from further on is not believed."""


class StreamEnd:
    """The stream's state, and how far it is known to reach. Only its own answers count, never what was heard live.

    It notices when the stream was put back to an older state, as by a loss of power: it ends before where it did, or
    something else stands there. One with replicas is not said to end earlier before that is certain (`bus.quorum`).

    Args:
        bus: where to ask.
    """

    def __init__(self, bus: Bus) -> None:
        self.last_seq = 0
        """The stream's last sequence at the last answer."""
        self.lost = 0
        """Up to here a sequence may be that of an event which the stream has no more; 0 while it was not put back."""
        self.on_put_back: Callable[[], None] = lambda: None
        """Called when the stream was put back, before anybody is told of its state."""
        self._bus = bus
        self._known: StreamState | None = None
        self._doubted = False
        """Whether the stream may have been put back unnoticed, and has come further since than it was."""
        self._asking: set[asyncio.Task[StreamState]] = set()
        self._next: asyncio.Task[StreamState] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def state(self) -> StreamState:
        """The state at some moment after the call. Callers that need not wait for each other share one request.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        return await asyncio.shield(self._ask())

    def reaches(self, seq: int) -> bool:
        """Whether the stream may have come as far as this. When that needs knowing soon, it is asked meanwhile."""
        if seq > self.last_seq + MARGIN // 2:
            self.look()
        return seq <= self.last_seq + MARGIN

    def doubt(self) -> None:
        """NATS was away: see at the next answer whether this is the stream that it was."""
        self._doubted = True

    def look(self) -> None:
        """Ask, and let nobody wait for it."""
        if not self._one_at_a_time.locked():
            self._ask()

    async def stop(self) -> None:
        """Give up what is being asked."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _ask(self) -> asyncio.Task[StreamState]:
        if self._next is None:
            self._next = asyncio.create_task(self._asked(), name="ask for the stream's state")
            self._asking.add(self._next)
            self._next.add_done_callback(self._asked_for)
        return self._next

    async def _asked(self) -> StreamState:
        async with self._one_at_a_time:
            self._next = None  # whoever comes from here on wants a later answer
            state = await self._bus.stream.state()
            if (known := self._known) is None or known.epoch != state.epoch:
                self.lost = 0
            elif await self._was_put_back(known, state):
                was, now = known.last_seq, state.last_seq
                log.warning(
                    "the stream was put back to an older state; every client has to reconnect", was=was, now=now
                )
                self.lost = max(was, now)
                self.on_put_back()
            self._known, self.last_seq = state, state.last_seq
            return state

    async def _was_put_back(self, known: StreamState, state: StreamState) -> bool:
        """Whether it is not the stream any more that it was in the state that is known."""
        if state.last_seq < known.last_seq or not self._doubted:
            return state.last_seq < known.last_seq
        self._doubted = False
        try:
            stored = await self._bus.stream.first(">", seq=known.last_seq) if known.last_seq else None
        except BusUnavailable:
            self._doubted = True
            raise
        return stored is not None and stored.seq == known.last_seq and stored.timestamp != known.last_at

    def _asked_for(self, task: asyncio.Task[StreamState]) -> None:
        """Every caller may have left before a request failed; its error is then nobody's."""
        self._asking.discard(task)
        if not task.cancelled() and not isinstance(task.exception(), BusUnavailable | None):
            log.error("could not ask for the stream's state", exc_info=task.exception())
