"""Everything that was ever stored in the stream, read while it is: later the oldest of it is cut."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from bus import Bus, BusError, CorruptJob, Stored, job_log, subjects
from bus.job_log import Step
from bus.messages import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobOutput,
    JobQueued,
    JobResult,
    JobRetrying,
    JobStarted,
    SystemNotification,
)
from tests.chaos.world import RECONCILE_INTERVAL

Key = tuple[str, str]
"""Client id and job id."""

READ_EVERY = 0.2
"""Seconds between two reads."""

ELSEWHERE = {"at", "seq", "content", "runs", "retry_of", "not_before", "slot", "task_type"}
"""What of a `job_queued` stands beside it when it is carried forward: in the stream, or in the request."""

SHOWN = {
    event.action_name(): event
    for event in (JobQueued, JobStarted, JobRetrying, JobResult, JobFailed, JobCancelled, SystemNotification)
}


@dataclass
class History:
    """What was stored. Filled by `follow`, and by `read_on` where it must be up to date."""

    jobs: dict[Key, list[JobEvent]] = field(default_factory=lambda: defaultdict(list))
    """Every step of every job. One that was submitted again with its key, after it had ended and was cut, is another
    job: then the earlier one stands under its id and a number."""
    written: dict[Key, list[JobOutput]] = field(default_factory=lambda: defaultdict(list))
    """Every piece of what a job wrote."""
    late: list[JobOutput] = field(default_factory=list)
    """Pieces that are stored after the end of their job."""
    shown: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    """Sequence and action of what is to be shown, by client id; of the group under its name."""
    amplified: list[str] = field(default_factory=list)
    """Subjects of jobs that were enqueued again twice for one loss."""
    changed: list[str] = field(default_factory=list)
    """Jobs that were carried forward as something else than they were."""
    carried: int = 0
    """How many steps were stored once more, so that what is before them could be cut."""
    again: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Where the beginning of a job was stored once more, by client id: it is told from there once it is cut."""
    waited: int = 0
    """How many jobs were accepted without a task, because others of their client came first."""
    unread: list[tuple[int, int]] = field(default_factory=list)
    """From which to which sequence events were cut before they were read here, which makes all of this worthless."""
    seen: int = 0
    """The sequence up to which everything was read."""
    epoch: str = ""
    first_seq: int = 1
    """The oldest event that was still stored at the last read."""
    writers: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Attempt, and pid of the process that runs it, of the jobs that are writing."""
    slots: list[tuple[datetime, Key]] = field(default_factory=list)
    """The slots of the schedule that have jobs, in the order in which these were stored."""
    asked: dict[Key, int] = field(default_factory=dict)
    """Sequence of the last event of each job that says what was asked for."""
    _runs: dict[Key, tuple[int, int]] = field(default_factory=dict)
    _requeued: dict[str, datetime] = field(default_factory=dict)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def follow(self, bus: Bus) -> None:
        """Read what is stored, for as long as it is not cancelled."""
        while True:
            with suppress(BusError):
                await self.read_on(bus)
            await asyncio.sleep(READ_EVERY)

    async def read_on(self, bus: Bus) -> None:
        """Read what was stored since the last time.

        Raises:
            BusError: NATS is away; the next read goes on from there.
        """
        async with self._one_at_a_time:
            async for stored in bus.stream.replay(subjects.STREAM_SUBJECTS, after=self.seen):
                if stored.seq > self.seen + 1:
                    self.unread.append((self.seen + 1, stored.seq - 1))
                self.seen = stored.seq
                self._add(stored)
            state = await bus.stream.state()
            self.epoch, self.first_seq = state.epoch, state.first_seq

    def steps(self, key: Key) -> Sequence[JobEvent]:
        """The steps of a job, if there is one."""
        return self.jobs.get(key, ())

    @property
    def open(self) -> list[Key]:
        """The jobs without an end, but for that of the newest slot: there is always one more."""
        newest = self.slots[-1][1] if self.slots else None
        return [
            key for key, steps in self.jobs.items() if steps and key != newest and not any(step.ended for step in steps)
        ]

    def _add(self, stored: Stored) -> None:
        address = subjects.parse(stored.subject)
        if address is None:
            return
        if address.output:
            self._add_piece(stored, (address.client_id or "", address.job_id or ""))
        elif address.client_id is not None and address.job_id is not None:
            try:
                step = job_log.step_of(stored)
            except CorruptJob:
                return
            self._add_step(step, (address.client_id, address.job_id))
        try:
            action = json.loads(stored.data)["action"]
            event = SHOWN[action].model_validate_json(stored.data)
        except (ValueError, KeyError, TypeError, ValidationError):
            return
        if isinstance(event, JobEvent) == (address.job_id is not None):
            self.shown[address.client_id or address.group or ""].append((stored.seq, action))

    def _add_step(self, step: Step, key: Key) -> None:
        steps = self.jobs[key]
        if step.carried:
            self.carried += 1
            self.asked[key] = step.seq
            if isinstance(step.event, JobQueued):
                self.again[key[0]].add(step.seq)
            if not steps or steps[-1].model_dump(exclude=ELSEWHERE) != step.event.model_dump(exclude=ELSEWHERE):
                self.changed.append(f"{key}: {steps[-1:]} became {step.event}")
            return
        if isinstance(step.event, JobQueued) and steps and steps[-1].ended:
            earlier = key[0], f"{key[1]}#{step.seq}"
            self.jobs[earlier] = self.jobs.pop(key)
            self.asked[earlier] = self.asked.pop(key)
            if key in self.written:
                self.written[earlier] = self.written.pop(key)
            steps = self.jobs[key]
        if step.request is not None:
            self.asked[key] = step.seq
            if step.request.slot_time is not None:
                self.slots.append((step.request.slot_time, key))
        self.waited += step.waits
        steps.append(step.event)
        self.writers.pop(key, None)
        if isinstance(step.event, JobStarted) and step.instance is not None:
            self._runs[key] = step.event.attempt, int(step.instance.rpartition("-")[2])
        else:
            self._runs.pop(key, None)
        self._note_requeue(step)

    def _add_piece(self, stored: Stored, key: Key) -> None:
        piece = JobOutput.model_validate_json(stored.data)
        self.written[key].append(piece)
        if any(step.ended for step in self.steps(key)):
            self.late.append(piece)
        if key in self._runs:
            self.writers[key] = self._runs[key]

    def _note_requeue(self, step: Step) -> None:
        subject = step.stored.subject
        before = self._requeued.pop(subject, None)
        if step.event.requeued:
            now = self._requeued[subject] = datetime.fromisoformat(step.stored.timestamp)
            if before is not None and (now - before).total_seconds() < RECONCILE_INTERVAL / 2:
                self.amplified.append(subject)
