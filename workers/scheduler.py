"""Scheduler: makes the jobs of those slots whose time has come.

Of each schedule one job is open at a time. A slot whose time comes meanwhile waits, and so does one that comes while no
worker is there, NATS is away, or the stream is full. Of several that wait the newest gets a job, and the others are
missed, which is told. The id of a slot's job is made of the schedule and the slot, and NATS takes a job of each id
once: so two schedulers at once are harmless, and one that dies between storing a job and remembering it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog

from bus import AppendRefused, Bus, BusError, BusUnavailable, StreamFull, job_log, schedules, subjects, times
from bus.job_log import JobRequest
from bus.schedules import Remembered
from workers.metrics import WorkerMetrics
from workers.open_jobs import OpenJobs
from workers.registry import Job
from workers.schedule import MOST_WAITING, Schedule

log = structlog.get_logger(__name__)

AGAIN = 2.0
"""Seconds until the next try when a slot's job could not be stored."""
LATE = timedelta(seconds=10)
"""How late a slot may be without a word."""
GONE_FOR = timedelta(hours=1)
"""How long a schedule that was taken out of the code is remembered: longer than a deployment, in which workers with and
without it take turns. What is remembered is read again as often."""


class Scheduler:
    """Makes jobs at the times of their schedules, in the worker that reconciles. Used on the bus's event loop.

    Args:
        jobs: the registered jobs by name.
        open_jobs: every open job; up to date whenever `look` is called.
        clock: the time now, in seconds as `time.time` has it.
        metrics: counts the slots.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        open_jobs: OpenJobs,
        clock: Callable[[], float] = time.time,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._slots = (metrics or WorkerMetrics(jobs)).slots
        self._jobs = {job.name: (job, job.schedule) for job in jobs.values() if job.schedule is not None}
        for name in self._jobs:  # so that the first of a kind is an increase
            for outcome in ("made", "missed"):
                self._slots.labels(name, outcome)
        self._open = open_jobs
        self._clock = clock
        self._known: dict[str, Remembered] = {}
        """What is remembered of each schedule, since it was read."""
        self._begun: set[str] = set()
        """Schedules that were begun, or gone on with, since then."""
        self._read_again_at = 0.0
        """By `time.monotonic`."""
        self._trouble: dict[str, tuple[str, float]] = {}
        """Why a schedule cannot be served, by its name, and when that is tried again, by `time.monotonic`. Under the
        empty name: why none can."""

    def forget(self) -> None:
        """Another worker schedules from now on, or too: what is remembered has to be read again."""
        self._read_again_at = 0.0

    @property
    def due_in(self) -> float:
        """Seconds until there is something to do; infinite without a schedule.

        A slot that waits for an open job does not count: whoever calls sees by itself when that has ended.
        """
        if not self._jobs:
            return math.inf
        if "" in self._trouble:
            return self._pause("")
        now = self._now()
        pauses = [max(0.0, self._read_again_at - time.monotonic())]
        pauses += [self._pause(name) for name in self._trouble]
        pauses += [(one.next - now).total_seconds() for one in self._known.values() if one.next > now]
        return min(pauses)

    async def look(self, bus: Bus) -> int:
        """Make the jobs of the slots that are due. Returns how many.

        What goes wrong is told once, and tried again.
        """
        made = 0
        if not self._jobs or self._pause(""):
            return made
        try:
            if time.monotonic() >= self._read_again_at:
                await self._read(bus)
            for name in self._jobs:
                if not self._pause(name):
                    made += await self._try(bus, name)
        except BusError as error:
            self._fail("", error)
            self.forget()
        else:
            self._trouble.pop("", None)
        return made

    async def _read(self, bus: Bus) -> None:
        await schedules.declare(bus)
        known = {one.name: one for one in await schedules.read_all(bus)}
        now = self._now()
        for name in known.keys() - self._jobs.keys():
            one = known.pop(name)
            if one.gone is None:
                await schedules.remember(bus, one.model_copy(update={"gone": now}))
            elif now - one.gone > GONE_FOR:
                await schedules.forget(bus, name)
        self._known = known
        self._begun.clear()
        self._read_again_at = time.monotonic() + GONE_FOR.total_seconds()

    async def _try(self, bus: Bus, name: str) -> int:
        try:
            if name not in self._begun:
                await self._begin(bus, name)
            made = await self._serve(bus, name)
        except Exception as error:
            if isinstance(error, BusUnavailable) and not isinstance(error, StreamFull):
                raise  # the others would wait for NATS too, one after the other
            self._fail(name, error)
            return 0
        self._trouble.pop(name, None)
        return made

    async def _begin(self, bus: Bus, name: str) -> None:
        """Go on where the last scheduler was, or begin with the next slot."""
        _, schedule = self._jobs[name]
        known, now = self._known.get(name), self._now()
        if known is None:
            known = Remembered(name=name, definition=schedule.definition, next=schedule.next(now))
            await self._remember(bus, known)
        elif _is_another(schedule, known, now):
            anew = {"definition": schedule.definition, "next": schedule.next(now), "gone": None}
            await self._remember(bus, known.model_copy(update=anew))
        elif known.gone is not None:
            await self._remember(bus, known.model_copy(update={"gone": None}))
        self._begun.add(name)

    async def _serve(self, bus: Bus, name: str) -> int:
        job, schedule = self._jobs[name]
        known, now = self._known[name], self._now()
        if known.next > now or (known.last is not None and self._is_open(name, known.last)):
            return 0
        waiting = schedule.waiting(known.next, now)
        # One that died before it could remember that may have made a job of one of these.
        slot = next((slot for slot in waiting if self._is_open(name, slot)), waiting[0])
        made = await _make(bus, job, schedule, slot)
        missed = len(waiting) - 1 - waiting.index(slot)
        if missed or now - slot > LATE:
            log.warning(
                "a schedule is behind: of the slots that waited the newest gets a job, the others are missed",
                schedule=name,
                slot=times.written(slot),
                missed=missed if len(waiting) < MOST_WAITING else f"{missed} or more",
                since=times.written(known.next),
            )
        handled = {"last": slot, "next": schedule.next(slot)}
        await self._remember(bus, known.model_copy(update=handled))
        self._slots.labels(name, "made").inc(made)
        self._slots.labels(name, "missed").inc(missed)
        return made

    async def _remember(self, bus: Bus, what: Remembered) -> None:
        stored = await schedules.remember(bus, what)
        if stored is None:
            self.forget()  # another worker schedules too
        self._known[what.name] = stored or what

    def _is_open(self, name: str, slot: datetime) -> bool:
        return self._open.has(subjects.SCHEDULES_CLIENT, schedules.job_id(name, slot))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _pause(self, name: str) -> float:
        _, again_at = self._trouble.get(name, ("", 0.0))
        return max(0.0, again_at - time.monotonic())

    def _fail(self, name: str, error: Exception) -> None:
        told, _ = self._trouble.get(name, ("", 0.0))
        text = str(error) or type(error).__name__
        if text != told:
            about = {"schedule": name} if name else {}
            unexpected = not isinstance(error, BusError)
            log.error("what is scheduled waits; trying again", error=text, exc_info=unexpected, **about)
        self._trouble[name] = text, time.monotonic() + AGAIN


def _is_another(schedule: Schedule, known: Remembered, now: datetime) -> bool:
    """Whether the slots since are none of this schedule's, so that it begins with its next one."""
    if known.definition != schedule.definition or (known.gone is not None and now - known.gone > GONE_FOR):
        return True
    if known.next <= schedule.next(schedule.next(now)):
        return False
    told = times.written(known.next)
    log.warning("a schedule begins anew: its next slot was too far ahead", schedule=known.name, next=told)
    return True


async def _make(bus: Bus, job: Job, schedule: Schedule, slot: datetime) -> int:
    """Store the job of a slot, if it is not there. Returns how many were stored."""
    request = JobRequest(
        task_type=job.name, job_type=job.name, content=schedule.content, queue=job.queue, slot=times.written(slot)
    )
    job_id = schedules.job_id(job.name, slot)
    try:
        await job_log.create(bus.stream, subjects.SCHEDULES_CLIENT, request, job_id=job_id, waits=True)
    except AppendRefused:
        return 0
    log.info("job accepted", client_id=subjects.SCHEDULES_CLIENT, job_id=job_id, type=job.name, waits=True)
    return 1
