"""The submitting side of Celery with results: `send_task`, then `get`, as its documentation has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from celery.exceptions import TimeoutError as NoResult

from benchmarks.celery_results import TASK, with_results
from benchmarks.figure import Invalid
from benchmarks.submitters import DEADLINE
from bus import Settings

CONTENT = "hello"


@contextmanager
def _submitter(redis_url: str) -> Iterator[Celery]:
    """A process that submits and waits, connected by one task."""
    celery = with_results(Settings.load(redis_url=redis_url))
    try:
        celery.send_task(TASK, args=(CONTENT,)).get(timeout=DEADLINE)
        yield celery
    except NoResult as error:
        raise Invalid(f"Celery with results brought one not within {DEADLINE:g} s") from error
    finally:
        celery.close()


def at_once(redis_url: str, jobs: int) -> tuple[float, float]:
    """Submit all tasks at once, then get the result of each.

    Returns:
        Wall seconds and own CPU seconds from the first submitted to the last result.
    """
    with _submitter(redis_url) as celery:
        begun, cpu = time.monotonic(), time.process_time()
        results = [celery.send_task(TASK, args=(CONTENT,)) for _ in range(jobs)]
        for result in results:
            if result.get(timeout=DEADLINE) != CONTENT:
                raise Invalid("a result is not what the task returned")
        return time.monotonic() - begun, time.process_time() - cpu


def one_by_one(redis_url: str, jobs: int) -> list[float]:
    """Submit one task after the other. Returns the seconds from each submitted to its result."""
    seconds = []
    with _submitter(redis_url) as celery:
        for _ in range(jobs):
            begun = time.perf_counter()
            celery.send_task(TASK, args=(CONTENT,)).get(timeout=DEADLINE)
            seconds.append(time.perf_counter() - begun)
    return seconds
