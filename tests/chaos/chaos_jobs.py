"""Jobs that misbehave. Installed into the workers and web processes of the chaos suite by an entry point."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator

from workers.outcomes import Retry
from workers.registry import JobContext, job


class TryAgain(Exception):
    """Raised at a first attempt."""


@job
def chaos_slow(content: str, job: JobContext) -> str:
    """Take about two seconds, and say how far it has come."""
    for step in range(20):
        job.progress(step / 20)
        if job.cancelled.wait(0.1):
            break
    return content


@job
def chaos_stream(content: str, job: JobContext) -> Iterator[str]:
    """Take about two seconds, and write the answer meanwhile."""
    for character in content:
        yield character
        job.cancelled.wait(2 / len(content))


@job
async def chaos_stream_async(content: str, job: JobContext) -> AsyncIterator[str]:
    """The same on an event loop."""
    for character in content:
        yield character
        await asyncio.sleep(2 / len(content))


@job
def chaos_stream_again(content: str, job: JobContext) -> Iterator[str]:
    """Write half of the answer, and ask to be tried again; then write all of it."""
    for number, character in enumerate(content):
        if job.attempt == 1 and number == len(content) // 2:
            raise Retry(after=0.3, reason="half of it is enough for now")
        yield character
        job.cancelled.wait(1 / len(content))


@job
def chaos_again(content: str, job: JobContext) -> str:
    """Ask to be tried again at the first attempt, and by then another worker may be gone."""
    if job.attempt == 1:
        raise Retry(after=1.0)
    return content


@job
def chaos_raise(content: str, job: JobContext) -> str:
    """Raise."""
    raise RuntimeError(f"no luck with {content}")


@job(retry_on=(TryAgain,), backoff=0.1)
def chaos_flaky(content: str, job: JobContext) -> str:
    """Raise at the first attempt only."""
    if job.attempt == 1:
        raise TryAgain(content)
    return content


@job(time_limit=0.5)
def chaos_hang(content: str, job: JobContext) -> str:
    """Hang past the time limit without looking at `job.cancelled`."""
    time.sleep(4)
    return content


@job(max_attempts=2)
def chaos_kill(content: str, job: JobContext) -> str:
    """Kill the prefork child that runs it. Under threads that would be the whole worker, which the schedule does."""
    if threading.current_thread() is threading.main_thread():
        os.kill(os.getpid(), signal.SIGKILL)
    return content


@job
def chaos_rubbish(content: str, job: JobContext) -> str:
    """Return no text."""
    return 42  # type: ignore[return-value]


@job(every="2s", queue="ticks")
def chaos_tick(content: str, job: JobContext) -> str:
    """Begin by itself, in a queue of its own: the other one is long."""
    return str(job.slot)


@job
def chaos_large(content: str, job: JobContext) -> str:
    """Return more than a job may."""
    return content * 1_000_000
