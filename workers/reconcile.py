"""Find open jobs that nobody holds, and enqueue them again.

A job is held when its task waits in Redis, when it was taken from Redis and not acknowledged, or when a worker answers
for it. A job that nobody held at two looks in a row was never enqueued, or its message was lost between Redis and a
worker, or Redis was wiped, or its worker is gone: it is enqueued again, or failed after its last attempt.

Every worker runs one reconciler in a thread of its main process, so there is nothing more to deploy. Several are
harmless: each appends `job_requeued` before it enqueues, and NATS lets only one append follow the last event. An
honest backlog is never enqueued twice, because its tasks are in Redis.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog
from celery import Celery
from celery.signals import worker_ready, worker_shutdown
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from bus import AppendRefused, Bus, BusError, Settings, SyncBus, UnknownJob, holder, job_log, subjects
from bus.job_log import CorruptJob, JobState
from workers import envelope
from workers.config import QUEUE
from workers.ownership import keep_owning
from workers.redis_owner import Identity
from workers.registry import Job, resolve
from workers.task_message import send

log = structlog.get_logger(__name__)

REDIS_PAGE = 500
"""Messages read from Redis at a time."""

MOST_PER_LOOK = 1000
"""Jobs handled at one look; the rest wait for the next."""

SCAN_TIMEOUT = 120.0
"""Deadline in seconds for reading what is new in the stream; the next look goes on where it stopped."""


@dataclass(slots=True)
class OpenJob:
    """An open job as the reconciler knows it: its last event, and since when nobody held it."""

    seq: int
    unheld_since: float | None = None


class Reconciler:
    """Looks at the whole system now and then.

    Args:
        celery: for Redis, and to enqueue with.
        bus: the bus.
        jobs: the registered jobs by name.
        settings: `reconcile_interval`.
    """

    def __init__(self, celery: Celery, bus: SyncBus, jobs: Mapping[str, Job], settings: Settings) -> None:
        self._celery = celery
        self._bus = bus
        self._jobs = jobs
        self._interval = settings.reconcile_interval
        self._epoch = ""
        self._cursor = 0
        self._open: dict[tuple[str, str], OpenJob] = {}
        self._stop = threading.Event()

    def run(self) -> None:
        """Look every `reconcile_interval` seconds, give or take a fifth, until `stop`."""
        while not self._stop.wait(self._interval * random.uniform(0.8, 1.2)):  # noqa: S311 - only spreads the load
            try:
                self.look()
            except (BusError, OperationalError, RedisError, OSError) as error:
                log.warning("could not look for lost jobs; trying again", error=str(error))
            except Exception:
                log.exception("looking for lost jobs failed; trying again")

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def look(self) -> int:
        """Read what is new, and heal what nobody held at the last look either.

        Returns:
            How many jobs were enqueued again or failed.

        Raises:
            BusError, OperationalError, RedisError, OSError: NATS or Redis cannot be asked; nothing is decided then.
        """
        self._bus.call(self._scan, timeout=SCAN_TIMEOUT)
        if not self._open:
            return 0
        in_redis = self._in_redis()
        now = time.monotonic()
        lost = []
        for key, job in self._open.items():
            if key[1] in in_redis:
                job.unheld_since = None
            elif job.unheld_since is None:
                job.unheld_since = now
            elif now - job.unheld_since >= self._interval / 2:
                lost.append(key)
        return sum(self._heal(*key, self._open[key].seq) for key in lost[:MOST_PER_LOOK] if not self._stop.is_set())

    async def _scan(self, bus: Bus) -> None:
        state = await bus.stream.state()
        if state.epoch != self._epoch or state.last_seq < self._cursor:
            self._epoch, self._cursor = state.epoch, 0
            self._open.clear()
        async for stored in bus.stream.replay(subjects.ALL_JOBS, after=self._cursor):
            self._cursor = stored.seq
            address = subjects.parse(stored.subject)
            if address is None or address.client_id is None or address.job_id is None:
                continue
            key = (address.client_id, address.job_id)
            try:
                ended = job_log.step_of(stored).ended
            except CorruptJob as error:
                log.warning("passed over an event of another program", error=str(error))
                if key in self._open:
                    self._open[key].seq = stored.seq
                continue
            if ended:
                self._open.pop(key, None)
            else:
                self._open[key] = OpenJob(stored.seq)
        # What retention has cut can neither be run nor healed.
        for key in [key for key, job in self._open.items() if job.seq < state.first_seq]:
            del self._open[key]

    def _in_redis(self) -> set[str]:
        """The ids of all jobs whose tasks wait in Redis, or were taken from it and not acknowledged."""
        with self._celery.connection_for_write() as connection:
            channel = connection.default_channel
            messages = _messages(channel.plain_client(), channel.global_keyprefix)
            return {found for message in messages if (found := envelope.job_id(message)) is not None}

    def _heal(self, client_id: str, job_id: str, seq: int) -> bool:
        with structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id):
            try:
                state = self._bus.call(lambda bus: job_log.read(bus.stream, client_id, job_id))
                if state.seq != seq:
                    return False  # it has moved on since it was looked at, perhaps by another reconciler
                if state.ended or (state.started and self._bus.call(lambda bus: holder.is_held(bus, job_id))):
                    return False
                job = resolve(self._jobs, state.request.job_type)
                if state.attempt >= job.max_attempts:
                    self._fail(state)
                else:
                    self._enqueue_again(state)
            except (UnknownJob, CorruptJob) as error:
                log.warning("gave up a job whose events are gone or foreign", error=str(error))
                self._open.pop((client_id, job_id), None)
            except AppendRefused:
                log.debug("somebody else took the next step")
            else:
                return True
            return False

    def _fail(self, state: JobState) -> None:
        log.warning("failing a job whose worker died at the last attempt", attempt=state.attempt)
        reason = f"the worker died, and that was attempt {state.attempt} of as many"
        self._bus.call(lambda bus: job_log.fail(bus.stream, state, reason))

    def _enqueue_again(self, state: JobState) -> None:
        log.warning("enqueueing a job again that nobody held", attempt=state.attempt)
        requeued = self._bus.call(lambda bus: job_log.requeue(bus.stream, state))
        send(self._celery, [requeued], Identity(self._epoch))


def keep_reconciling(app: Celery, bus: SyncBus, jobs: Mapping[str, Job], settings: Settings) -> None:
    """Run a `Reconciler` in each worker's main process, from when it is ready until it stops."""
    reconciler = Reconciler(app, bus, jobs, settings)
    ownership = keep_owning(app, bus)
    threads = [threading.Thread(target=run, daemon=True) for run in (reconciler.run, ownership.run)]

    def start(**_: object) -> None:
        for thread in threads:
            thread.start()

    def stop(**_: object) -> None:
        reconciler.stop()
        ownership.stop()

    worker_ready.connect(start, weak=False)
    worker_shutdown.connect(stop, weak=False)


def _messages(client: Redis, prefix: str) -> Iterator[bytes]:
    # What is taken is read before and after what waits: a message that moves meanwhile is seen in one of the three.
    yield from _taken(client, prefix)
    start = 0
    while page := client.lrange(f"{prefix}{QUEUE}", start, start + REDIS_PAGE - 1):
        yield from page  # type: ignore[misc]
        start += REDIS_PAGE // 2  # pages overlap, since the list moves while it is read
    yield from _taken(client, prefix)


def _taken(client: Redis, prefix: str) -> Iterator[bytes]:
    for _, message in client.hscan_iter(f"{prefix}unacked", count=REDIS_PAGE):
        yield message
