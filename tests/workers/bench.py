"""Hands to put jobs into a system without web processes, and to see what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import nats as nats_py

from bus import Bus, Settings, SyncBus, job_log, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from bus.job_step import Step
from bus.messages import JobOutput
from testbed.servers import Worker, wait_until
from testbed.system import System
from tests.raw_jetstream import settle
from workers import task_message
from workers.config import create_celery

CLIENT = "bench"
AT_ONCE = 100
PATIENCE = 10.0
"""Deadline in seconds for an append, which on a busy machine takes a while when it is one of many."""


class Bench:
    """Stores jobs and enqueues them, as a web process and Celery do."""

    def __init__(self, system: System, settings: Settings | None = None) -> None:
        self.system = system
        self.settings = settings or Settings.load(
            nats_url=system.nats.url,
            redis_url=system.valkey.url,
            reconcile_interval=0.01,
            visibility_timeout=5,
            append_timeout=PATIENCE,
        )
        self.bus = SyncBus(self.settings, update_stream=True)
        self.celery = create_celery(self.settings)

    def store(self, job_type: str = "default", content: str = "x", job_id: str | None = None) -> JobState:
        request = JobRequest(task_type=job_type, job_type=job_type, content=content)
        chosen = job_id or new_job_id()
        return self.bus.call(lambda bus: job_log.create(bus.stream, CLIENT, request, job_id=chosen))

    def enqueue(self, job: JobState, **options: Any) -> None:
        name = f"jobs.{job.request.job_type}"
        self.celery.send_task(name, args=(CLIENT, job.job_id), task_id=job.job_id, **options)

    def submit(self, job_type: str = "default", content: str = "x") -> JobState:
        job = self.store(job_type, content)
        self.enqueue(job)
        return job

    def submit_many(self, count: int) -> list[JobState]:
        """A backlog, stored and enqueued as a busy web process does: many at a time."""
        request = JobRequest(task_type="default", job_type="default", content="x")

        async def store(bus: Bus) -> list[JobState]:
            ids = [new_job_id() for _ in range(count)]
            found: list[JobState] = []
            for first in range(0, count, AT_ONCE):
                creating = (job_log.create(bus.stream, CLIENT, request, job_id=id_) for id_ in ids[first:][:AT_ONCE])
                found += await asyncio.gather(*creating)
            return found

        jobs = self.bus.call(store, timeout=60)
        for first in range(0, count, AT_ONCE):
            task_message.send(self.celery, jobs[first:][:AT_ONCE])
        return jobs

    def start(self, job: JobState, instance: str | None) -> JobState:
        """Begin an attempt as a worker does that is never heard of again."""
        return self.bus.call(lambda bus: job_log.start(bus.stream, job, instance=instance))

    def read(self, job: JobState) -> JobState:
        return self.bus.call(lambda bus: job_log.read(bus.stream, job.client_id, job.job_id))

    def steps(self, job: JobState) -> list[Step]:
        """What has happened to a job."""

        async def replay(bus: Bus) -> list[Step]:
            return [step async for step in job_log.steps(bus.stream, subjects.job(CLIENT, job.job_id))]

        return self.bus.call(replay)

    def life(self, job: JobState) -> list[str]:
        """The actions of a job's events."""
        return [step.event.action for step in self.steps(job)]

    def attempts(self, job: JobState) -> list[datetime]:
        """When each attempt of a job began."""
        return [step.at for step in self.steps(job) if step.event.action == "job_started"]

    def runs_in(self, worker: Worker) -> bool:
        """Whether one more job, which any worker may take, is run by a child of this one."""
        job = self.submit()
        self.end(job)
        (instance,) = (step.instance for step in self.steps(job) if step.instance is not None)
        return int(instance.rpartition("-")[2]) in children(worker)

    def output(self, job: JobState) -> list[JobOutput]:
        """The pieces that are stored of what a job writes; those of an attempt are there each once, and in order."""

        async def replay(bus: Bus) -> list[JobOutput]:
            stored = bus.stream.replay(subjects.output(CLIENT, job.job_id), after=0)
            return [JobOutput.model_validate_json(piece.data) async for piece in stored]

        pieces = self.bus.call(replay)
        for attempt in {piece.attempt for piece in pieces}:
            found = [piece.index for piece in pieces if piece.attempt == attempt]
            assert found == list(range(len(found)))
        assert [piece.attempt for piece in pieces] == sorted(piece.attempt for piece in pieces)
        return pieces

    def text(self, job: JobState, attempt: int) -> str:
        """What an attempt has written, as it is stored."""
        return "".join(piece.payload for piece in self.output(job) if piece.attempt == attempt)

    def writes(self, job: JobState, attempt: int = 1) -> None:
        """Wait until an attempt has written more than its first piece."""
        wait_until(lambda: len([piece for piece in self.output(job) if piece.attempt == attempt]) > 1, "output")

    def started(self, job: JobState) -> None:
        """Wait until a worker has begun."""
        wait_until(lambda: self.read(job).started, "start of the job")

    def second_attempt(self, job: JobState, deadline: float) -> None:
        """Wait until the second attempt has begun."""
        wait_until(lambda: len(self.attempts(job)) > 1, "second attempt", deadline)

    def end(self, job: JobState, deadline: float = 60) -> str:
        """Wait for the end, and tell it."""
        wait_until(lambda: self.read(job).ended, "end of the job", deadline)
        return str(self.read(job).last.payload)

    def all_ended(self, *jobs: JobState) -> None:
        wait_until(lambda: all(self.read(job).ended for job in jobs), "end of every job", 60)

    def close(self) -> None:
        self.bus.close()
        self.celery.close()


@contextlib.contextmanager
def bench_of(system: System) -> Iterator[Bench]:
    """A bench for one test on servers that others share; the workers that it starts are killed after it."""
    before = len(system.servers)
    try:
        with contextlib.closing(Bench(system)) as bench:
            yield bench
    finally:
        for worker in system.servers[before:]:
            worker.kill()
        del system.servers[before:]


def listening_worker(system: System, *options: str, **settings: str) -> Worker:
    """One more worker with one child, once it hears what operators say."""
    name = f"worker-{secrets.token_hex(3)}@here"
    worker = system.worker("--concurrency", "1", "-n", name, *options, **settings)
    with create_celery(Settings.load(redis_url=system.valkey.url)) as celery:
        wait_until(lambda: bool(celery.control.ping([name], limit=1)), "worker that listens")
    return worker


@contextlib.contextmanager
def listens_to_everything(system: System) -> Iterator[None]:
    """While somebody listens to every subject, as `nats sub '>'` does: then silence says nothing about who lives."""
    listening, over = threading.Event(), threading.Event()

    async def listen() -> None:
        connection = await nats_py.connect(system.nats.url)
        await connection.subscribe(">")
        await settle(connection)
        listening.set()
        await asyncio.to_thread(over.wait)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    try:
        assert listening.wait(20)
        yield
    finally:
        over.set()
        thread.join(20)


def children(worker: Worker) -> list[int]:
    """The processes that run a worker's jobs."""
    found = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def signal_children(worker: Worker, number: int) -> None:
    for pid in children(worker):
        os.kill(pid, number)
