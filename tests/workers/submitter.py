"""Submits jobs as a web process does, without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from bus import Bus, Settings, job_log, subjects
from bus.job_log import JobState
from bus.messages import TaskPayload
from testbed.system import System
from tests.workers.bench import PATIENCE
from workers import submission
from workers.client_jobs import ClientJobs
from workers.config import QUEUE
from workers.enqueue import Enqueuer
from workers.registry import discover


class Submitter:
    """Submits as a web process does."""

    def __init__(self, bus: Bus, enqueuer: Enqueuer, settings: Settings) -> None:
        self.bus = bus
        self.settings = settings
        self._enqueuer = enqueuer
        self._client_jobs = ClientJobs(bus, settings)
        self._jobs = discover()
        self._story: list[tuple[str, str, str]] = []
        self._read = 0
        """The sequence up to which the story is told."""

    async def submit(
        self,
        client_id: str,
        job_type: str = "short",
        content: str = "x",
        *,
        key: str = "",
        not_before: datetime | None = None,
    ) -> JobState:
        return (
            await submission.submit(
                self.bus,
                self._jobs,
                TaskPayload(task_type=job_type, content=content),
                client_id=client_id,
                job_id=submission.new_job_id(client_id, key or None),
                queue=self._enqueuer.place(),
                client_jobs=self._client_jobs,
                not_before=not_before,
            )
        ).job

    async def submit_many(self, client_id: str, count: int, job_type: str = "short") -> list[JobState]:
        found: list[JobState] = []
        for first in range(0, count, 50):
            submits = (self.submit(client_id, job_type) for _ in range(first, min(count, first + 50)))
            found += await asyncio.gather(*submits)
        return found

    async def story(self) -> list[tuple[str, str, str]]:
        """Client, job and action of every step so far."""
        async for step in job_log.steps(self.bus.stream, subjects.ALL_JOBS, after=self._read):
            self._story.append((step.client_id, step.job_id, step.event.action))
            self._read = step.seq
        return self._story.copy()

    async def ended(self, jobs: list[JobState], deadline: float = 60) -> list[tuple[str, str, str]]:
        """The story once these jobs have ended."""
        ids = {job.job_id for job in jobs}
        async with asyncio.timeout(deadline):
            while True:
                story = await self.story()
                if ids <= {job_id for _, job_id, action in story if action == "job_result"}:
                    return story
                await asyncio.sleep(0.1)


@asynccontextmanager
async def submitter(system: System, **settings: object) -> AsyncIterator[Submitter]:
    servers = {"nats_url": system.nats.url, "redis_url": system.valkey.url, "append_timeout": PATIENCE}
    chosen = Settings.load(**servers, **settings)
    async with Bus(chosen, update_stream=True) as bus, Enqueuer(chosen, bus) as enqueuer:
        yield Submitter(bus, enqueuer, chosen)


def in_redis(system: System, queue: str = QUEUE) -> list[str]:
    """The jobs whose tasks wait in a queue, the next one first."""
    with system.valkey.client() as redis:
        return [json.loads(raw)["headers"]["id"] for raw in reversed(redis.lrange(queue, 0, -1))]
