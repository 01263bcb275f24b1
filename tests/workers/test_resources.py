"""Resources: opened once for a process, shared by its jobs, closed in the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar

import pytest

from workers.cancelled import Cancelled
from workers.errors import UnusableResource
from workers.job_loop import JobLoop
from workers.registry import JobContext, job
from workers.resources import Resources
from workers.testing import run


class Pool:
    """Notes how it is used. As a factory of context managers it is its own, as `httpx.Client` is."""

    log: ClassVar[list[str]] = []

    def __enter__(self) -> Pool:
        self.log.append("opened")
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append("closed")


@asynccontextmanager
async def async_pool() -> AsyncIterator[asyncio.AbstractEventLoop]:
    Pool.log.append("opened async")
    try:
        yield asyncio.get_running_loop()
    finally:
        await asyncio.sleep(0)
        Pool.log.append("closed async")


@pytest.fixture
def log() -> Iterator[list[str]]:
    Pool.log.clear()
    yield Pool.log
    Pool.log.clear()


@pytest.fixture
def loop() -> Iterator[JobLoop]:
    loop = JobLoop()
    yield loop
    loop.close()


@pytest.fixture
def resources(loop: JobLoop) -> Iterator[Resources]:
    resources = Resources(loop)
    yield resources
    resources.close()


def test_a_job_gets_the_same_each_time_and_it_is_closed_in_the_end(log: list[str]) -> None:
    @job
    def twice(content: str, job: JobContext) -> str:
        return str(job.resource(Pool) is job.resource(Pool))

    assert run(twice, "").result == "True"
    assert log == ["opened", "closed"]


def test_an_async_one_is_opened_used_and_closed_on_the_loop_of_the_jobs(log: list[str]) -> None:
    @job
    async def twice(content: str, job: JobContext) -> str:
        found = await asyncio.gather(job.resource(async_pool), job.resource(async_pool))
        return str(found == [asyncio.get_running_loop()] * 2)

    assert run(twice, "").result == "True"
    assert log == ["opened async", "closed async"]


def test_threads_that_ask_at_once_get_one(resources: Resources, log: list[str]) -> None:
    found: list[Pool] = []
    threads = [threading.Thread(target=lambda: found.append(resources.get(Pool))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert log == ["opened"]


def test_what_was_opened_last_is_closed_first(loop: JobLoop) -> None:
    resources, log = Resources(loop), []

    def noting(name: str) -> Callable[[], Any]:
        @contextmanager
        def resource() -> Iterator[None]:
            yield
            log.append(name)

        return resource

    for name in ("first", "second"):
        resources.get(noting(name))
    resources.close()
    assert log == ["second", "first"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_one_that_cannot_be_opened_fails_the_job_and_is_tried_again(kind: str) -> None:
    tries: list[int] = []

    @contextmanager
    def broken() -> Iterator[str]:
        tries.append(len(tries))
        if len(tries) < 3:
            raise ConnectionError("no database")
        yield "a pool"

    @asynccontextmanager
    async def broken_async() -> AsyncIterator[str]:
        with broken() as value:
            yield value

    @job(retry_on=(ConnectionError,))
    def plain(content: str, job: JobContext) -> str:
        return job.resource(broken)

    @job(retry_on=(ConnectionError,))
    async def coroutine(content: str, job: JobContext) -> str:
        return await job.resource(broken_async)

    done = run(plain if kind == "plain" else coroutine, "")
    assert (done.result, done.attempts) == ("a pool", 3)


def test_a_job_that_is_cancelled_while_it_waits_leaves_the_resource_whole(resources: Resources, loop: JobLoop) -> None:
    opening, go_on = threading.Event(), asyncio.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[str]:
        opening.set()
        await go_on.wait()
        yield "a pool"

    async def ask() -> Any:
        return await resources.get(slow)

    cancelled = Cancelled()
    thread = threading.Thread(target=lambda: (opening.wait(20), cancelled.set()))
    thread.start()
    with pytest.raises(asyncio.CancelledError):
        loop.run(ask(), cancelled)
    thread.join(20)
    loop.begun().call_soon_threadsafe(go_on.set)
    assert loop.run(ask(), Cancelled()) == "a pool"


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (async_pool, "async_pool is an async context manager: ask for it in an async job"),
        (lambda: 7, "makes int, which is no context manager"),
        (lambda: (x for x in ()), "put @contextmanager or @asynccontextmanager before a function that yields once"),
    ],
)
def test_what_cannot_be_used_is_said(resources: Resources, factory: Callable[[], Any], reason: str) -> None:
    with pytest.raises(UnusableResource, match=reason):
        resources.get(factory)


def test_one_whose_opening_is_cancelled_fails_the_job_with_the_reason(resources: Resources, loop: JobLoop) -> None:
    @asynccontextmanager
    async def cancelled() -> AsyncIterator[None]:
        raise asyncio.CancelledError
        yield

    async def ask() -> Any:
        return await resources.get(cancelled)

    for _ in range(2):
        with pytest.raises(UnusableResource, match="cancelled: CancelledError"):
            loop.run(asyncio.wait_for(ask(), 20), Cancelled())


def test_one_that_has_ended_is_opened_anew(resources: Resources, loop: JobLoop) -> None:
    opened: list[asyncio.Event] = []
    closed = threading.Event()

    @asynccontextmanager
    async def listener() -> AsyncIterator[int]:
        loses = asyncio.Event()

        async def listen() -> None:
            await loses.wait()
            raise ConnectionError("the server went away")

        opened.append(loses)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listen())
                yield len(opened)
        finally:
            closed.set()

    async def ask() -> Any:
        return await resources.get(listener)

    assert [loop.run(ask(), Cancelled()) for _ in range(2)] == [1, 1]
    loop.begun().call_soon_threadsafe(opened[0].set)
    assert closed.wait(20)
    assert loop.run(ask(), Cancelled()) == 2
    loop.begun().call_soon_threadsafe(opened[1].set)


def test_on_a_loop_of_ones_own_an_async_one_is_refused_whoever_has_opened_it(
    resources: Resources, loop: JobLoop
) -> None:
    async def ask() -> Any:
        return await resources.get(async_pool)

    for _ in range(2):
        with pytest.raises(UnusableResource, match="in an async job, not on a loop of your own"):
            asyncio.run(ask())
        assert loop.run(ask(), Cancelled()) is loop.begun()


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), SystemExit(3)])
def test_what_closing_raises_keeps_nothing_else_open(loop: JobLoop, log: list[str], error: BaseException) -> None:
    resources = Resources(loop)

    @contextmanager
    def breaks() -> Iterator[None]:
        yield
        raise error

    resources.get(Pool)
    resources.get(breaks)
    resources.close()
    assert log == ["opened", "closed"]
