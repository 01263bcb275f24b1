"""The loop of the async jobs, and the event that cancels them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from testbed.servers import wait_until
from workers.cancelled import Cancelled
from workers.interrupt import Interrupted
from workers.job_loop import JobLoop


@pytest.fixture
def loop() -> Iterator[JobLoop]:
    loop = JobLoop()
    yield loop
    loop.close()


def test_it_is_begun_at_its_first_use_and_closing_it_ends_its_thread() -> None:
    before = set(threading.enumerate())
    loop = JobLoop()
    loop.close()
    assert not set(threading.enumerate()) - before

    async def leaves_something() -> str:
        asyncio.get_running_loop().create_task(asyncio.sleep(100))
        return "done"

    assert loop.run(leaves_something(), Cancelled()) == "done"
    loop.close()
    assert not set(threading.enumerate()) - before


def test_a_coroutine_is_cancelled_once_however_often_it_is_told(loop: JobLoop) -> None:
    cancelled = Cancelled()
    told: list[str] = []

    async def work() -> None:
        try:
            cancelled.set()
            await asyncio.sleep(100)
        finally:
            cancelled.set()
            await asyncio.sleep(0.01)
            told.append("cleaned up")

    with pytest.raises(asyncio.CancelledError):
        loop.run(work(), cancelled)
    assert told == ["cleaned up"]


def test_it_is_cancelled_before_it_begins_too(loop: JobLoop) -> None:
    cancelled = Cancelled()
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        loop.run(asyncio.sleep(100), cancelled)


def test_it_sees_the_context_of_the_thread_that_waits(loop: JobLoop) -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("seen")

    async def look() -> str:
        return variable.get()

    assert loop.run(look(), Cancelled()) == "seen"


def test_what_a_task_that_was_left_behind_raises_does_not_end_the_loop(loop: JobLoop) -> None:
    async def exits() -> None:
        raise SystemExit(3)

    async def leave() -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(exits())

    task = loop.run(leave(), Cancelled())
    wait_until(lambda: task.done(), "end of the task")  # type: ignore[attr-defined]
    assert loop.run(asyncio.sleep(0, "goes on"), Cancelled()) == "goes on"
    assert isinstance(task.exception(), SystemExit)  # type: ignore[attr-defined]


def test_a_job_that_stops_the_loop_stops_nothing(loop: JobLoop) -> None:
    async def stop() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        return "went on"

    assert loop.run(stop(), Cancelled()) == "went on"
    assert loop.run(asyncio.sleep(0, "goes on"), Cancelled()) == "goes on"


@pytest.mark.parametrize("handed_over", [True, False])
def test_what_a_signal_raises_while_work_is_handed_over_leaves_no_work_behind(
    loop: JobLoop, monkeypatch: pytest.MonkeyPatch, handed_over: bool
) -> None:
    hand_over = loop.begun().call_soon_threadsafe

    def interrupted(*call: Any) -> None:
        monkeypatch.undo()
        if handed_over:
            hand_over(*call)
        raise Interrupted

    async def left() -> set[Any]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    monkeypatch.setattr(loop.begun(), "call_soon_threadsafe", interrupted)
    with pytest.raises(Interrupted):
        loop.run(asyncio.sleep(100), Cancelled())
    assert loop.run(left(), Cancelled()) == set()


def test_whoever_cannot_be_told_of_a_cancel_keeps_nobody_else_from_it() -> None:
    cancelled, told = Cancelled(), list[str]()

    def breaks() -> None:
        raise RuntimeError("Event loop is closed")

    with cancelled.calling(breaks), cancelled.calling(lambda: told.append("told")):
        cancelled.set()
    assert told == ["told"]


async def test_a_coroutine_can_wait_for_a_cancel() -> None:
    cancelled = Cancelled()
    waiting = asyncio.create_task(asyncio.wait_for(cancelled, 20))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(cancelled.set)
    await waiting
    await cancelled  # it is set already
    assert cancelled.is_set()
    assert cancelled.wait(0)
