"""What a shell offers for a word that is half typed. It asks in a hurry, and says nothing when that fails."""

from __future__ import annotations

import asyncio
import contextlib
from typing import get_args

from bus import Bus, subjects
from bus.messages import Level
from cli.options import client_settings

HURRY = 1.0
"""Seconds that looking up the ids of jobs may take."""
MOST_OFFERED = 30


def levels(incomplete: str) -> list[str]:
    """The levels of an announcement."""
    return [level for level in get_args(Level) if level.startswith(incomplete)]


def job_types(incomplete: str) -> list[tuple[str, str]]:
    """The types of jobs that there are, with what each is for."""
    from workers.registry import discover_for  # here, because it imports every job

    with contextlib.suppress(Exception):  # whatever is wrong with a setting or a job, submit says it
        jobs = discover_for(client_settings(None, HURRY))
        return [(name, jobs[name].summary) for name in sorted(jobs) if name.startswith(incomplete)]
    return []


def job_ids(incomplete: str) -> list[str]:
    """The ids of the newest jobs, if NATS answers soon."""
    with contextlib.suppress(Exception):
        return asyncio.run(_newest(incomplete))
    return []


async def _newest(incomplete: str) -> list[str]:
    from cli.listings import ALL

    async with asyncio.timeout(HURRY), Bus(client_settings(None, HURRY), name="busctl completion") as bus:
        found = await ALL.find(bus, subjects.ALL_JOBS, MOST_OFFERED)
        return [job_id for _, job_id in reversed(found) if job_id.startswith(incomplete)]
