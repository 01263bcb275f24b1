"""StreamRoom: keeps room in the event stream, from a thread."""

from __future__ import annotations

import time

import structlog

from bus import BusUnavailable, SyncBus
from workers.open_jobs_reader import OpenJobsReader

log = structlog.get_logger(__name__)

LOOK_TIMEOUT = 60.0
"""Deadline in seconds for one look."""
AGAIN = 2.0
"""Seconds until the next look when NATS is away, or refuses."""


class StreamRoom:
    """The room in the stream, looked after by the worker that reconciles.

    Args:
        bus: the bus.
        reader: knows what open jobs need of the stream.
    """

    def __init__(self, bus: SyncBus, reader: OpenJobsReader) -> None:
        self._bus = bus
        self._reader = reader
        self._trouble = ""
        self.due_at = 0.0
        """When it is to be looked at, by `time.monotonic`."""

    def keep(self) -> None:
        """Look whether there is room, and make some, if it is time."""
        if time.monotonic() < self.due_at:
            return
        reader, pause, trouble = self._reader, AGAIN, ""
        try:
            pause = self._bus.call(lambda bus: reader.retention.look(bus, reader.seen), timeout=LOOK_TIMEOUT)
        except BusUnavailable as error:
            trouble = str(error)
            if trouble != self._trouble:
                log.error("cannot make room in the stream; trying again", error=trouble)
        self._trouble = trouble
        self.due_at = time.monotonic() + pause
