"""Condition: whether the way to NATS works at this moment, why not, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bus.errors import BusRefused, BusUnavailable
from bus.trouble import Patience, Trouble

log = structlog.get_logger(__name__)

MOST_TOLD = 20
"""Different reasons that are logged in one outage, and different things that are warned of in `WARN_AGAIN` seconds."""
WARN_AGAIN = 60.0


class Condition:
    """What a connection knows of itself.

    Args:
        heal_timeout: seconds of nothing but refusals after which `on_lost` is called.
    """

    def __init__(self, heal_timeout: float) -> None:
        self.on_gap: Callable[[], None] = lambda: None
        """Called when messages may have been missed."""
        self.on_change: Callable[[bool], None] = lambda works: None
        """Called with whether the way to NATS works, each time that this changes."""
        self.on_lost: Callable[[str], None] | None = None
        """Called once with the reason when this cannot heal without new settings."""
        self.lost: BusRefused | None = None
        """Why it cannot heal without new settings, once that is so."""
        self.trouble: Trouble | None = Trouble(BusUnavailable("NATS has not been connected yet"), refused=False)
        """Why it cannot work at this moment."""
        self._patience = Patience(heal_timeout)
        self._changed = asyncio.Event()
        """Set, and replaced, when `trouble` is another."""
        self._worked = False
        """Whether it was ready ever."""
        self._waiting = 0
        """How many wait until it is ready; they are told why it is not."""
        self._gap = False
        """Whether messages may have been missed since then: a connection was lost, or did not work."""
        self._told: set[str] = set()
        """What the log has said since it was ready last."""
        self._warned: dict[str, float] = {}
        """When the log last warned of what."""

    async def ready(self) -> None:
        """Wait until it can work.

        Raises:
            BusError: NATS refuses; it is tried again meanwhile.
        """
        self._waiting += 1
        try:
            while self.trouble is not None:
                if self.trouble.refused:
                    raise self.trouble.error
                await self._changed.wait()
        finally:
            self._waiting -= 1

    def end(self, trouble: Trouble, url: str) -> None:
        """A connection has ended, for this reason."""
        log.warning("lost NATS; reconnecting until it is back", url=url, reason=str(trouble.error))
        self._told.add(str(trouble.error))
        self._gap = True
        self.note(trouble)
        self.on_gap()  # now, because live events come again before the next connection is ready

    def note(self, trouble: Trouble | None) -> None:
        """From now on this is the state."""
        was, self.trouble = self.trouble, trouble
        # What the others of a cluster said meanwhile may not have come this far.
        self._gap = self._gap or (trouble is not None and self._worked)
        if (was is None) != (trouble is None):
            self.on_change(trouble is None)
        if trouble is None:
            self.lost = None
            self._told.clear()
            if was is not None and self._worked:
                log.info("NATS is back")
            self._worked = True
            if self._gap:
                self._gap = False
                self.on_gap()
        elif (text := str(trouble.error)) not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            said_already = self._waiting and not self._worked
            (log.debug if said_already else log.warning)("NATS cannot be used; trying again until it can", reason=text)
        self._changed.set()
        self._changed = asyncio.Event()
        over = self._patience.over(trouble, asyncio.get_running_loop().time())
        if over and trouble is not None and self.lost is None:
            self.lost = BusRefused(f"NATS has refused this process for too long: {trouble.error}")
            if self.on_lost is not None:
                self.on_lost(str(self.lost))

    def warn(self, what: str, text: str) -> None:
        """Log it, but the same thing only now and then."""
        now = asyncio.get_running_loop().time()
        if what not in self._warned and len(self._warned) >= MOST_TOLD:
            what = "another"
        if now - self._warned.get(what, -WARN_AGAIN) >= WARN_AGAIN:
            self._warned[what] = now
            log.warning(text)
