"""A schedule that comes every two seconds while everything breaks: one job a slot, in order, none missed in silence."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from bus import schedules, times
from tests.chaos.history import History
from tests.chaos.world import World, until

NAME = "chaos_tick"
PERIOD = timedelta(seconds=2)
MISSED = re.compile(rf"a schedule is behind: .* schedule={NAME} since=(\S+) slot=(\S+)")
"""What a worker logs of slots that were missed."""
GOES_ON_WITHIN = 60.0
"""Seconds after the last fault within which a slot has a job."""


async def went_on(history: History, world: World) -> None:
    """Wait for the job of a slot that came after everything broke; complain when there is none."""
    now = datetime.now(UTC)

    def has_come() -> bool:
        return any(slot > now for slot, _ in history.slots)

    if not await until(has_come, GOES_ON_WITHIN):
        world.complain(f"no slot had a job after {now}: {history.slots[-3:]}")


def each_has_one_job_or_was_missed(history: History, world: World) -> None:
    """No slot has two jobs, they are in order, and the log tells of each one between them that has none."""
    slots = [slot for slot, _ in history.slots]
    if slots != sorted(set(slots)):
        wrong = [(before, after) for before, after in pairwise(slots) if after <= before]
        world.complain(f"jobs of slots came twice or out of order: {wrong[:5]}")
    for slot, (_, job_id) in history.slots:
        if job_id.partition("#")[0] != schedules.job_id(NAME, slot):
            world.complain(f"job {job_id} is not the one of its slot {slot}")
    told = [
        (times.read(since), times.read(slot))
        for log in world.logs
        for since, slot in MISSED.findall(log.read_text(errors="replace"))
    ]
    for before, after in pairwise(slots):
        for number in range(1, (after - before) // PERIOD):
            missed = before + number * PERIOD
            if not any(since <= missed < slot for since, slot in told):
                world.complain(f"slot {missed} has no job, and no log tells that it was missed")
