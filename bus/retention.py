"""Cuts the stream's oldest events before it is full, but first carries forward what open jobs need of them.

NATS cuts nothing by itself for want of room: an append to a full stream is refused (`discard: new`), and tried again
until there is room (`bus.append`). So no flood of events can push an accepted job out of the stream. By age NATS does
cut; an open job is carried forward long before. One process does all this, the one whose reconciler works.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import structlog

from bus import job_log, subjects
from bus.client import Bus
from bus.errors import AppendRefused, CorruptJob, EventTooLarge, StreamFull, UnknownJob
from bus.job_log import Step
from bus.space import FOR_NEW_JOBS, Usage

FULL_ENOUGH = 0.75
"""The share of the stream that is in use when its oldest events are cut."""
CUT_TO = 0.6
"""The share that is to be in use after that."""
WORTH_IT = 0.05
"""The share that must be there to be gained. What open jobs need cannot be, and would only go round."""
SHARE_OF_AGE = 0.5
"""The share of `max_age` after which what an open job needs is carried forward."""
LOOK_EVERY = 0.5
"""Seconds between two looks at a stream that has room."""
LOOK_SOON = 0.02
"""Seconds between two looks at one that is filling up."""
MOST_CUTS = 20
"""Cuts of one look. Each takes so many events as would be right if all were of one size."""
CARRIED_AT_ONCE = 32
CARRY_WITHIN = 1.0
"""Seconds after which jobs that could not be carried forward are left for another try."""
TOO_LARGE_TO_KEEP = "it cannot be kept for longer: NATS takes only smaller events than when it was accepted"
"""Why a job failed that could not be carried forward, for its client."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Need:
    """What an open job needs: the latest event that says what was asked for, and those after it."""

    client_id: str
    job_id: str
    subject: str
    seq: int
    size: int
    stored_at: datetime


