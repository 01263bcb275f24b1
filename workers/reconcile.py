"""Find open jobs that nobody holds, and enqueue them again.

A started job is held by the instance that its `job_started` names, until that has no lease or says that it does not
run the job. Any other is held by its task, which waits in Redis, or was taken from there and is not acknowledged. A job
that nobody held at two looks in a row was never enqueued, or its message was lost between Redis and a worker, or
discarded, or Redis was wiped, or its worker is gone: it is enqueued again, or failed after its last attempt.

Every worker runs one reconciler in a thread of its main process, so there is nothing more to deploy. Several are
harmless: each appends `job_requeued` before it enqueues, and NATS lets only one append follow the last event. An
honest backlog is never enqueued twice, because its tasks are in Redis.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from celery import Celery
from celery.signals import worker_ready, worker_shutdown
from celery.worker.state import revoked
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from bus import (
    AppendRefused,
    Bus,
    BusError,
    CorruptJob,
    Settings,
    Stored,
    SyncBus,
    UnknownJob,
    job_log,
    liveness,
    subjects,
)
from bus.job_log import JobState
from bus.liveness import Observer
from workers import ends, envelope
from workers.config import QUEUE
from workers.main_process import MainProcess, cancel_revoked
from workers.ownership import keep_owning
from workers.redis_owner import Identity
from workers.registry import Job, max_attempts_of
from workers.task_message import send

log = structlog.get_logger(__name__)

REDIS_PAGE = 500
"""Messages read from Redis at a time."""

MOST_PER_LOOK = 1000
"""Jobs handled at one look; the rest wait for the next."""

SCAN_TIMEOUT = 120.0
"""Deadline in seconds for reading what is new in the stream; the next look goes on where it stopped."""

LEASE_INTERVAL = 2.0
"""Seconds between two looks at the leases of running jobs, which cost one request; see `liveness.SUSPECT_FOR`."""

MOST_TIMES = 10
LONGEST_PATIENCE = 600.0
"""A task that goes astray again and again is given longer each time, up to these seconds, then the job fails."""


@dataclass(slots=True)
class OpenJob:
    """An open job as the reconciler knows it: its last step, and since when Redis had no task of it."""

    seq: int
    instance: str | None = None
    requeued: int = 0
    unheld_since: float | None = None


class Reconciler:
    """Looks at the whole system now and then.

    Args:
        celery: for Redis, and to enqueue with.
        bus: the bus.
        jobs: the registered jobs by name.
        settings: `reconcile_interval`.
        on_gone: told which instances are gone.
        busy: more instances to look after than those that open jobs name, such as this worker's own children.
    """

    def __init__(
        self,
        celery: Celery,
        bus: SyncBus,
        jobs: Mapping[str, Job],
        settings: Settings,
        on_gone: Callable[[set[str]], None] = lambda gone: None,
        busy: Callable[[], set[str]] = set,
    ) -> None:
        self._on_gone = on_gone
        self._busy = busy
        self._celery = celery
        self._bus = bus
        self._jobs = jobs
        self._interval = settings.reconcile_interval
        self._epoch = ""
        self._cursor = 0
        self._open: dict[tuple[str, str], OpenJob] = {}
        self._leases = Observer()
        self._stop = threading.Event()

    def run(self) -> None:
        """Look every `reconcile_interval` seconds, give or take a fifth, and at leases more often, until `stop`."""
        due = time.monotonic() + self._pause(self._interval)
        while not self._stop.is_set():
            try:
                if time.monotonic() < due:
                    self.look_at_leases()
                else:
                    due = time.monotonic() + self._pause(self._interval)
                    self.look()
            except (BusError, OperationalError, RedisError, OSError) as error:
                log.warning("could not look for lost jobs; trying again", error=str(error))
            except Exception:
                log.exception("looking for lost jobs failed; trying again")
            soon = liveness.SUSPECT_FOR if self._leases.suspects else LEASE_INTERVAL
            self._stop.wait(self._pause(min(soon, self._interval)))

    def _pause(self, seconds: float) -> float:
        return seconds * random.uniform(1.0, 1.3)  # noqa: S311 - only spreads the load

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
        healed = self.look_at_leases()
        if not self._open:
            return healed
        in_redis = self._in_redis()
        now = time.monotonic()
        lost = []
        for key, job in self._open.items():
            if key[1] in in_redis:
                job.unheld_since = None
            elif job.unheld_since is None:
                job.unheld_since = now
            elif now - job.unheld_since >= min(self._interval / 2 * 2**job.requeued, LONGEST_PATIENCE):
                lost.append(key)
        return healed + self._heal_all(lost)

    def look_at_leases(self) -> int:
        """Read what is new, cancel what was revoked, and heal the jobs of workers that are gone.

        Returns and raises as `look` does.
        """
        self._bus.call(self._scan, timeout=SCAN_TIMEOUT)
        for key in [key for key in self._open if key[1] in revoked]:
            with suppress(UnknownJob, CorruptJob):  # what else is to be said of it, `_heal` says
                self._bus.call(partial(cancel_revoked, client_id=key[0], job_id=key[1]))
        instances = {job.instance for job in self._open.values() if job.instance is not None} | self._busy()
        if not instances:
            return 0
        gone = self._bus.call(lambda bus: self._leases.look(bus, instances))
        self._on_gone(gone)
        return self._heal_all([key for key, job in self._open.items() if job.instance in gone], gone=True)

    async def _scan(self, bus: Bus) -> None:
        state = await bus.stream.state()
        if state.epoch != self._epoch or state.last_seq < self._cursor:
            self._epoch, self._cursor = state.epoch, 0
            self._open.clear()
        async for step in job_log.steps(bus.stream, subjects.ALL_JOBS, after=self._cursor, on_foreign=self._pass_over):
            self._cursor = step.seq
            if step.event.ended:
                self._open.pop((step.client_id, step.job_id), None)
            else:
                self._open[step.client_id, step.job_id] = OpenJob(step.seq, step.instance, step.event.requeued)
        # What retention has cut can neither be run nor healed.
        for key in [key for key, job in self._open.items() if job.seq < state.first_seq]:
            del self._open[key]

    def _pass_over(self, stored: Stored, error: CorruptJob) -> None:
        self._cursor = stored.seq
        log.warning("passed over an event of another program", error=str(error))

    def _in_redis(self) -> set[str]:
        """The ids of all jobs whose tasks wait in Redis, or were taken from it and not acknowledged."""
        with self._celery.connection_for_write() as connection:
            channel = connection.default_channel
            messages = _messages(channel.plain_client(), channel.global_keyprefix)
            return {found for message in messages if (found := envelope.job_id(message)) is not None}

    def _heal_all(self, lost: list[tuple[str, str]], *, gone: bool = False) -> int:
        return sum(
            self._heal(*key, self._open[key].seq, gone=gone) for key in lost[:MOST_PER_LOOK] if not self._stop.is_set()
        )

    def _heal(self, client_id: str, job_id: str, seq: int, *, gone: bool) -> bool:
        with structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id):
            try:
                state = self._bus.call(lambda bus: job_log.read(bus.stream, client_id, job_id))
                if state.seq != seq or state.ended:
                    return False  # it has moved on since it was looked at, perhaps by another reconciler
                instance = state.instance
                if instance is not None and not gone:
                    # A task may be acknowledged while its job runs: as a duplicate, after the visibility timeout.
                    gone = self._bus.call(lambda bus: liveness.denies(bus, instance, job_id))
                    if not gone:
                        return False
                if state.attempt >= max_attempts_of(self._jobs, state.request.job_type):
                    self._fail(state, ends.worker_died(state))
                elif state.requeued >= MOST_TIMES:
                    self._fail(state, f"no worker started it, though it was queued {state.requeued + 1} times")
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

    def _fail(self, state: JobState, reason: str) -> None:
        log.warning("failing a job that nobody can do", reason=reason)
        self._bus.call(lambda bus: job_log.fail(bus.stream, state, reason))

    def _enqueue_again(self, state: JobState) -> None:
        log.warning("enqueueing a job again that nobody held", attempt=state.attempt)
        requeued = self._bus.call(lambda bus: job_log.requeue(bus.stream, state))
        send(self._celery, [requeued], Identity(self._epoch))


def keep_reconciling(app: Celery, main_process: MainProcess, jobs: Mapping[str, Job], settings: Settings) -> None:
    """Run a `Reconciler` in each worker's main process, from when it is ready until it stops."""
    reconciler = Reconciler(app, main_process.bus, jobs, settings, main_process.kill_stuck, main_process.busy)
    ownership = keep_owning(app, main_process.bus)
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
