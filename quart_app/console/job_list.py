"""JobList: the part of the list of jobs that one operator looks at, told again as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from bus.messages.from_operators import JobFilter, ListJobsPayload
from bus.messages.to_operators import JobRow, JobsPage, JobsPagePayload
from quart_app.console.index_reader import IndexReader
from quart_app.console.job_index import IndexedJob, JobIndex
from quart_app.console.job_view import JobView

TELL_EVERY = 0.3
"""Seconds between two pages."""
MOST_TOLD = 5000
"""Jobs of which it is known that the page has them as they are; when there are more, they are told once more."""


class JobList:
    """What one connection is told of the list.

    Args:
        reader: reads the jobs.
    """

    def __init__(self, reader: IndexReader) -> None:
        self._reader = reader
        self._asked = ListJobsPayload()
        self._index = reader.index
        self._view: JobView | None = None
        self._told: dict[int, int] = {}
        """By number, the version of each job as it was told."""
        self._page: JobsPagePayload | None = None
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()
        """Held by whoever looks: the operator asks, and it is looked again, at any time."""

    async def show(self, asked: ListJobsPayload) -> JobsPage:
        """Look at another part from now on."""
        async with self._turn:
            if self._view is None or asked.filter != self._asked.filter or self._index is not self._reader.index:
                await self._look(asked.filter)
            if asked.again:
                self._told.clear()
            self._asked = asked
            self._page = self._look_again()
            return JobsPage(payload=self._page)

    async def run(self, tell: Callable[[JobsPage], None], drained: Callable[[], Awaitable[None]]) -> None:
        """Tell what has changed, until it is cancelled.

        Args:
            tell: sends a page.
            drained: waits until the other end has taken what it was told before.
        """
        seen: tuple[JobIndex, int, float] | None = None
        while True:
            await asyncio.sleep(TELL_EVERY)
            await drained()
            now = self._reader.index, self._reader.index.version, self._reader.share
            if now == seen or self._page is None:
                continue
            seen = now
            async with self._turn:
                if self._index is not self._reader.index:
                    await self._look(self._asked.filter)
                page = self._look_again()
                if page.rows or page != self._page.model_copy(update={"rows": []}):
                    self._page = page
                    tell(JobsPage(payload=page))

    async def close(self) -> None:
        """Look no more."""
        if self._view is not None:
            self._index.viewers.discard(self._view)
        await self._stack.aclose()

    async def _look(self, asked: JobFilter) -> None:
        if self._view is None:
            await self._stack.enter_async_context(self._reader.looking())
        else:
            self._index.viewers.discard(self._view)
        if self._index is not self._reader.index:
            self._index = self._reader.index
            self._told.clear()  # whose numbers and versions were those of the other
        self._view = view = JobView(asked)
        await view.fill(self._index)

    def _look_again(self) -> JobsPagePayload:
        view, index, asked = self._view, self._index, self._asked
        if view is None:
            raise RuntimeError("nothing is looked at yet")
        jobs = view.page(until=asked.until, offset=asked.offset, limit=asked.limit)
        new = [job for job in jobs if self._told.get(job.n) != job.version]
        if len(self._told) > MOST_TOLD:
            self._told, new = {}, jobs
        self._told.update((job.n, job.version) for job in new)
        return JobsPagePayload(
            total=len(view.jobs),
            newer=view.newer_than(asked.until),
            offset=asked.offset,
            until=asked.until,
            order=[job.n for job in jobs],
            rows=[row_of(job) for job in new],
            counts={state: number for state, number in view.counts.items() if number},
            types=sorted(index.types),
            indexed=round(self._reader.share, 3),
            cut=index.cut,
        )


def row_of(job: IndexedJob) -> JobRow:
    """A job as the list tells of it."""
    return JobRow.model_construct(**{name: getattr(job, name) for name in JobRow.model_fields})
