"""OpenJobs: every job that has not ended, and whose turn it is. A function of the job log alone.

Of each client, the first `window` open jobs of each queue, in the order in which they were queued, are admitted: their
tasks belong into Redis. The others wait in the log until one of these ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from bus.job_log import DEFAULT_QUEUE, Step

MOST_KEPT = 10_000
LARGEST_KEPT = 2048
"""Of so many waiting jobs the first event is kept, if it has no more bytes; that of others is read again."""

Key = tuple[str, str]
"""Client id and job id."""


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
    unheld_since: float | None = None

    @property
    def key(self) -> Key:
        """What no other job has."""
        return self.client_id, self.job_id


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
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._jobs: dict[Key, OpenJob] = {}
        self._lines: dict[str, dict[str, _Line]] = {}
        self._due: dict[Key, OpenJob] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[OpenJob]:
        """In the order in which they were queued. The table must not change meanwhile."""
        return iter(self._jobs.values())

    def __contains__(self, job: OpenJob) -> bool:
        return self._jobs.get(job.key) is job

    @property
    def waiting(self) -> int:
        """How many jobs nobody has made a task of."""
        return self._waiting

    @property
    def due(self) -> list[OpenJob]:
        """The admitted jobs that still wait for somebody to enqueue them, those first that were admitted first."""
        return list(self._due.values())

    @property
    def queues(self) -> set[str]:
        """Those in which a job is open."""
        return {job.queue for job in self._jobs.values()}

    def count(self, client_id: str) -> dict[str, int]:
        """How many open jobs a client has, by queue."""
        return {queue: len(line) for queue, line in self._lines.get(client_id, {}).items()}

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
            return
        if job is None:  # queued now, or its beginning is gone
            queue = step.request.queue if step.request is not None else DEFAULT_QUEUE
            job = self._jobs[key] = OpenJob(*key, queue, seq=step.seq)
            self._line_up(job)
        job.seq, job.instance, job.requeued, job.unheld_since = step.seq, step.instance, step.event.requeued, None
        self._waiting += step.waits - job.waits
        job.waits = step.waits
        job.kept = step if self._waiting <= MOST_KEPT and len(step.stored.data) <= LARGEST_KEPT and job.waits else None
        if job.waits and job.admitted:
            self._due[key] = job
        else:
            self._due.pop(key, None)

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
        lines = self._lines[job.client_id]
        line = lines[job.queue]
        if not job.admitted:
            del line.waiting[job.job_id]
        else:
            line.admitted -= 1
            if line.waiting:
                self._admit(line, line.waiting.popitem(last=False)[1])
        if not line:
            del lines[job.queue]
        if not lines:
            del self._lines[job.client_id]

    def clear(self) -> None:
        """Forget all of them."""
        self._jobs.clear()
        self._lines.clear()
        self._due.clear()
        self._waiting = 0

    def _line_up(self, job: OpenJob) -> None:
        line = self._lines.setdefault(job.client_id, {}).setdefault(job.queue, _Line())
        if line.admitted < self._window:
            self._admit(line, job)
        else:
            line.waiting[job.job_id] = job

    def _admit(self, line: _Line, job: OpenJob) -> None:
        line.admitted += 1
        job.admitted = True
        if job.waits:
            self._due[job.key] = job
