"""Jobs end to end through the WebSocket, against bare Celery running tasks that do nothing under the same settings.

Both run beside each other on one Valkey, two prefork children each, and are measured in turns. Ours: from the first
`system_message` sent to the last `job_result` received. Bare: from the first task enqueued to the last one executed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, TypeVar

from benchmarks import bare_enqueuer, submitters
from benchmarks.contestants import ROOT
from benchmarks.figure import Figure, Target
from benchmarks.processes import cpu_seconds, tree
from benchmarks.submitters import CONNECTIONS, DEADLINE
from testbed.servers import Worker
from testbed.system import System

TITLE = "Jobs: submitted through the WebSocket, against bare Celery"

SIZES = (125, 500, 2000)
LATENCIES = 300
SETTLE = 1.0
"""Seconds before each measurement, for what the last one leaves to do."""

OURS = "busctl, WebSocket to WebSocket"
BARE = "bare Celery"
AT_ONCE = "jobs at once"
CPU = "jobs at once, CPU"
ONE_BY_ONE_P50 = "one job at a time, p50"
ONE_BY_ONE_P99 = "one job at a time, p99"

TARGETS = (
    Target("2,000 jobs at once, at least 0.7 × bare Celery", AT_ONCE, OURS, SIZES[-1], 0.7, BARE, at_least=True),
    Target("submit to result, idle, at most 2 × bare Celery", ONE_BY_ONE_P50, OURS, 1, 2.0, BARE),
)

T = TypeVar("T")
Pids = dict[str, list[int]]


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure both, in turns.

    Raises:
        Invalid: a job did not end with its result, or not in time.
    """
    values: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    with TemporaryDirectory() as directory, Pair(Path(directory)) as pair:
        pair.warm_up()
        for _ in range(rounds):
            for who, measure in ((BARE, pair.bare_one_by_one), (OURS, pair.ours_one_by_one)):
                milliseconds = [1000 * one for one in measure(LATENCIES)]
                values[ONE_BY_ONE_P50, who, 1, "ms"].append(median(milliseconds))
                values[ONE_BY_ONE_P99, who, 1, "ms"].append(quantiles(milliseconds, n=100)[98])
            for jobs in SIZES[-1:] if quick else SIZES:
                for who, at_once in ((BARE, pair.bare_at_once), (OURS, pair.ours_at_once)):
                    seconds, cpu = at_once(jobs)
                    values[AT_ONCE, who, jobs, "jobs/s"].append(jobs / seconds)
                    values[CPU, who, jobs, "ms a job"].append(1000 * sum(cpu.values()) / jobs)
                    for process, used in cpu.items():
                        values[CPU, f"{who}: {process}", jobs, "ms a job"].append(1000 * used / jobs)
    return [Figure(what, who, load, unit, tuple(found)) for (what, who, load, unit), found in values.items()]


class Pair:
    """Our system and bare Celery, both running."""

    def __init__(self, directory: Path) -> None:
        self._executed = str(directory / "executed")
        path = os.pathsep.join([str(_entry_point(directory)), str(ROOT)])
        self._system = System(directory, PYTHONPATH=path, BENCH_EXECUTED=self._executed)
        self._driver = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Self:
        system = self._system
        try:
            system.start()
            ours = system.worker("--concurrency", "2")
            self._bare_url = system.valkey.url.removesuffix("0") + "1"
            bare = BareWorker(system.directory, system.env | {"REDIS_URL": self._bare_url})
            system.servers.append(bare)
            bare.start()
            self._web = system.web()
        except BaseException:
            system.stop()
            raise
        servers = {"web": tree(self._web.pid), "nats-server": [system.nats.pid], "valkey": [system.valkey.pid]}
        self._ours: Pids = servers | _celery(ours.pid)
        self._bare: Pids = {"valkey": [system.valkey.pid]} | _celery(bare.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.shutdown(cancel_futures=True)
        self._system.stop()

    def warm_up(self) -> None:
        """Let every process connect to what it needs."""
        self.ours_at_once(5 * CONNECTIONS)
        self.bare_at_once(5 * CONNECTIONS)

    def ours_at_once(self, jobs: int) -> tuple[float, dict[str, float]]:
        """Wall seconds, and CPU seconds by process."""
        return self._at_once(self._ours, submitters.at_once, self._web.port, jobs)

    def bare_at_once(self, jobs: int) -> tuple[float, dict[str, float]]:
        """Wall seconds, and CPU seconds by process."""
        return self._at_once(self._bare, bare_enqueuer.at_once, self._bare_url, self._executed, jobs)

    def ours_one_by_one(self, jobs: int) -> list[float]:
        """Seconds of each job."""
        return self._drive(submitters.one_by_one, self._web.port, jobs)

    def bare_one_by_one(self, jobs: int) -> list[float]:
        """Seconds of each task."""
        return self._drive(bare_enqueuer.one_by_one, self._bare_url, self._executed, jobs)

    def _at_once(
        self, pids: Pids, drive: Callable[..., tuple[float, float]], *arguments: object
    ) -> tuple[float, dict[str, float]]:
        time.sleep(SETTLE)
        before = {name: cpu_seconds(group) for name, group in pids.items()}
        wall, driver = self._drive(drive, *arguments)
        used = {name: cpu_seconds(group) - before[name] for name, group in pids.items()}
        return wall, used | {"driver": driver}

    def _drive(self, drive: Callable[..., T], *arguments: Any) -> T:
        return self._driver.submit(drive, *arguments).result(2 * DEADLINE)


class BareWorker(Worker):
    """A Celery worker that knows nothing of this system."""

    name = "bare"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "celery", "-A", "benchmarks.bare_celery", "worker", *self.arguments]


def _celery(main: int) -> Pids:
    _, *children = tree(main)
    return {"celery main": [main], "celery children": children}


def _entry_point(directory: Path) -> Path:
    info = directory / "noop-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\nnoop = benchmarks.noop_job\n")
    return directory
