"""The enqueueing side of bare Celery: `send_task` in a loop, as its documentation has it."""

from __future__ import annotations

import os
import secrets
import socket
import time

from benchmarks.bare_celery import TASK
from benchmarks.figure import Invalid
from benchmarks.submitters import DEADLINE
from bus import Settings
from workers.config import create_celery

CLIENT_ID = "q3kJ0vYzS7mXo2Hn4tB1Lw"


class Enqueuer:
    """One process that enqueues, and hears from each task by a datagram that it was executed.

    Args:
        redis_url: of bare Celery's database.
        executed: path of the Unix socket that the tasks write to.
    """

    def __init__(self, redis_url: str, executed: str) -> None:
        self._celery = create_celery(Settings.load(redis_url=redis_url))
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.settimeout(DEADLINE)
        self._heard.bind(executed)
        self._path = executed

    def __enter__(self) -> Enqueuer:
        """Connect, by one task."""
        self.enqueue()
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._heard.close()
        os.unlink(self._path)
        self._celery.close()

    def enqueue(self) -> None:
        """Enqueue one task with the arguments that a task of ours has."""
        job_id = secrets.token_hex(8)
        self._celery.send_task(TASK, args=(CLIENT_ID, job_id), task_id=job_id)

    def wait(self) -> None:
        """Wait until one more task was executed."""
        self._heard.recv(64)


def at_once(redis_url: str, executed: str, jobs: int) -> tuple[float, float]:
    """Enqueue all tasks at once. A child process counts, so that enqueueing does not wait for it.

    Returns:
        Wall seconds and CPU seconds of both from the first enqueued to the last executed.
    """
    with Enqueuer(redis_url, executed) as enqueuer:
        begun, cpu = time.monotonic(), time.process_time()
        counter = os.fork()
        if counter == 0:
            for _ in range(jobs):
                enqueuer.wait()
            os._exit(0)
        for _ in range(jobs):
            enqueuer.enqueue()
        _, status, used = os.wait4(counter, 0)
        if status:
            raise Invalid(f"bare Celery did not execute {jobs} tasks within {DEADLINE:g} s")
        return time.monotonic() - begun, time.process_time() - cpu + used.ru_utime + used.ru_stime


def one_by_one(redis_url: str, executed: str, jobs: int) -> list[float]:
    """Enqueue one task after the other. Returns the seconds from each enqueued to executed."""
    seconds = []
    with Enqueuer(redis_url, executed) as enqueuer:
        for _ in range(jobs):
            begun = time.perf_counter()
            enqueuer.enqueue()
            enqueuer.wait()
            seconds.append(time.perf_counter() - begun)
    return seconds
