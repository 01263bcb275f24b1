"""`workers.testing.run`: what becomes of a job, without any server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from workers.registry import JobContext, job
from workers.testing import Run, run


@job
def plain(content: str, job: JobContext) -> str:
    job.progress(0.5, "half")
    return content.upper()


@job
def writer(content: str, job: JobContext) -> None:
    job.write("a ")
    job.write(content)


@job
def generator(content: str, job: JobContext) -> Iterator[str]:
    yield "a "
    yield content


@job
async def coroutine(content: str, job: JobContext) -> str:
    await asyncio.sleep(0)
    job.write("a ")
    return content


@job
async def async_generator(content: str, job: JobContext) -> AsyncIterator[str]:
    yield "a "
    await asyncio.sleep(0)
    yield content


@job(every="1d")
def of_a_day(content: str, job: JobContext) -> str:
    return f"{job.slot:%Y-%m-%d}" if job.slot is not None else "whenever"


def test_a_job_is_given_the_slot_of_its_schedule() -> None:
    assert run(of_a_day, "", slot=datetime(2026, 12, 1, tzinfo=UTC)).result == "2026-12-01"
    assert run(of_a_day, "").result == "whenever"


def test_a_plain_job_gives_its_result_and_its_progress() -> None:
    assert run(plain, "hi") == Run(result="HI", progress=[(0.5, "half")], attempts=1)


@pytest.mark.parametrize("job", [writer, generator, coroutine, async_generator])
def test_a_job_of_any_kind_gives_its_pieces(job: Any) -> None:
    assert run(job, "b") == Run(result="a b", output=["a ", "b"], attempts=1)


async def test_it_can_be_called_in_an_async_test_too() -> None:
    for kind in (plain, generator, coroutine):
        assert run(kind, "b").failure is None


def test_attempts_are_counted_and_the_last_failure_is_told() -> None:
    @job(max_attempts=3, backoff=60, retry_on=(ConnectionError,))
    def flaky(content: str, job: JobContext) -> Iterator[str]:
        yield f"attempt {job.attempt}"
        if job.attempt <= int(content):
            raise ConnectionError("not yet")

    done = run(flaky, "1")
    [again] = done.retries
    assert (again.reason, 45 <= again.pause <= 75) == ("ConnectionError: not yet", True)
    assert done == Run(result="attempt 2", output=["attempt 2"], attempts=2, retries=[again])
    failed = run(flaky, "9")
    assert (failed.attempts, failed.result, failed.failure) == (3, None, "ConnectionError: not yet")
    assert isinstance(failed.error, ConnectionError)


def test_it_fails_as_it_would_in_a_worker() -> None:
    @job
    def gives(content: str, job: JobContext) -> Any:
        yield from {"bytes": [b"x"], "much": ["x" * 100] * 3}[content]

    assert run(gives, "bytes").failure == "gives yielded bytes, not text"
    assert run(gives, "much", max_bytes=200).failure == "the result has more than 200 bytes, the most that are allowed"
    assert run(gives, "unknown").failure == "KeyError: 'unknown'"


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_job_is_cancelled_after_so_many_pieces(kind: str) -> None:
    closed: list[str] = []

    @job
    def endless(content: str, job: JobContext) -> Iterator[str]:
        try:
            while True:
                yield "."
        finally:
            closed.append("plain")

    @job
    async def endless_async(content: str, job: JobContext) -> AsyncIterator[str]:
        try:
            while True:
                yield "."
                await asyncio.sleep(0)
        finally:
            closed.append("async")

    done = run(endless if kind == "plain" else endless_async, "", cancel_after=3)
    assert (done.cancelled, done.result, done.failure, done.output) == (True, None, None, [".", ".", "."])
    assert closed == [kind]


def test_ctrl_c_in_a_job_ends_the_test() -> None:
    @job
    def interrupted(content: str, job: JobContext) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, "")
