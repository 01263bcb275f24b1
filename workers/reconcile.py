"""Enqueue the jobs whose turn has come, and find open jobs that nobody holds.

A started job is held by the instance that its `job_started` names, until that has no lease or says that it does not
run the job. Any other is held by its task, which waits in Redis, or was taken from there and is not acknowledged. A job
that nobody held at two looks in a row was never enqueued, or its message was lost between Redis and a worker, or
discarded, or Redis was wiped, or its worker is gone: it is enqueued again, or failed after its last attempt. A job that
waits for its turn needs nobody who holds it; its turn comes when its time has come (`not_before`), and earlier jobs of
its client have ended. The jobs of schedules are made here too (`workers.scheduler`).

One of the workers does it at a time, in a thread of its main process, so there is nothing more to deploy. Several are
harmless: what is healed is appended as `job_requeued` before it is enqueued, and NATS lets only one append follow the
last event; and of two tasks of one job, one can claim it. An honest backlog is never enqueued twice, because its tasks
are in Redis.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from bus import (
    AppendRefused,
    Bus,
    BusError,
    CorruptJob,
    Settings,
    SyncBus,
    UnknownJob,
    job_log,
    liveness,
)
from bus.backoff import Backoff
from bus.job_log import JobState
from bus.leader import Leader
from bus.liveness import Observer
from workers import ends, redis_tasks
from workers.due_jobs import DueJobs
from workers.metrics import WorkerMetrics
from workers.open_jobs import OpenJob
from workers.open_jobs_reader import OpenJobsReader
from workers.redis_owner import Identity
from workers.registry import Job, max_attempts_of
from workers.scheduler import Scheduler
from workers.stream_room import StreamRoom
from workers.task_message import send

log = structlog.get_logger(__name__)

LEASE = "reconciler"
"""The lease of the worker that reconciles."""

MOST_PER_LOOK = 1000
"""Jobs handled at one look; the rest wait for the next."""

READ_PAUSE = 0.02
"""Least seconds between two reads of the job log; what is stored meanwhile comes with the next."""

READ_TIMEOUT = 60.0
"""Deadline in seconds for one read."""

LEASE_INTERVAL = 2.0
"""Seconds between two looks at the leases of running jobs, which cost one request; see `liveness.SUSPECT_FOR`."""

MANY_TASKS = 2000
FULL_LOOK_EVERY = 600.0
"""So many tasks in Redis are only counted, as long as none can be missing, and read once in so many seconds."""

AGAIN = 0.2
AGAIN_LONGEST = 5.0
"""Seconds until the next try when NATS or Redis is away."""

MOST_TIMES = 10
LONGEST_PATIENCE = 600.0
"""A task that goes astray again and again is given longer each time, up to these seconds, then the job fails."""


class Reconciler:
    """Knows every open job, and looks after them.

    Args:
        celery: for Redis, and to enqueue with.
        bus: the bus.
        jobs: the registered jobs by name.
        settings: `reconcile_interval` and `client_window`.
        overdue: instances that this worker is about to end itself, because their time is over: their jobs are left
            alone, and fail for that reason.
        metrics: counts what it does, and what it reads of jobs.
    """

    def __init__(
        self,
        celery: Celery,
        bus: SyncBus,
        jobs: Mapping[str, Job],
        settings: Settings,
        overdue: Callable[[], set[str]] = set,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._metrics = metrics or WorkerMetrics(jobs)
        self._overdue = overdue
        self._celery = celery
        self._bus = bus
        self._jobs = jobs
        self._interval = settings.reconcile_interval
        self._news = threading.Event()
        self._reader = OpenJobsReader(settings.client_window, self._news.set, self._metrics.jobs)
        self._open = self._reader.table
        self._due = DueJobs(celery, bus, self._reader)
        self._scheduler = Scheduler(jobs, self._open, metrics=self._metrics)
        self._room = StreamRoom(bus, self._reader)
        self._leader = Leader(LEASE, self._interval)
        self._leads = False
        self._leases = Observer()
        self._leases_at = self._look_at = self._full_look_at = 0.0
        self._stop = threading.Event()

    def run(self) -> None:
        """Reconcile whenever no other worker does, until `stop`."""
        backoff = Backoff(AGAIN, AGAIN_LONGEST)
        while not self._stop.is_set():
            pause = 0.0
            try:
                pause = self._take_turn()
                backoff.reset()
            except (BusError, OperationalError, RedisError, OSError) as error:
                log.warning("could not look for lost jobs; trying again", error=str(error))
                self._stop.wait(backoff.pause())
            except Exception:
                log.exception("looking for lost jobs failed; trying again")
                self._stop.wait(backoff.pause())
            self._stop.wait(READ_PAUSE)
            self._news.wait(pause)
        try:
            self._bus.call(self._leader.end)
        except BusError as error:
            log.debug("another worker reconciles when the lease has expired", error=str(error))
        self._metrics.leads.set(0)
        self._forget()

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()
        self._news.set()

    def _take_turn(self) -> float:
        """Do what is due. Returns after how many seconds something is due again, unless there is news before."""
        self._news.clear()
        up_to_date = self._bus.call(self._catch_up, timeout=READ_TIMEOUT)
        leads, self._leads = self._leads, up_to_date is not None
        self._metrics.leads.set(self._leads)
        if not self._leads:
            if leads:
                log.info("another worker reconciles from now on")
                self._forget()
            self._bus.call(lambda bus: self._leases.look(bus, ()))  # so that it can judge as soon as it leads
            return min(LEASE_INTERVAL, self._interval) / 2
        if not leads:
            log.info("this worker reconciles from now on")
            self._look_at = time.monotonic() + self._pause(self._interval)
        if not up_to_date:
            return 0.0
        if time.monotonic() >= self._leases_at:
            self.look_at_leases()
            soon = liveness.SUSPECT_FOR if self._leases.suspects else LEASE_INTERVAL
            self._leases_at = time.monotonic() + self._pause(min(soon, self._interval))
        if self._bus.call(self._scheduler.look, timeout=READ_TIMEOUT):
            self._read()
        self._open.release()
        self._metrics.actions.labels("let_in").inc(self._due.enqueue())
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._pause(self._interval)
            self.look()
        self._room.keep()
        if (usage := self._reader.retention.usage) is not None:
            self._metrics.stream(usage)
        if self._open.waiting and not self._reader.listens:
            return 0.0
        pause = min(min(self._leases_at, self._look_at, self._room.due_at) - time.monotonic(), self._scheduler.due_in)
        if (next_time := self._open.next_time) is not None:
            pause = min(pause, next_time - time.time())
        return max(0.0, pause)

    async def _catch_up(self, bus: Bus) -> bool | None:
        """Read what is new, if it is this worker that reconciles. Returns whether that was all; None if it is not."""
        await self._leader.begin(bus)
        if not self._leader.leads:
            return None
        if not await self._reader.read(bus):
            return False
        await self._reader.begin(bus)
        return True

    def _pause(self, seconds: float) -> float:
        return seconds * random.uniform(1.0, 1.3)  # noqa: S311 - only spreads the load

    def _forget(self) -> None:
        self._due.begin_anew()
        self._scheduler.forget()
        try:
            self._bus.call(lambda bus: self._reader.end())
        except BusError as error:
            log.debug("NATS is away", error=str(error))

    def _read(self) -> None:
        while not self._bus.call(self._reader.read, timeout=READ_TIMEOUT):
            pass

    def look(self) -> int:
        """Read what is new, and heal what nobody held at the last look either.

        Returns:
            How many jobs were enqueued again or failed.

        Raises:
            BusError, OperationalError, RedisError, OSError: NATS or Redis cannot be asked; nothing is decided then.
        """
        healed = self.look_at_leases()
        have_tasks = [job for job in self._open if not job.waits]
        in_redis = self._in_redis(len(have_tasks))
        now = time.monotonic()
        lost = []
        for job in have_tasks:
            if in_redis is None or job.job_id in in_redis:
                job.unheld_since = None
            elif job.unheld_since is None:
                job.unheld_since = now
            elif now - job.unheld_since >= min(self._interval / 2 * 2**job.requeued, LONGEST_PATIENCE):
                lost.append(job)
        if len(lost) > MOST_PER_LOOK:
            self._look_at = now
        return healed + self._heal_all(lost)

    def look_at_leases(self) -> int:
        """Read what is new, and heal the jobs of workers that are gone. Returns and raises as `look` does."""
        self._read()
        instances = {job.instance for job in self._open if job.instance is not None}
        if not instances:
            return 0
        gone = self._bus.call(lambda bus: self._leases.look(bus, instances)) - self._overdue()
        return self._heal_all([job for job in self._open if job.instance in gone], gone=True) if gone else 0

    def _in_redis(self, expected: int) -> set[str] | None:
        """The jobs that have a task in Redis; None when there are too many to read, and none seems to be missing."""
        if not expected:
            return None
        queues, now = self._open.queues, time.monotonic()
        if now < self._full_look_at and redis_tasks.count(self._celery, queues) >= max(expected, MANY_TASKS):
            return None
        self._full_look_at = now + FULL_LOOK_EVERY
        return redis_tasks.job_ids(self._celery, queues)

    def _heal_all(self, lost: Sequence[OpenJob], *, gone: bool = False) -> int:
        return sum(self._heal(job, gone=gone) for job in lost[:MOST_PER_LOOK] if not self._stop.is_set())

    def _heal(self, lost: OpenJob, *, gone: bool) -> bool:
        client_id, job_id = lost.key
        with structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id):
            try:
                state = self._bus.call(lambda bus: job_log.read(bus.stream, client_id, job_id))
                if state.seq != lost.seq or state.ended:
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
                self._open.forget(lost)
                self._metrics.actions.labels("gave_up").inc()
            except AppendRefused:
                log.debug("somebody else took the next step")
            else:
                return True
            return False

    def _fail(self, state: JobState, reason: str) -> None:
        log.warning("failing a job that nobody can do", reason=reason)
        self._bus.call(lambda bus: job_log.fail(bus.stream, state, reason))
        self._metrics.actions.labels("failed").inc()

    def _enqueue_again(self, state: JobState) -> None:
        log.warning("enqueueing a job again that nobody held", attempt=state.attempt)
        requeued = self._bus.call(lambda bus: job_log.requeue(bus.stream, state))
        send(self._celery, [requeued], Identity(self._reader.epoch))
        self._metrics.actions.labels("enqueued_again").inc()
