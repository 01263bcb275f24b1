"""What a shell offers for a word that is half typed. It asks in a hurry, and says nothing when that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
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
    return _looked_up(_newest, incomplete)


def open_job_ids(incomplete: str) -> list[str]:
    """Of them those that can be cancelled."""
    return _looked_up(_open, incomplete)


def ended_job_ids(incomplete: str) -> list[str]:
    """Of them those that can be done again."""
    return _looked_up(_ended, incomplete)


def _looked_up(find: Callable[[Bus], Awaitable[list[str]]], incomplete: str) -> list[str]:
    async def found() -> list[str]:
        async with asyncio.timeout(HURRY), Bus(client_settings(None, HURRY), name="busctl completion") as bus:
            return await find(bus)

    with contextlib.suppress(Exception):
        return [job_id for job_id in asyncio.run(found()) if job_id.startswith(incomplete)]
    return []


async def _newest(bus: Bus) -> list[str]:
    from cli.listings import ALL

    return [job_id for _, job_id in reversed(await ALL.find(bus, subjects.ALL_JOBS, MOST_OFFERED))]


async def _open(bus: Bus) -> list[str]:
    from cli.listings import OPEN

    return [job_id for _, job_id in reversed(await OPEN.find(bus, subjects.ALL_JOBS, MOST_OFFERED))]


async def _ended(bus: Bus) -> list[str]:
    still_open = set(await _open(bus))
    return [job_id for job_id in await _newest(bus) if job_id not in still_open]
