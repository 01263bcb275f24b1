"""Jobs end to end through the WebSocket, against Celery running tasks that do nothing under the same settings.

All run beside each other on one Valkey, two prefork children each, write no line of log for a job, and are measured in
turns. Ours: from the first `system_message` sent to the last `job_result` received. Celery with results: from the first
task sent to the last result that its submitter got. Bare: from the first task enqueued to the last one executed; nobody
gets a result.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks import bare_enqueuer, result_waiter, submitters
from benchmarks.contestants import ROOT
from benchmarks.figure import Figure, Target
from benchmarks.processes import cpu_seconds, end, tree
from benchmarks.submitters import CONNECTIONS, DEADLINE
from testbed.servers import Worker
from testbed.system import System

TITLE = "Jobs: submitted through the WebSocket, against Celery with and without results"

SIZES = (125, 500, 2000)
CHILDREN = 2
"""Of each worker."""
LATENCIES = 300
SETTLE = 1.0
"""Seconds before each measurement, for what the last one leaves to do."""

OURS = "busctl, WebSocket to WebSocket"
BARE = "bare Celery"
RESULTS = "Celery with results in Redis, waited for"
AT_ONCE = "jobs at once"
CPU = "jobs at once, CPU"
ONE_BY_ONE_P50 = "one job at a time, p50"
ONE_BY_ONE_P99 = "one job at a time, p99"

TARGETS = (
    Target("2,000 jobs at once, at least 0.75 × bare Celery", AT_ONCE, OURS, SIZES[-1], 0.75, BARE, at_least=True),
    Target("submit to result, idle, at most 1.8 × bare Celery", ONE_BY_ONE_P50, OURS, 1, 1.8, BARE),
    Target("2,000 jobs at once, more than Celery with results", AT_ONCE, OURS, SIZES[-1], 1.0, RESULTS, at_least=True),
    Target("submit to result, idle, faster than Celery with results", ONE_BY_ONE_P50, OURS, 1, 1.0, RESULTS),
)

T = TypeVar("T")
Pids = dict[str, list[int]]


@dataclass(frozen=True)
class Contestant:
    """Who runs jobs.

    Args:
        pids: its processes, by what they are.
        at_once: submits so many jobs at once; returns wall seconds, and the CPU seconds of the submitter.
        one_by_one: submits so many, one after the other; returns the seconds of each.
    """

    pids: Pids
    at_once: Callable[[int], tuple[float, float]]
    one_by_one: Callable[[int], list[float]]


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure all, in turns.

    Raises:
        Invalid: a job did not end with its result, or not in time.
    """
    values: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    with TemporaryDirectory() as directory, _contestants(Path(directory)) as contestants, _driver() as driver:
        for contestant in contestants.values():  # every process connects to what it needs
            _at_once(driver, contestant, 5 * CONNECTIONS)
        for _ in range(rounds):
            for who, contestant in contestants.items():
                times = _drive(driver, contestant.one_by_one, LATENCIES // 3 if quick else LATENCIES)
                milliseconds = [1000 * one for one in times]
                values[ONE_BY_ONE_P50, who, 1, "ms"].append(median(milliseconds))
                values[ONE_BY_ONE_P99, who, 1, "ms"].append(quantiles(milliseconds, n=100)[98])
            for jobs in SIZES[1:2] if quick else SIZES:
                for who, contestant in contestants.items():
                    seconds, cpu = _at_once(driver, contestant, jobs)
                    values[AT_ONCE, who, jobs, "jobs/s"].append(jobs / seconds)
                    values[CPU, who, jobs, "ms a job"].append(1000 * sum(cpu.values()) / jobs)
                    for process, used in cpu.items():
                        values[CPU, f"{who}: {process}", jobs, "ms a job"].append(1000 * used / jobs)
    return [Figure(what, who, load, unit, tuple(found)) for (what, who, load, unit), found in values.items()]


@contextmanager
def _contestants(directory: Path) -> Iterator[dict[str, Contestant]]:
    """All of them running, each on a database of its own."""
    executed = str(directory / "executed")
    path = os.pathsep.join([str(_entry_point(directory)), str(ROOT)])
    system = System(directory, PYTHONPATH=path, BENCH_EXECUTED=executed, BUS_LOG_LEVEL="warning")
    try:
        system.start()
        ours, web = QuietWorker("workers", system.directory, system.env), system.web()
        bare_url, results_url = (system.valkey.url.removesuffix("0") + database for database in "12")
        bare, results = (
            QuietWorker(f"benchmarks.{module}", system.directory, system.env | {"REDIS_URL": url})
            for module, url in (("bare_celery", bare_url), ("celery_results", results_url))
        )
        for worker in (ours, bare, results):
            system.servers.append(worker)
            worker.start()
        valkey = {"valkey": [system.valkey.pid]}
        servers = {"web": tree(web.pid), "nats-server": [system.nats.pid]} | valkey
        yield {
            BARE: Contestant(
                valkey | _celery(bare.pid),
                partial(bare_enqueuer.at_once, bare_url, executed),
                partial(bare_enqueuer.one_by_one, bare_url, executed),
            ),
            RESULTS: Contestant(
                valkey | _celery(results.pid),
                partial(result_waiter.at_once, results_url),
                partial(result_waiter.one_by_one, results_url),
            ),
            OURS: Contestant(
                servers | _celery(ours.pid),
                partial(submitters.at_once, web.port),
                partial(submitters.one_by_one, web.port),
            ),
        }
    finally:
        end(system)


@contextmanager
def _driver() -> Iterator[ProcessPoolExecutor]:
    """A process that submits."""
    driver = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    try:
        yield driver
    finally:
        driver.shutdown(cancel_futures=True)


def _drive(driver: ProcessPoolExecutor, drive: Callable[[int], T], jobs: int) -> T:
    return driver.submit(drive, jobs).result(2 * DEADLINE)


def _at_once(driver: ProcessPoolExecutor, contestant: Contestant, jobs: int) -> tuple[float, dict[str, float]]:
    """Wall seconds, and CPU seconds by process."""
    time.sleep(SETTLE)
    before = {name: cpu_seconds(pids) for name, pids in contestant.pids.items()}
    wall, driving = _drive(driver, contestant.at_once, jobs)
    used = {name: cpu_seconds(pids) - before[name] for name, pids in contestant.pids.items()}
    return wall, used | {"driver": driving}


class QuietWorker(Worker):
    """A worker whose log says nowhere that it is ready.

    Args:
        app: the module of its Celery app.
    """

    def __init__(self, app: str, directory: Path, env: dict[str, str]) -> None:
        super().__init__(directory, env, "--concurrency", str(CHILDREN))
        self.name = app.rpartition(".")[2]
        self._app = app

    def command(self) -> list[str]:
        return [sys.executable, "-m", "celery", "-A", self._app, "worker", *self.arguments]

    def ready(self) -> bool:
        return len(tree(self.pid)) == 1 + CHILDREN


def _celery(main: int) -> Pids:
    _, *children = tree(main)
    return {"celery main": [main], "celery children": children}


def _entry_point(directory: Path) -> Path:
    info = directory / "noop-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\nnoop = benchmarks.noop_job\n")
    return directory
