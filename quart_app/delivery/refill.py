"""Brings feeds that have fallen behind up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from bus import Bus, StreamState
from quart_app.delivery.feed import Feed
from quart_app.delivery.hub import Hub
from quart_app.delivery.stream_end import StreamEnd

log = structlog.get_logger(__name__)

FEEDS_AT_ONCE = 32
"""Feeds that read the stream at the same time."""
ROUND_PAUSE = 0.02
"""Seconds between two rounds: whoever makes feeds fall behind on purpose cannot keep the loop busy."""
REFILL_AGAIN = 0.5
"""Seconds before feeds that could not be refilled are tried again."""


class Refill:
    """One task that refills all feeds that are behind, in rounds, so that they share a look at the stream's state.

    Args:
        bus: whose stream is read.
        end: how far the stream reaches.
        hub: begins anew when the stream turns out to be another one.
        behind: the feeds that have fallen behind. As each is in it once at most, there are never more than feeds.
        refilled: called with how many feeds were refilled.
    """

    def __init__(
        self,
        bus: Bus,
        end: StreamEnd,
        hub: Hub,
        behind: asyncio.Queue[Feed],
        refilled: Callable[[int], None] = lambda feeds: None,
    ) -> None:
        self._refilled = refilled
        self._bus = bus
        self._end = end
        self._hub = hub
        self._behind = behind
        self._epoch = ""
        self._task: asyncio.Task[None] | None = None

    def start(self, epoch: str) -> None:
        """Begin to refill.

        Args:
            epoch: of the stream that the feeds have begun with.
        """
        self._epoch = epoch
        self._task = asyncio.create_task(self._run(), name="refill")

    async def stop(self) -> None:
        """End the task. Safe to call when it was never started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            feeds = await self._fallen_behind()
            failed = await self._refill(feeds)
            if failed:
                await asyncio.sleep(REFILL_AGAIN)
            for feed in failed:
                self._behind.put_nowait(feed)
            await asyncio.sleep(ROUND_PAUSE)

    async def _fallen_behind(self) -> list[Feed]:
        """Wait for one, and for NATS; then all there are."""
        feeds = [await self._behind.get()]
        while not self._bus.reachable:  # noqa: ASYNC110  # no event tells when NATS is back
            await asyncio.sleep(REFILL_AGAIN)
        while not self._behind.empty():
            feeds.append(self._behind.get_nowait())
        return [feed for feed in feeds if not feed.closed]

    async def _refill(self, feeds: Sequence[Feed]) -> list[Feed]:
        """Refill these; those that are still behind."""
        try:
            state = await self._end.state()
        except Exception as error:  # whatever it is, they are tried again, as when one of them fails
            errors: Sequence[BaseException | None] = [error] * len(feeds)
        else:
            if state.epoch != self._epoch:
                self._begin_anew(state)
            slots = asyncio.Semaphore(FEEDS_AT_ONCE)

            async def refill(feed: Feed) -> None:
                async with slots:
                    await feed.refill(state.last_seq)

            errors = await asyncio.gather(*map(refill, feeds), return_exceptions=True)
        failed = [(feed, error) for feed, error in zip(feeds, errors, strict=True) if error is not None]
        if failed:
            log.warning("could not read what was missed; trying again", feeds=len(failed), error=str(failed[0][1]))
        self._refilled(len(feeds) - len(failed))
        return [feed for feed, _ in failed]

    def _begin_anew(self, state: StreamState) -> None:
        log.warning("the stream was made anew; every client has to reconnect", was=self._epoch, now=state.epoch)
        self._epoch = state.epoch
        self._hub.begin_anew()
