"""Follower: the stored events of a subject from some point on, each once and in order, over outages of NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Self

from bus import Bus, BusUnavailable, Stored

LOOK_INTERVAL = 0.5
"""Seconds after which an outage is noticed at the latest, and between two attempts to read after one."""


class Follower:
    """Events as they are stored.

    A live event only says that there is something to read. What is yielded is always read from the stream, after
    the last one that was: so nothing is lost and nothing comes twice, whatever happened to the connection
    meanwhile, and nothing waits in memory.

        async with Follower(bus, subjects.job("cli", job_id), after=0, tell=print) as follower:
            async for stored in follower:
                ...

    Going on raises `BusRefused` when NATS has refused this process for `heal_timeout`.

    Args:
        bus: connected; its `on_gap` is taken.
        subject: a `bus.` subject, wildcards allowed.
        after: begin after this sequence; None for what is stored from now on.
        tell: called with a sentence when NATS goes away and when it is back.
    """

    def __init__(self, bus: Bus, subject: str, *, after: int | None, tell: Callable[[str], None]) -> None:
        self._bus = bus
        self._subject = subject
        self._after = after
        self._tell = tell
        self._wake = asyncio.Event()
        self._heard = self._seen = 0
        self._epoch = ""
        self._gap = False
        self._away = False

    async def __aenter__(self) -> Self:
        self._bus.on_gap = self._missed
        self._subscription = await self._bus.subscribe(self._subject, self._hear)
        await self._bus.confirm_subscriptions()
        state = await self._bus.stream.state()
        self._epoch = state.epoch
        self._seen = state.last_seq if self._after is None else self._after
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.on_gap = None
        await self._subscription.close()

    async def __aiter__(self) -> AsyncIterator[Stored]:
        while True:
            self._wake.clear()
            try:
                if self._gap:
                    await self._check_stream()
                async for stored in self._bus.stream.replay(self._subject, after=self._seen):
                    self._seen = stored.seq
                    yield stored
                self._tell_back()
            except BusUnavailable:
                self._give_up_if_lost()
                self._tell_away()
                await asyncio.sleep(LOOK_INTERVAL)
            else:
                await self._wait()

    async def _wait(self) -> None:
        while not self._wake.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._wake.wait()
            self._give_up_if_lost()
            if not self._bus.connected:
                self._tell_away()
            elif self._heard > self._seen:  # a replica that lags behind answered the last read
                return

    async def _check_stream(self) -> None:
        state = await self._bus.stream.state()
        if state.epoch != self._epoch:
            self._tell("the stream was made anew; going on with its first event")
            self._epoch, self._seen = state.epoch, 0
        self._seen = min(self._seen, state.last_seq)
        self._heard = 0
        self._gap = False

    def _hear(self, stored: Stored) -> None:
        self._heard = max(self._heard, stored.seq)
        if stored.seq:
            self._wake.set()

    def _missed(self) -> None:
        self._gap = True
        self._wake.set()

    def _give_up_if_lost(self) -> None:
        if self._bus.lost is not None:
            raise self._bus.lost

    def _tell_away(self) -> None:
        if not self._away:
            self._tell("NATS is away; going on when it is back")
        self._away = True

    def _tell_back(self) -> None:
        if self._away:
            self._tell("NATS is back; what happened meanwhile is above")
        self._away = False
