"""What it costs to know all open jobs: `python -m benchmarks.reconciling [jobs] [clients]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bus import Bus, Settings, SyncBus, job_log
from bus.job_log import JobRequest
from testbed.servers import wait_until
from testbed.system import System, running
from workers.config import create_celery
from workers.reconcile import Reconciler
from workers.registry import discover

AT_ONCE = 200
LEADS = "this worker reconciles from now on"
REQUEST = JobRequest(task_type="default", job_type="default", content="a short text")


async def store(bus: Bus, jobs: int, clients: int) -> None:
    """Jobs that wait in the log, evenly of all clients."""
    for first in range(0, jobs, AT_ONCE):
        numbers = range(first, min(jobs, first + AT_ONCE))
        creating = (
            job_log.create(bus.stream, f"client-{n % clients}", REQUEST, job_id=f"job-{n}", waits=True) for n in numbers
        )
        await asyncio.gather(*creating)


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print the wall and CPU seconds of this process in a block."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    print(f"{what}: {time.monotonic() - wall:.2f} s, {time.process_time() - cpu:.2f} s of CPU", flush=True)


def takeover(system: System) -> float:
    """Seconds from the death of the worker that reconciles until another one does."""
    first = system.worker("--concurrency", "1", "-n", "first@%h")
    wait_until(lambda: LEADS in first.output(), "worker that reconciles")
    second = system.worker("--concurrency", "1", "-n", "second@%h")
    first.kill()
    died = time.monotonic()
    wait_until(lambda: LEADS in second.output(), "another worker that reconciles")
    return time.monotonic() - died


def main(jobs: int = 100_000, clients: int = 1000) -> None:
    """Measure it on servers of its own."""
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as system:
        print(f"takeover: {takeover(system):.1f} s")
        for server in system.servers[2:]:
            server.stop()
        settings = Settings.load(nats_url=system.nats.url, redis_url=system.valkey.url, append_timeout=10)
        celery = create_celery(settings)
        with SyncBus(settings) as bus:
            bus.call(lambda bus: store(bus, jobs, clients), timeout=600)
            reconciler = Reconciler(celery, bus, discover(), settings)
            with measured(f"reading {jobs} jobs of {clients} clients that wait in the log"):
                reconciler._read()
            with measured(f"enqueueing {len(reconciler._open.due)} of them, whose turn it is"):
                reconciler._due.enqueue()
            looks: list[tuple[str, Callable[[], int]]] = [
                ("first look, which reads all of Redis", reconciler.look),
                ("another look", reconciler.look),
                ("a look at leases", reconciler.look_at_leases),
            ]
            for what, look in looks:
                with measured(what):
                    assert look() == 0
            bus.call(lambda bus: reconciler._reader.end())
        celery.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
