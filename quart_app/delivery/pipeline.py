"""The way of events through this process, from the bus to its connections, put together.

    NATS → bus → feed → batch ‖ one turn of the event loop ‖ fan-out → connection → send queue → frame writer

No call goes back up. A feed that is behind does not ask for what it missed: it puts itself into a queue, and `Refill`
takes it from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from bus import Bus
from bus.messages import Message
from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.fan_out import FanOut
from quart_app.delivery.feed import Feed
from quart_app.delivery.group_history import GroupHistory
from quart_app.delivery.hub import Hub
from quart_app.delivery.refill import Refill
from quart_app.delivery.replay_budget import ReplayBudget
from quart_app.delivery.stream_end import StreamEnd
from quart_app.metrics import Metrics


class Pipeline:
    """The parts of the delivery of events, one of each per process.

    Args:
        bus: the process's bus.
        events: every event class that a channel of this app handles, by action.
        metrics: where events and replays are counted.
        replay_memory_bytes: what all replays may have in memory together.
        on_ended: as for `EventParser`.
    """

    def __init__(
        self,
        bus: Bus,
        events: Mapping[str, type[Message]],
        metrics: Metrics,
        *,
        replay_memory_bytes: int,
        on_ended: Callable[[str, str], None] = lambda client_id, job_id: None,
    ) -> None:
        behind: asyncio.Queue[Feed] = asyncio.Queue()
        self.bus = bus
        self.end = StreamEnd(bus)
        """How far the stream reaches."""
        self.metrics = metrics
        self.parser = EventParser(bus, events, on_ended)
        self.hub = Hub(bus, self.end, self.parser, FanOut(metrics), behind)
        """Which connections hear what."""
        self.replay_budget = ReplayBudget(replay_memory_bytes)
        self.history = GroupHistory(bus, self.parser)
        """What those who come back have missed of their groups."""
        self.end.on_put_back = self._begin_again
        self._refill = Refill(bus, self.end, self.hub, behind, metrics.refilled.inc)

    async def start(self, groups: Iterable[str]) -> None:
        """Subscribe once to each group, and begin to refill.

        Raises:
            BusUnavailable: NATS does not confirm it.
        """
        state = await self.end.state()
        await self.hub.open_groups(groups, state.last_seq)
        self._refill.start(state.epoch)

    def on_gap(self) -> None:
        """NATS was away, or messages were dropped."""
        self.end.doubt()
        self.hub.on_gap()

    async def stop(self) -> None:
        """End the tasks of its parts. Safe to call when `start` failed half-way."""
        await self._refill.stop()
        await self.end.stop()

    def _begin_again(self) -> None:
        """The stream was put back: what clients were told of its sequences holds no more, and they come back."""
        self.history.forget()
        self.hub.on_gap()
        self.hub.close_all(SERVICE_RESTART)
