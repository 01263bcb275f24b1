"""Hands batches of events to connections, so many in a turn of the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Protocol

from bus import times
from quart_app.close_codes import CloseCode
from quart_app.delivery.batch import Batch, Encoded
from quart_app.metrics import Metrics

DELIVERIES_IN_A_ROW = 500
"""After so many, about 5 ms, other tasks get a turn."""

LAG_EVERY = 0.1
"""Least seconds between two events of which it is measured how old they are."""


class Member(Protocol):
    """A connection, as those who bring it events see it."""

    def deliver(self, batch: Batch) -> None:
        """Send what the client is shown of a batch. Must neither wait nor raise."""

    def close(self, code: CloseCode) -> None:
        """Send what waits, then close. Must neither wait nor raise."""


class Recipients(Protocol):
    """Who gets the events of one scope."""

    @property
    def scope(self) -> str:
        """`client`, or a group's name."""

    @property
    def members(self) -> dict[Member, None]:
        """The connections, at the moment when a batch is handed out."""


class FanOut:
    """Collects events into one batch for each scope, and delivers the batches in the order in which they were begun.

    An event waits for the next turn of the loop, and shares a batch with whatever else comes by then. While there is
    more to deliver than fits in a turn, what comes meanwhile makes larger batches and not more of them.

    Args:
        metrics: counts the events and their deliveries, and measures how old they are.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: OrderedDict[Recipients, Batch] = OrderedDict()
        """Batches that nobody was given yet, and that still grow."""
        self._batch = Batch("")
        self._left: list[Member] = []
        """The batch that is being handed out, and who has not got it yet."""
        self._scheduled = False
        self._lag_at = 0.0

    def add(self, to: Recipients, encoded: Encoded) -> None:
        """Deliver an event in a later turn of the loop, to whoever is a member then.

        Args:
            to: one scope's connections. What is added for them keeps its order.
            encoded: the event, once for all of them.
        """
        batch = self._waiting.get(to)
        if batch is None:
            batch = self._waiting[to] = Batch(to.scope)
            self._schedule()
        batch.add(encoded)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._scheduled = False
        room = DELIVERIES_IN_A_ROW
        while room > 0 and (self._left or self._waiting):
            if not self._left:
                to, self._batch = self._waiting.popitem(last=False)
                self._left = list(to.members)
                self._metrics.events.inc(len(self._batch))
                self._metrics.deliveries.inc(len(self._batch) * len(self._left))
                self._metrics.delivered.inc(self._batch.bytes * len(self._left))
                self._look_at_lag()
            now, self._left = self._left[:room], self._left[room:]
            room -= len(now)
            for member in now:
                member.deliver(self._batch)
        if self._left or self._waiting:
            self._schedule()

    def _look_at_lag(self) -> None:
        if (now := time.monotonic()) < self._lag_at or (stored_at := self._batch.stored_at) is None:
            return
        self._lag_at = now + LAG_EVERY
        self._metrics.lag.observe(max(0.0, time.time() - times.read(stored_at).timestamp()))
