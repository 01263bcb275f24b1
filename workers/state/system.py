"""The whole system at one moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bus import Bus, BusError, Settings, nats_url, subjects
from bus.job_log import DEFAULT_QUEUE
from workers.state.nats_state import NatsState, look_at_nats
from workers.state.processes import Processes, look_at_processes
from workers.state.redis_state import RedisState, look_at_redis

Json: TypeAlias = dict[str, Any]

WITHIN = 1.0
"""Seconds for whatever is asked, once NATS is connected."""
ASK_AGAIN = 0.15
"""Seconds until the worker that knows the open jobs is asked again: the first question lets it read what is new."""


@dataclass
class SystemState:
    """What was found.

    Args:
        nats, redis, web, workers: the parts.
        open_jobs: how many jobs are open, by state; None when nobody tells.
    """

    nats: NatsState
    redis: RedisState
    web: Processes = field(default_factory=Processes)
    workers: Processes = field(default_factory=Processes)
    open_jobs: dict[str, int] | None = None

    @property
    def faults(self) -> list[str]:
        """Why the system cannot do its work; empty when it can."""
        found = []
        if self.nats.error is not None:
            found.append("NATS does not answer")
        elif self.nats.stream.error is not None:
            found.append(f"the stream {subjects.STREAM} cannot be used")
        if self.redis.error is not None:
            found.append("Redis does not answer")
        elif self.redis.refuses is not None:
            found.append("Redis takes no tasks")
        if self.nats.error is None:
            for name, processes in (("worker", self.workers), ("web process", self.web)):
                if not processes.found:
                    found.append(f"no {name} answers")
        return found

    def record(self) -> Json:
        """It, for programs."""
        return {
            "ok": not self.faults,
            "faults": self.faults,
            "nats": self.nats.record(),
            "stream": self.nats.stream.record(),
            "redis": self.redis.record(),
            "workers": [process.record() for process in self.workers.found],
            "web": [process.record() for process in self.web.found],
            "open_jobs": self.open_jobs,
        }


def observer(settings: Settings, name: str) -> Bus:
    """A connection that looks at NATS as it is: it makes no stream, and needs none."""
    return Bus(settings, name=name, declare=False)


async def look(bus: Bus, settings: Settings, redis: Awaitable[RedisState], *, fresh: bool = True) -> SystemState:
    """How the system stands, as seen over this bus, which is connected.

    Args:
        redis: what `look_at_redis` finds, which is under way.
        fresh: as for `count_open_jobs`.
    """
    where = nats_url.redacted(settings.nats_url)
    nats, (web, workers), open_jobs, found = await asyncio.gather(
        look_at_nats(bus, where), look_at_processes(bus, WITHIN), count_open_jobs(bus, fresh=fresh), redis
    )
    if found.error is None and (others := sorted(workers.queues - {DEFAULT_QUEUE})):
        found.queues |= (await look_at_redis(settings, others, WITHIN / 2)).queues
    return SystemState(nats, found, web, workers, open_jobs)


async def look_once(settings: Settings, name: str) -> SystemState:
    """How the system stands, over a connection of its own; NATS may be away.

    Args:
        name: how the connection appears in NATS monitoring.
    """
    redis = asyncio.create_task(look_at_redis(settings, [DEFAULT_QUEUE], WITHIN), name="look at Redis")
    try:
        async with observer(settings, name) as bus:
            return await look(bus, settings, redis)
    except BusError as error:
        return SystemState(NatsState(nats_url.redacted(settings.nats_url), error=str(error)), await redis)


async def count_open_jobs(bus: Bus, *, fresh: bool = True) -> dict[str, int] | None:
    """How many jobs are open, by state, as the worker knows that reconciles; None when none answers.

    Args:
        fresh: ask a second time, after that worker has read what is new.
    """
    try:
        answer = await bus.request(subjects.OPEN_JOBS, b"", timeout=WITHIN / 2)
        if answer is not None and fresh:
            await asyncio.sleep(ASK_AGAIN)
            answer = await bus.request(subjects.OPEN_JOBS, b"", timeout=WITHIN / 2) or answer
        states = json.loads(answer or b"{}").get("states")
    except (BusError, ValueError, AttributeError):
        return None
    return {str(state): int(number) for state, number in states.items()} if isinstance(states, dict) else None
