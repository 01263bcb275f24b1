"""OpenJobs: every job that has not ended, and whose turn it is. A function of the job log alone.

Of each client, the first `window` open jobs of each queue, in the order in which they were queued, are admitted: their
tasks belong into Redis. The others wait in the log until one of these ends. A job that is not to begin before some time
gets in line when that has come; until then it takes no place of another.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bus.job_log import DEFAULT_QUEUE, Step

MOST_KEPT = 10_000
LARGEST_KEPT = 2048
"""Of so many waiting jobs the first event is kept, if it has no more bytes; that of others is read again."""

Key = tuple[str, str]
"""Client id and job id."""
SCHEDULED = ""
"""In place of a queue, where jobs are counted by queue: of those that wait for their time, whatever their queue."""


@dataclass(slots=True, eq=False)
class OpenJob:
    """A job that has not ended, as its steps tell it.

    Args:
        client_id, job_id: which one.
        queue: the Celery queue of its tasks.
        seq: sequence of its last event.
        instance: the process that runs it.
        requeued: how often in a row it was enqueued again.
        waits: whether it has no task yet, because nobody has made one.
        kept: its first event, while it waits, unless there are too many.
        admitted: whether it is its turn.
        scheduled: whether its time has not come; then it waits, and is not in line.
        size: bytes of the stream that it takes: of its latest event that tells what was asked for, which is kept there
            for as long as the job is open.
        unheld_since: since when Redis had no task of it, by `time.monotonic`; whoever looks there keeps it.
    """

    client_id: str
    job_id: str
    queue: str
    seq: int
    instance: str | None = None
    requeued: int = 0
    waits: bool = False
    kept: Step | None = None
    admitted: bool = False
    scheduled: bool = False
    size: int = 0
    unheld_since: float | None = None

    @property
    def key(self) -> Key:
        """What no other job has."""
        return self.client_id, self.job_id

    @property
    def line(self) -> str:
        """Where it waits: its queue, or `SCHEDULED`."""
        return SCHEDULED if self.scheduled else self.queue


@dataclass(slots=True)
class _Line:
    """The open jobs of one client in one queue."""

    admitted: int = 0
    waiting: OrderedDict[str, OpenJob] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return self.admitted + len(self.waiting)


class OpenJobs:
    """A table of the open jobs, fed with the steps of all jobs in stream order.

    Args:
        window: how many jobs of a client are admitted at a time, in each queue.
        clock: the time now, in seconds as `time.time` has it.
    """

    def __init__(self, window: int, clock: Callable[[], float] = time.time) -> None:
        self._window = window
        self._clock = clock
        self._jobs: dict[Key, OpenJob] = {}
        self._lines: dict[str, dict[str, _Line]] = {}
        self._due: dict[Key, OpenJob] = {}
        self._waiting = 0
        self._times: list[tuple[float, int, OpenJob]] = []
        """A heap of when the scheduled jobs are due. One may have moved on since; then it is passed over."""
        self._scheduled = 0
        self._bytes: Counter[str] = Counter()
        """What the open jobs of each client take of the stream."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[OpenJob]:
        """In the order in which they were queued. The table must not change meanwhile."""
        return iter(self._jobs.values())

    def __contains__(self, job: OpenJob) -> bool:
        return self._jobs.get(job.key) is job

    def has(self, client_id: str, job_id: str) -> bool:
        """Whether a job of this client and id is open."""
        return (client_id, job_id) in self._jobs

    @property
    def waiting(self) -> int:
        """How many jobs nobody has made a task of, though their time has come."""
        return self._waiting - self._scheduled

    @property
    def next_time(self) -> float | None:
        """When the first of the scheduled jobs is due, or earlier; None if there is none."""
        return self._times[0][0] if self._times else None

    @property
    def due(self) -> list[OpenJob]:
        """The admitted jobs that still wait for somebody to enqueue them, those first that were admitted first."""
        return list(self._due.values())

    @property
    def queues(self) -> set[str]:
        """Those in which a job is open."""
        return {job.queue for job in self._jobs.values()}

    def count(self, client_id: str) -> dict[str, int]:
        """How many open jobs a client has, by queue; `SCHEDULED` for those in none yet."""
        return {queue: len(line) for queue, line in self._lines.get(client_id, {}).items()}

    def bytes_of(self, client_id: str) -> int:
        """How many bytes of the stream the open jobs of a client take."""
        return self._bytes.get(client_id, 0)

    def states(self) -> dict[str, int]:
        """How many there are: running, queued in Redis, waiting behind others of their client, scheduled for later."""
        found = {"running": 0, "queued": 0, "waiting": 0, "scheduled": 0}
        for job in self:
            waits = "scheduled" if job.scheduled else "waiting"
            found[waits if job.waits else "running" if job.instance else "queued"] += 1
        return found

    def apply(self, step: Step) -> None:
        """Take the next step of a job."""
        key = step.client_id, step.job_id
        job = self._jobs.get(key)
        if step.event.ended:
            if job is not None:
                self.forget(job)
            return
        if job is not None and step.carried:
            job.seq, job.kept = step.seq, None  # what was kept is its last event no more
            self._measure(job, step.stored.size)
            return
        if job is None:  # queued now, or its beginning is gone
            queue = step.request.queue if step.request is not None else DEFAULT_QUEUE
            job = self._jobs[key] = OpenJob(*key, queue, seq=step.seq)
            self._measure(job, step.stored.size)
            self._schedule(job, step)
            self._line_up(job)
        elif job.scheduled and not step.waits:  # somebody's clock is ahead
            self._get_in_line(job)
        job.seq, job.instance, job.requeued, job.unheld_since = step.seq, step.instance, step.event.requeued, None
        self._waiting += step.waits - job.waits
        job.waits = step.waits
        job.kept = step if self._waiting <= MOST_KEPT and len(step.stored.data) <= LARGEST_KEPT and job.waits else None
        if job.waits and job.admitted:
            self._due[key] = job
        else:
            self._due.pop(key, None)

    def release(self) -> None:
        """Let the scheduled jobs get in line whose time has come."""
        now = self._clock()
        while self._times and self._times[0][0] <= now:
            job = heapq.heappop(self._times)[2]
            if job in self and job.scheduled:
                self._get_in_line(job)

    def enqueued(self, job: OpenJob) -> None:
        """Note that a waiting job has its task."""
        self._waiting -= job.waits
        job.waits, job.kept = False, None
        self._due.pop(job.key, None)

    def forget(self, job: OpenJob) -> None:
        """Take a job out: it has ended, or can neither be run nor healed. Then the next one may be admitted."""
        if job not in self:
            return
        del self._jobs[job.key]
        self._waiting -= job.waits
        self._due.pop(job.key, None)
        self._measure(job, 0)
        self._leave_line(job)
        self._scheduled -= job.scheduled
        if len(self._times) > 2 * self._scheduled + 1000:  # most of them were called off long before their time
            self._times = [entry for entry in self._times if entry[2] in self and entry[2].scheduled]
            heapq.heapify(self._times)

    def clear(self) -> None:
        """Forget all of them."""
        self._jobs.clear()
        self._lines.clear()
        self._due.clear()
        self._times.clear()
        self._bytes.clear()
        self._waiting = self._scheduled = 0

    def _measure(self, job: OpenJob, size: int) -> None:
        self._bytes[job.client_id] += size - job.size
        job.size = size
        if not self._bytes[job.client_id]:
            del self._bytes[job.client_id]

    def _schedule(self, job: OpenJob, step: Step) -> None:
        begins = step.request.begins if step.request is not None and step.waits else None
        if begins is not None and begins.timestamp() > self._clock():
            job.scheduled = True
            self._scheduled += 1
            heapq.heappush(self._times, (begins.timestamp(), job.seq, job))

    def _get_in_line(self, job: OpenJob) -> None:
        self._leave_line(job)
        job.scheduled = False
        self._scheduled -= 1
        self._line_up(job)

    def _leave_line(self, job: OpenJob) -> None:
        lines = self._lines[job.client_id]
        line = lines[job.line]
        if not job.admitted:
            del line.waiting[job.job_id]
        else:
            line.admitted -= 1
            if line.waiting:
                self._admit(line, line.waiting.popitem(last=False)[1])
        if not line:
            del lines[job.line]
        if not lines:
            del self._lines[job.client_id]

    def _line_up(self, job: OpenJob) -> None:
        line = self._lines.setdefault(job.client_id, {}).setdefault(job.line, _Line())
        if line.admitted < self._window and not job.scheduled:
            self._admit(line, job)
        else:
            line.waiting[job.job_id] = job

    def _admit(self, line: _Line, job: OpenJob) -> None:
        line.admitted += 1
        job.admitted = True
        if job.waits:
            self._due[job.key] = job