class Retention:
    """Makes room in the stream. All of it is used on the bus's event loop."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """How full the stream was at the last look."""
        self._needs: dict[str, _Need] = {}
        """By the job's subject."""
        self._needed_bytes = 0
        self._ages_at = 0.0
        """When their ages are looked at again, by `time.monotonic`."""
        self._told = False

    def see(self, step: Step) -> None:
        """Take note of a step of any job. Steps have to come in stream order, none left out."""
        subject = step.stored.subject
        known = self._needs.get(subject)
        if step.event.ended:
            self._drop(subject)
        elif step.request is not None and (known is None or known.seq < step.seq):  # else it was carried further since
            stored_at = datetime.fromisoformat(step.stored.timestamp)
            self._note(_Need(step.client_id, step.job_id, subject, step.seq, step.stored.size, stored_at))

    def forget(self) -> None:
        """Begin anew: the stream is another one."""
        self._needs.clear()
        self._needed_bytes = 0

    async def look(self, bus: Bus, seen: int) -> float:
        """Carry forward what is old, and make room if the stream is filling up.

        Args:
            seen: the sequence up to which every step was seen. Nothing behind it is cut.

        Returns:
            Seconds after which it should be called again.

        Raises:
            BusUnavailable: NATS is away, silent, or refuses it.
        """
        self.usage = usage = await bus.stream.usage()
        if usage.max_age and time.monotonic() >= self._ages_at:
            self._ages_at = time.monotonic() + usage.max_age * SHARE_OF_AGE / 10
            horizon = datetime.now(UTC) - timedelta(seconds=usage.max_age * SHARE_OF_AGE)
            await self._carry(bus, [need for need in self._needs.values() if need.stored_at < horizon])
        if usage.share < FULL_ENOUGH:
            self._told = False
            return LOOK_EVERY
        if not usage.can_be_cut:
            await self._carry(bus, self._needed_before(_cut_point(usage)))
            return LOOK_EVERY
        for _ in range(MOST_CUTS):
            before = min(_cut_point(usage), seen + 1)
            if before <= usage.first_seq or self._is_stuck(usage):
                return LOOK_EVERY
            if not await self._cut(bus, before, seen):
                if not self._told:
                    self._told = True
                    log.warning("there is no room to carry open jobs forward, so nothing is cut; trying again")
                return LOOK_EVERY
            usage = await bus.stream.usage()
            if usage.share <= CUT_TO:
                break
        return LOOK_SOON

    async def _cut(self, bus: Bus, before: int, seen: int) -> bool:
        """Cut what comes before this sequence, or as much of it as can be. Returns whether it was done."""
        for end in (before, seen + 1):
            usage = await bus.stream.usage()
            needed = sum(need.size for need in self._needed_before(before))
            if usage.share > FOR_NEW_JOBS or needed > usage.room / 2:
                # There is no room to carry all that is needed, so what is needed by nobody goes first.
                await bus.stream.cut_all_but(self._needs.keys(), before=end)
                before = self._affordable(before, (await bus.stream.usage()).room / 2)
            with suppress(TimeoutError, StreamFull):  # others were quicker to take the room
                async with asyncio.timeout(CARRY_WITHIN):
                    await self._carry(bus, self._needed_before(before))
                await bus.stream.cut(before)
                return True
        return False

    def _affordable(self, before: int, room: float) -> int:
        """Where to cut at most so that what is needed from before it has room when it is carried forward."""
        for need in self._needed_before(before):
            room -= need.size
            if room < 0:
                return need.seq
        return before

    def _is_stuck(self, usage: Usage) -> bool:
        if usage.max_bytes < 0 or usage.used - self._needed_bytes > WORTH_IT * usage.max_bytes:
            return False
        if not self._told:
            self._told = True
            log.warning(
                f"{usage.share:.0%} of the stream {subjects.STREAM} is in use, and nearly all of it by open jobs; new "
                f"ones are refused from {FOR_NEW_JOBS:.0%} on. Run more workers, or raise {usage.limit}",
                open_jobs=len(self._needs),
            )
        return True

    def _needed_before(self, seq: int) -> list[_Need]:
        return sorted((need for need in self._needs.values() if need.seq < seq), key=attrgetter("seq"))

    async def _carry(self, bus: Bus, needs: Sequence[_Need]) -> None:
        for start in range(0, len(needs), CARRIED_AT_ONCE):
            some = needs[start : start + CARRIED_AT_ONCE]
            outcomes = await asyncio.gather(*(_carried(bus, need) for need in some), return_exceptions=True)
            for need, outcome in zip(some, outcomes, strict=True):
                if outcome is None:
                    self._drop(need.subject)
                elif isinstance(outcome, int):
                    self._note(replace(need, seq=outcome, stored_at=datetime.now(UTC)))
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome

    def _note(self, need: _Need) -> None:
        self._drop(need.subject)
        self._needs[need.subject] = need
        self._needed_bytes += need.size

    def _drop(self, subject: str) -> None:
        if (need := self._needs.pop(subject, None)) is not None:
            self._needed_bytes -= need.size


async def _carried(bus: Bus, need: _Need) -> int | None:
    try:
        return await job_log.carry(bus.stream, need.client_id, need.job_id)
    except (UnknownJob, CorruptJob) as error:
        log.warning("a job could not be carried forward", subject=need.subject, error=str(error))
        return None
    except EventTooLarge as error:
        # It would keep back all that is stored after it, and no later attempt of it could be stored either.
        log.error("failing a job that cannot be carried forward", subject=need.subject, error=str(error))
        await _fail(bus, need)
        return None


async def _fail(bus: Bus, need: _Need) -> None:
    while True:  # ends: every refusal means that the job moved on, and a job has few steps
        job = await job_log.read(bus.stream, need.client_id, need.job_id)
        if job.ended:
            return
        with suppress(AppendRefused):
            await job_log.fail(bus.stream, job, TOO_LARGE_TO_KEEP)


def _cut_point(usage: Usage) -> int:
    """The first sequence that stays, if all events are of one size."""
    return usage.last_seq + 1 - int((usage.last_seq - usage.first_seq + 1) * CUT_TO / usage.share)
