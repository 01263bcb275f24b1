"""JobView: the jobs that fit a filter, in order, as they change."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from bus import times
from bus.messages.from_operators import JobFilter
from quart_app.console.job_index import IndexedJob, JobIndex, number_of

AT_ONCE = 2000
"""Jobs that are looked at before others get a turn of the event loop."""


@dataclass(frozen=True, slots=True)
class Fits:
    """Whether a job fits a filter, but for its state.

    Args:
        task_type, client_id: equal to these; None for any.
        text: in lower case; empty for any.
        since, before: seconds since 1970, for when it was submitted.
    """

    task_type: str | None
    client_id: str | None
    text: str
    since: float
    before: float

    @classmethod
    def of(cls, asked: JobFilter) -> Fits:
        """As an operator asked for it."""
        since, before = (None if time is None else times.read(time).timestamp() for time in (asked.since, asked.before))
        return cls(
            asked.task_type,
            asked.client_id,
            (asked.text or "").strip().lower(),
            float("-inf") if since is None else since,
            float("inf") if before is None else before,
        )

    def __call__(self, job: IndexedJob) -> bool:
        return (
            (self.task_type is None or job.task_type == self.task_type)
            and (self.client_id is None or job.client_id == self.client_id)
            and self.since <= job.queued < self.before
            and (not self.text or self._has_text(job))
        )

    def _has_text(self, job: IndexedJob) -> bool:
        texts = job.content, job.text, job.job_id, job.client_id
        return any(self.text in text.lower() for text in texts)


class JobView:
    """The jobs of an index that fit a filter, the oldest first.

    Args:
        asked: the filter.
    """

    def __init__(self, asked: JobFilter) -> None:
        self._fits = Fits.of(asked)
        self._states = frozenset(asked.states)
        self._looked_at = 0
        """The number of the last job that was looked at for the first time: later ones are, in `fill`."""
        self.jobs: list[IndexedJob] = []
        self.counts: Counter[str] = Counter()
        """By state, the jobs that fit in every other respect."""

    async def fill(self, index: JobIndex) -> None:
        """Look at every job, and from then on follow what changes, until it is taken out of `index.viewers`."""
        index.viewers.add(self)
        while jobs := index.after(self._looked_at, AT_ONCE):
            self._looked_at = jobs[-1].n
            for job in jobs:
                self.add(job)
            await asyncio.sleep(0)
        self._looked_at = 2**63

    def discard(self, job: IndexedJob) -> None:
        """The job is about to change, or to go."""
        if job.n > self._looked_at or not self._fits(job):
            return
        self.counts[job.state] -= 1
        place = bisect_left(self.jobs, job.n, key=number_of)
        if place < len(self.jobs) and self.jobs[place] is job:
            del self.jobs[place]

    def add(self, job: IndexedJob) -> None:
        """The job has changed, or is new."""
        if job.n > self._looked_at or not self._fits(job):
            return
        self.counts[job.state] += 1
        if self._states and job.state not in self._states:
            return
        if not self.jobs or self.jobs[-1].n < job.n:
            self.jobs.append(job)
        else:
            self.jobs.insert(bisect_left(self.jobs, job.n, key=number_of), job)

    def drop(self, gone: Collection[IndexedJob]) -> None:
        """These are no more."""
        numbers = {job.n for job in gone if job.n <= self._looked_at and self._fits(job)}
        self.counts.subtract(job.state for job in gone if job.n in numbers)
        self.jobs[:] = [job for job in self.jobs if job.n not in numbers]

    def newer_than(self, n: int | None) -> int:
        """How many of them have a larger number."""
        return 0 if n is None else len(self.jobs) - bisect_right(self.jobs, n, key=number_of)

    def page(self, *, until: int | None, offset: int, limit: int) -> list[IndexedJob]:
        """Some of them, the newest first.

        Args:
            until: the largest number that may be among them; None for any.
            offset: how many are passed over.
            limit: how many at most.
        """
        end = max(0, len(self.jobs) - self.newer_than(until) - offset)
        return self.jobs[max(0, end - limit) : end][::-1]
