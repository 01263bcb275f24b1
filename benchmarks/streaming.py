"""Streamed output, from a job's `yield` to a `bus.v1` client: how soon, at what cost, and how many."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from benchmarks import stream_readers
from benchmarks.contestants import ROOT
from benchmarks.figure import Figure, Invalid, Target
from benchmarks.processes import cpu_seconds, end, tree, wait_quiet
from benchmarks.stream_readers import DEADLINE, Read
from benchmarks.streaming_jobs import WORD
from testbed.system import System

TITLE = "Streamed output: from yield to a bus.v1 WebSocket"

FIRSTS = 100
BEFORE_FIRST = "0.05"
"""Seconds that a job runs before it writes, so that what its beginning costs is over."""
JOBS = 100
RATE = 50
SECONDS = 10
PIECES = 100_000

OURS = "busctl"
FIRST_P50 = "first piece on a WebSocket after yield, p50"
FIRST_P99 = "first piece on a WebSocket after yield, p99"
CPU = f"jobs that write {RATE} pieces a second each, CPU"
EVENTS = f"jobs that write {RATE} pieces a second each, pieces in one event"
LATE = f"jobs that write {RATE} pieces a second each, the last has ended late by"
TOOK = "a text of so many pieces, submit to result"
TINY, WHOLE, BEYOND = "written piece by piece", "returned at once", "beyond 1.5 × returned at once"

JOINED = 50.0
"""Milliseconds: what `BUS_OUTPUT_INTERVAL` is by default."""

TARGETS = (
    Target("first piece, at most 10 ms plus the joining interval", FIRST_P50, OURS, 1, 10 + JOINED),
    Target("CPU of a piece in all server processes, at most 0.3 ms", CPU, OURS, JOBS, 0.3),
    Target("100,000 pieces, at most 1.5 × one text and 2 s", TOOK, BEYOND, PIECES, 2.0),
)

T = TypeVar("T")


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure each of them, in turns.

    Raises:
        Invalid: a piece was missing, doubled or out of order, or a job did not end with its result in time.
    """
    values: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    with TemporaryDirectory() as directory, _streams(Path(directory)) as streams:
        streams.ours(stream_readers.at_once, "paced", f"10 {RATE}", JOBS)  # every process connects to what it needs
        for _ in range(rounds):
            took = [1000 * one for one in streams.first(FIRSTS // 8 if quick else FIRSTS)]
            values[FIRST_P50, OURS, 1, "ms"].append(median(took))
            values[FIRST_P99, OURS, 1, "ms"].append(quantiles(took, n=100)[98])
            seconds = SECONDS // 5 if quick else SECONDS
            found, cpu, wall = streams.paced(seconds)
            pieces = JOBS * RATE * seconds
            values[CPU, OURS, JOBS, "ms a piece"].append(1000 * sum(cpu.values()) / pieces)
            for process, used in cpu.items():
                values[CPU, f"{OURS}: {process}", JOBS, "ms a piece"].append(1000 * used / pieces)
            values[EVENTS, OURS, JOBS, "pieces"].append(pieces / sum(one.events for one in found))
            values[LATE, OURS, JOBS, "s"].append(wall - seconds)
            tiny, whole = (streams.text(task_type) for task_type in ("tiny", "whole"))
            for who, value in ((TINY, tiny), (WHOLE, whole), (BEYOND, tiny - 1.5 * whole)):
                values[TOOK, who, PIECES, "s"].append(value)
    return [Figure(what, who, load, unit, tuple(found)) for (what, who, load, unit), found in values.items()]


class Streams:
    """A running system whose jobs write, and a process that reads.

    Args:
        port: of its web process.
        pids: its processes, by what they are.
        driver: runs the clients.
    """

    def __init__(self, port: int, pids: dict[str, list[int]], driver: ProcessPoolExecutor) -> None:
        self._port = port
        self._pids = pids
        self._driver = driver

    def ours(self, drive: Callable[..., T], *arguments: Any) -> T:
        """What the driver finds."""
        return self._driver.submit(drive, self._port, *arguments).result(2 * DEADLINE)

    def first(self, jobs: int) -> list[float]:
        """Seconds from each job's first `yield` until a client has the piece."""
        found: list[Read] = self.ours(stream_readers.one_by_one, "first", BEFORE_FIRST, jobs)
        return [one.first_at - float(one.result) for one in found]

    def paced(self, seconds: int) -> tuple[list[Read], dict[str, float], float]:
        """What came of jobs that write together for so long; CPU seconds by process; and the longest job's seconds."""
        for pids in self._pids.values():
            wait_quiet(pids)
        before = {name: cpu_seconds(pids) for name, pids in self._pids.items()}
        words = RATE * seconds
        found, _ = self.ours(stream_readers.at_once, "paced", f"{words} {RATE}", JOBS)
        used = {name: cpu_seconds(pids) - before[name] for name, pids in self._pids.items()}
        if any(one.result != WORD * words for one in found):
            raise Invalid("a job's result is not what it wrote")
        return found, used, max(one.took for one in found)

    def text(self, task_type: str) -> float:
        """Seconds of a job that answers with all the pieces."""
        [one] = self.ours(stream_readers.one_by_one, task_type, str(PIECES), 1)
        return one.took


@contextmanager
def _streams(directory: Path) -> Iterator[Streams]:
    path = os.pathsep.join([str(_entry_point(directory)), str(ROOT)])
    system = System(directory, PYTHONPATH=path)
    driver = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    try:
        system.start()
        worker = system.worker("--pool", "threads", "--concurrency", str(JOBS))
        web = system.web()
        time.sleep(1.0)
        yield Streams(
            web.port,
            {
                "web": tree(web.pid),
                "worker, with the jobs": tree(worker.pid),
                "nats-server": [system.nats.pid],
                "valkey": [system.valkey.pid],
            },
            driver,
        )
    finally:
        driver.shutdown(cancel_futures=True)
        end(system)


def _entry_point(directory: Path) -> Path:
    info = directory / "streaming-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: streaming\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\nstreaming = benchmarks.streaming_jobs\n")
    return directory
