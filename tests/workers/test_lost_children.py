"""Children of a worker that die or are replaced, and jobs that they forget: each job runs again soon, and once."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.servers import wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of, listens_to_everything, signal_children

SEEMS_DEAD = """
import os
import sys
from workers.registry import job, JobContext

@job
def seems_dead(content: str, job: JobContext) -> str:
    "Close what the worker watches, as the kernel does a moment before it calls a process dead."
    frame = sys._getframe()
    while frame.f_code.co_name != "_launch":
        frame = frame.f_back
    os.close(frame.f_locals["child_w"])
    return "lives"
"""
ENDED = ["job_queued", "job_started", "job_result"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """NATS and Valkey, with the intervals that the system has by default."""
    directory = tmp_path_factory.mktemp("lost-children")
    with running(directory, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture
def bench(servers: System) -> Iterator[Bench]:
    with bench_of(servers) as bench:
        yield bench


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


def test_a_child_whose_job_closes_the_files_of_the_bus_is_replaced(bench: Bench) -> None:
    bench.system.worker("--concurrency", "1")
    job = bench.submit("closes_files")
    assert bench.end(job, 20) == "❌ Job failed: its worker died in attempt 1, the last one allowed"
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_failed"]


def test_the_job_of_a_child_that_was_killed_runs_again_within_five_seconds(bench: Bench, release: Path) -> None:
    worker = bench.system.worker("--concurrency", "1")
    with listens_to_everything(bench.system):
        job = bench.submit("holds", str(release))
        bench.started(job)
        signal_children(worker, signal.SIGKILL)
        bench.second_attempt(job, 5)
        release.touch()
        assert bench.end(job) == "held"
    assert "Task handler raised error: WorkerLostError" in worker.output()
    assert "Traceback" not in worker.output()


def test_the_death_of_a_child_is_noticed_on_a_busy_machine_too(bench: Bench, tmp_path: Path) -> None:
    worker = bench.system.worker("--concurrency", "1")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        for number in range(8):
            release = tmp_path / f"release {number}"
            job = bench.submit("holds", str(release))
            bench.started(job)
            signal_children(worker, signal.SIGKILL)
            bench.second_attempt(job, 3)
            release.touch()
            bench.end(job)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_redis_may_go_in_the_moment_in_which_a_child_dies(tmp_path: Path) -> None:
    with own_jobs.running_with(tmp_path, SEEMS_DEAD) as system, bench_of(system) as bench:
        worker = system.worker("--concurrency", "2")
        assert bench.end(bench.submit("seems_dead")) == "lives"
        system.valkey.kill()
        wait_until(lambda: worker.said("connecting again"), "loss of Redis")
        system.valkey.start()
        assert bench.end(bench.submit()) == "✅ Processed: X"


def test_children_that_are_replaced_take_nothing_with_them(bench: Bench) -> None:
    bench.system.worker("--concurrency", "2", "--max-tasks-per-child", "1")
    jobs = [bench.submit() for _ in range(8)]
    bench.all_ended(*jobs)
    assert all(bench.life(job) == ENDED for job in jobs)


def test_a_job_that_its_worker_forgot_runs_again(bench: Bench, release: Path) -> None:
    bench.system.worker("--concurrency", "1", BUS_RECONCILE_INTERVAL="0.5")
    running = bench.submit("holds", str(release))
    bench.started(running)
    instance = bench.read(running).instance
    forgotten = bench.start(bench.store(), instance)
    bench.started(forgotten)
    release.touch()
    assert bench.end(forgotten) == "✅ Processed: X"
    assert bench.life(forgotten)[2:4] == ["job_retrying", "job_started"]
