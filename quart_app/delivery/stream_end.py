"""What the stream says of itself, asked once for all who want to know it at the same moment."""

from __future__ import annotations

import asyncio

import structlog

from bus import Bus, BusUnavailable, StreamState

log = structlog.get_logger(__name__)

MARGIN = 10_000
"""How far past its known end the stream may have grown unnoticed; a live message from further on is not believed."""


class StreamEnd:
    """The stream's state, and how far it is known to reach. Only its own answers count, never what was heard live.

    Args:
        bus: where to ask.
    """

    def __init__(self, bus: Bus) -> None:
        self.last_seq = 0
        """The stream's last sequence at the last answer."""
        self._bus = bus
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
            self.last_seq = state.last_seq
            return state

    def _asked_for(self, task: asyncio.Task[StreamState]) -> None:
        """Every caller may have left before a request failed; its error is then nobody's."""
        self._asking.discard(task)
        if not task.cancelled() and not isinstance(task.exception(), BusUnavailable | None):
            log.error("could not ask for the stream's state", exc_info=task.exception())
