"""JobIndex: every job that the stream tells of, as a list. A function of the job log alone."""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from sys import intern
from typing import Protocol

from bus.job_log import Step
from bus.messages import as_text

MOST_JOBS = 100_000
"""Jobs that are listed, the newest; open ones before ended ones. Each takes about a kilobyte of memory."""
SPARE = 1000
"""Jobs above that, after which the oldest are taken out together."""
LONGEST = 200
"""Characters of a job's content, and of what came of it, that are kept."""
SCHEDULED = "scheduled"
ENDED = frozenset({"job_result", "job_failed", "job_cancelled"})

number_of = attrgetter("n")


@dataclass(slots=True, eq=False)
class IndexedJob:
    """One job, as its latest step tells it.

    Args:
        n: its number: the sequence of the first event that is known of it.
        seq: the sequence of its latest event.
        queued: when it was submitted, in seconds since 1970.
        version: grows with every change of any job.
        others: as in `bus.messages.to_operators.JobRow`.
    """

    n: int
    seq: int
    client_id: str
    job_id: str
    task_type: str
    content: str
    queued: float
    queued_at: str
    last_at: str
    state: str = "job_queued"
    text: str = ""
    attempt: int = 0
    started_at: str | None = None
    retry_of: str | None = None
    not_before: str | None = None
    instance: str | None = None
    version: int = 0

    @property
    def ended(self) -> bool:
        """Whether it has its one end."""
        return self.state in ENDED


class Viewer(Protocol):
    """Who has a view of the jobs, and is told of each change of one."""

    def discard(self, job: IndexedJob) -> None:
        """The job is about to change, or to go."""

    def add(self, job: IndexedJob) -> None:
        """The job has changed, or is new."""

    def drop(self, gone: Collection[IndexedJob]) -> None:
        """These are no more."""


class JobIndex:
    """A table of jobs in the order in which they were submitted, fed with the steps of all of them in stream order.

    Args:
        most: how many are kept.
        clock: the time now, in seconds as `time.time` has it.
    """

    def __init__(self, most: int = MOST_JOBS, clock: Callable[[], float] = time.time) -> None:
        self._most = most
        self._clock = clock
        self._by_key: dict[tuple[str, str], IndexedJob] = {}
        self._times: list[tuple[float, int, IndexedJob]] = []
        """A heap of when scheduled jobs are due. One may have moved on since; then it is passed over."""
        self.jobs: list[IndexedJob] = []
        """All of them, the oldest first."""
        self.types: Counter[str] = Counter()
        self.viewers: set[Viewer] = set()
        self.version = 0
        self.cut = False
        """Whether there were more than are kept."""

    def __len__(self) -> int:
        return len(self.jobs)

    def __contains__(self, job: IndexedJob) -> bool:
        return self._by_key.get((job.client_id, job.job_id)) is job

    def after(self, n: int, most: int) -> list[IndexedJob]:
        """The jobs that follow this number, in order."""
        first = bisect_left(self.jobs, n + 1, key=number_of)
        return self.jobs[first : first + most]

    def apply(self, step: Step) -> None:
        """Take the next step of a job."""
        key = step.client_id, step.job_id
        job = self._by_key.get(key)
        if job is None:
            job = self._new(step)
            self._by_key[key] = job
            self.jobs.append(job)
            self.types[job.task_type] += 1
        elif step.carried:
            job.seq = step.seq  # nothing has changed but where its latest event is
            return
        else:
            self._leave_views(job)
        self._change(job, step)
        self._enter_views(job)
        if len(self.jobs) > self._most + SPARE:
            self._drop_oldest()

    def release(self) -> None:
        """Let the scheduled jobs be queued ones whose time has come."""
        now = self._clock()
        while self._times and self._times[0][0] <= now:
            job = heapq.heappop(self._times)[2]
            if job.state == SCHEDULED and job in self:
                self._leave_views(job)
                job.state = "job_queued"
                self._enter_views(job)

    def cut_before(self, seq: int) -> None:
        """Take out the jobs of which the stream has no event any more.

        Args:
            seq: the sequence of its oldest event.
        """
        self._remove([job for job in self.jobs if job.seq < seq])

    def clear(self) -> None:
        """Forget all of them: the stream is another one."""
        self._remove(list(self.jobs))
        self._times.clear()
        self.cut = False

    def _new(self, step: Step) -> IndexedJob:
        request, at = step.request, step.at
        return IndexedJob(
            step.seq,
            step.seq,
            intern(step.client_id),
            step.job_id,
            intern((request.task_type if request else step.event.task_type) or "?"),
            shortened(request.content) if request else "",
            at.timestamp(),
            written_at(step),
            "",
            retry_of=request.retry_of if request else None,
            not_before=request.not_before if request else None,
        )

    def _change(self, job: IndexedJob, step: Step) -> None:
        event = step.event
        state: str = event.state
        begins = step.request.begins if step.request is not None and step.waits else None
        if state == "job_queued" and begins is not None and begins.timestamp() > self._clock():
            state = SCHEDULED
            heapq.heappush(self._times, (begins.timestamp(), job.n, job))
            if len(self._times) > 2 * len(self.jobs) + SPARE:  # most of them were called off long before their time
                self._times = [entry for entry in self._times if entry[2].state == SCHEDULED and entry[2] in self]
                heapq.heapify(self._times)
        job.state, job.seq, job.last_at = intern(state), step.seq, written_at(step)
        job.attempt = event.attempt or job.attempt
        if event.running:
            job.started_at = job.last_at
        job.text = shortened(event.payload) if event.ended or state == "job_retrying" else ""
        if step.instance is not None:
            job.instance = intern(step.instance)

    def _leave_views(self, job: IndexedJob) -> None:
        for viewer in self.viewers:
            viewer.discard(job)

    def _enter_views(self, job: IndexedJob) -> None:
        self.version += 1
        job.version = self.version
        for viewer in self.viewers:
            viewer.add(job)

    def _drop_oldest(self) -> None:
        self.cut = True
        excess = len(self.jobs) - self._most
        gone = list(islice((job for job in self.jobs if job.ended), excess))
        if len(gone) < excess:
            gone += islice((job for job in self.jobs if not job.ended), excess - len(gone))
        self._remove(gone)

    def _remove(self, gone: list[IndexedJob]) -> None:
        if not gone:
            return
        for viewer in self.viewers:
            viewer.drop(gone)
        for job in gone:
            del self._by_key[job.client_id, job.job_id]
            self.types[job.task_type] -= 1
            if not self.types[job.task_type]:
                del self.types[job.task_type]
        numbers = {job.n for job in gone}
        self.jobs[:] = [job for job in self.jobs if job.n not in numbers]
        self.version += 1


def written_at(step: Step) -> str:
    """When a step was stored first: RFC 3339, in UTC."""
    return (step.carried and step.event.at) or step.stored.at or ""


def shortened(value: object) -> str:
    """The beginning of a JSON value, as people read it."""
    text = value if isinstance(value, str) else as_text(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
