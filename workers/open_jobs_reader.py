"""OpenJobsReader: keeps a table of the open jobs as new as the job log, and answers whoever asks it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing

import structlog

from bus import Bus, CorruptJob, Stored, Subscription, job_log, subjects
from bus.ending import end_task
from bus.retention import Retention
from workers.job_metrics import JobMetrics
from workers.open_jobs import OpenJobs

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 10_000
"""Events of one read, which takes about a second; its caller has other duties in between."""
MANY = 4
"""So many events in one read mean that more come at once: to look again costs less than to listen for the next one."""
LOOK_AT_STREAM = 1.0
"""Seconds between two looks whether the stream is still the same one."""
COUNTED_FOR = 0.1
"""Seconds for which a count of all open jobs serves."""


class OpenJobsReader:
    """Reads what is new in the job log into a table. All of it but `table` is used on the bus's event loop.

    Args:
        window: as for `OpenJobs`.
        on_news: called on the event loop when there is something to read that somebody waits for; it must not block
            and not raise. It is not called of everything: that would cost more than the reading.
        counted: sees every step too.
    """

    def __init__(
        self, window: int, on_news: Callable[[], None] = lambda: None, counted: JobMetrics | None = None
    ) -> None:
        self.table = OpenJobs(window)
        self._counted = counted
        self.retention = Retention()
        """What these jobs need of the stream, so that no more is kept in it for long."""
        self.epoch = ""
        self.seen = 0
        """The sequence up to which every step was read."""
        self._on_news = on_news
        self._cursor = 0
        self._first_seq = self._last_seq = 0
        self._looked = float("-inf")
        self._states: dict[str, int] = {}
        self._counted_at = float("-inf")
        self._responder: Subscription | None = None
        self._heard: Subscription | None = None
        self._listening: asyncio.Task[None] | None = None
        self._many = False
        """Whether the last read brought `MANY`."""

    @property
    def listens(self) -> bool:
        """Whether `on_news` is called of the next event. If not, and jobs wait, it is to be read again soon."""
        return self._listening is not None and not self._listening.done()

    async def read(self, bus: Bus) -> bool:
        """Read what is new, but so many events at most. Returns whether that was all.

        Raises:
            BusUnavailable: NATS is away or silent; the next read goes on where this one stopped.
        """
        if self.table.waiting and not self._many and not self.listens:
            # First listen, then read: what is stored in between is heard.
            await self._stop_listening()
            heard = asyncio.Event()
            self._heard = await bus.subscribe(subjects.ALL_JOBS, lambda stored: heard.set())
            self._listening = asyncio.create_task(self._listen(heard), name="listen to the job log")
        if time.monotonic() - self._looked > LOOK_AT_STREAM:
            await self._look_at_stream(bus)
        read = 0

        def pass_over(stored: Stored, error: CorruptJob) -> None:
            self._cursor = stored.seq
            log.warning("passed over an event of another program", error=str(error))

        steps = job_log.steps(bus.stream, subjects.ALL_JOBS, after=self._cursor, on_foreign=pass_over)
        async with aclosing(steps):
            async for step in steps:
                self.table.apply(step)
                self.retention.see(step)
                if self._counted is not None:
                    self._counted.see(step)
                self._cursor = step.seq
                if (read := read + 1) >= MOST_AT_ONCE:
                    return False
        self._many = read >= MANY
        self.seen = max(self._last_seq, self._cursor)
        if not self.table.waiting:
            # What it would have heard of may never come: a leader of the stream that is lost has told of nothing then.
            await self._stop_listening()
        if self._counted is not None and len(self._counted) != len(self.table):  # some were given up
            self._counted.keep({job.key for job in self.table})
        return True

    async def begin(self, bus: Bus) -> None:
        """Answer from now on how many open jobs a client has, and what they take, or how many there are in all.

        The table must be up to date.

        Raises:
            BusUnavailable: NATS is away.
        """
        if self._responder is None:
            self._responder = await bus.respond(subjects.OPEN_JOBS, self._respond)

    async def end(self) -> None:
        """Hear no more, answer no more, and forget the table."""
        responder, self._responder = self._responder, None
        if responder is not None:
            await responder.close()
        await self._stop_listening()
        self._begin_anew("")
        self._looked = float("-inf")

    async def _listen(self, heard: asyncio.Event) -> None:
        """Hear of the next event alone: when many come, the next read has them all."""
        await heard.wait()
        self._on_news()
        await self._hear_no_more()

    async def _stop_listening(self) -> None:
        await end_task(self._listening)
        await self._hear_no_more()

    async def _hear_no_more(self) -> None:
        heard, self._heard = self._heard, None
        if heard is not None:
            await heard.close()

    async def _look_at_stream(self, bus: Bus) -> None:
        state = await bus.stream.state()
        self._looked = time.monotonic()
        if state.epoch != self.epoch or state.last_seq < self._cursor:
            self._begin_anew(state.epoch, state.last_seq)
        self._last_seq = state.last_seq
        if state.first_seq != self._first_seq:
            self._first_seq = state.first_seq
            # What retention has cut can neither be run nor healed.
            for job in [job for job in self.table if job.seq < state.first_seq]:
                self.table.forget(job)

    def _begin_anew(self, epoch: str, last_seq: int = 0) -> None:
        self.epoch, self._cursor, self._last_seq, self.seen, self._many = epoch, 0, 0, 0, False
        self.table.clear()
        self.retention.forget()
        if self._counted is not None:
            self._counted.begin(after=last_seq)

    def _respond(self, request: bytes) -> bytes:
        return self._answer(request) if request else self._all()

    def _all(self) -> bytes:
        """How many open jobs there are, by state, for operators. Counting them takes time, so an answer serves a while.

        `seq` says how new it is.
        """
        if time.monotonic() - self._counted_at > COUNTED_FOR:
            self._states, self._counted_at = self.table.states(), time.monotonic()
        self._on_news()
        return json.dumps({"seq": self._cursor, "states": self._states}).encode()

    def _answer(self, request: bytes) -> bytes:
        self._on_news()
        client_id, table = request.decode(errors="replace"), self.table
        answer = {"seq": self._cursor, "open": table.count(client_id), "bytes": table.bytes_of(client_id)}
        return json.dumps(answer).encode()
