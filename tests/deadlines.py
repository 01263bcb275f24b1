"""Deadlines that a test shortens once its set-up is done, so that a busy machine may take its time for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bus import Bus, Settings


@asynccontextmanager
async def impatient_bus(settings: Settings, *, append_timeout: float) -> AsyncIterator[Bus]:
    """A bus that had its ordinary deadlines to connect, and gives each request this many seconds from then on."""
    async with Bus(settings) as bus:
        shorten(bus, append_timeout)
        yield bus


def shorten(bus: Bus, append_timeout: float) -> None:
    """Give each request of a connected bus this many seconds."""
    bus._settings = bus.stream._settings = bus.settings.model_copy(update={"append_timeout": append_timeout})
