"""Connection: one visit after the other, with pauses in between, until it is over for good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from busctl_client.backoff import Backoff
from busctl_client.close_codes import NORMAL
from busctl_client.events import State
from busctl_client.limits import Timings
from busctl_client.session import Session
from busctl_client.signal import Signal
from busctl_client.visit import End, Visit

log = logging.getLogger("busctl_client")

UNEXPECTED = 1011
"""The code of an end by a fault of this package itself."""
CLOSED = End(NORMAL, "the client was closed")
"""Whoever has the client wants no more of it."""


class Connection:
    """Keeps a client connected.

    Args:
        visit: makes the next one.
        session: forgets what the server does not take.
        renewable: whether another token can be had than one that is refused.
        timings: its pauses.
        on_state: is told of every change.
    """

    def __init__(
        self,
        visit: Callable[[], Visit],
        session: Session,
        *,
        renewable: bool,
        timings: Timings,
        on_state: Callable[[State], None],
    ) -> None:
        self.state = State("connecting")
        self.changed = Signal()
        self._visit = visit
        self._session = session
        self._renewable = renewable
        self._timings = timings
        self._on_state = on_state
        self._backoff = Backoff(timings.first_delay, timings.longest_delay)
        self._hurry = asyncio.Event()
        self._began = 0.0
        self._unauthorized = 0  # ends in a row, without a welcome in between
        self._last = End(NORMAL, "")

    def hurry(self) -> None:
        """Connect now, if that is being waited for."""
        self._hurry.set()

    def connected(self) -> None:
        """What was missed has arrived."""
        self._began = asyncio.get_running_loop().time()
        self._enter(State("connected"))

    async def run(self) -> None:
        """Stay connected until the server says that connecting again cannot help, or until cancelled.

        Whatever ends it, the state is `closed` then.
        """
        end = CLOSED
        try:
            end = await self._until_over()
        except Exception as error:
            log.exception("the client failed")
            end = End(UNEXPECTED, f"the client failed: {error!r}")
        finally:
            self.close(end)

    def close(self, end: End) -> None:
        """It is over; told once for each reason."""
        state = State("closed", code=end.code, reason=end.reason)
        if state != self.state:
            self._enter(state)

    async def _until_over(self) -> End:
        while True:
            self._enter(
                State("connecting", code=self._last.code if self._last.reason else None, reason=self._last.reason)
            )
            self._began = 0.0
            self._last = await self._visit().run()
            if self._is_over():
                return self._last
            await self._pause()

    def _is_over(self) -> bool:
        end = self._last
        if end.unauthorized:
            # A token that has expired may have been replaced meanwhile: that is worth one attempt.
            self._unauthorized = 1 if end.welcomed else self._unauthorized + 1
            return self._unauthorized > (1 if end.welcomed or self._renewable else 0)
        if end.welcomed:
            self._unauthorized = 0
        if end.final and not end.welcomed:
            self._session.forget()
        return end.final

    async def _pause(self) -> None:
        end, loop = self._last, asyncio.get_running_loop()
        if self._began and loop.time() - self._began > self._timings.lasted:
            self._backoff.reset()
        delay = max(self._backoff.pause(), end.after)
        log.info("not connected (%s, %s); again in %.1f s", end.code, end.reason, delay)
        self._hurry.clear()
        self._enter(State("waiting", datetime.now(UTC) + timedelta(seconds=delay), end.code, end.reason))
        try:
            async with asyncio.timeout(delay):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _enter(self, state: State) -> None:
        self.state = state
        self.changed.fire()
        self._on_state(state)
