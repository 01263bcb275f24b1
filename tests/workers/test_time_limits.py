"""Time limits and shutdowns: a job that is cut off fails with the reason, and a finished result is kept."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.job_log import JobState
from testbed.servers import Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of, children

QUICK = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_VISIBILITY_TIMEOUT": "5"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("limits")
    with running(directory, **QUICK, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture
def bench(servers: System) -> Iterator[Bench]:
    with bench_of(servers) as bench:
        yield bench


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
@pytest.mark.parametrize("limit", ["--soft-time-limit", "--time-limit"])
def test_a_job_over_the_time_limit_of_its_worker_fails_and_the_next_one_runs(
    bench: Bench, release: Path, pool: str, limit: str
) -> None:
    bench.system.worker("--concurrency", "1", "--pool", pool, limit, "1")
    job = bench.submit("holds", str(release))
    assert bench.end(job, 10) == "❌ Job failed: it took longer than 1 s, the time limit of its worker"
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_failed"]


def test_a_child_whose_job_heeds_no_limit_is_replaced(bench: Bench, release: Path) -> None:
    worker = bench.system.worker("--concurrency", "1", "--time-limit", "1")
    before = children(worker)
    job = bench.submit("deaf", str(release))
    assert bench.end(job, 10) == "❌ Job failed: it took longer than 1 s, the time limit of its worker"
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert children(worker) != before
    assert bench.life(job) == ["job_queued", "job_started", "job_failed"]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_job_cannot_end_its_worker(bench: Bench, pool: str) -> None:
    bench.system.worker("--concurrency", "1", "--pool", pool)
    assert bench.end(bench.submit("quits"), 10) == "❌ Job failed: WorkerShutdown: 0"
    assert bench.end(bench.submit()) == "✅ Processed: X"


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Bench]:
    package = own_jobs.install(tmp_path)
    with running(tmp_path, **QUICK, PYTHONPATH=package) as system, contextlib.closing(Bench(system)) as bench:
        yield bench


def finish_without_nats(bench: Bench, release: Path, *arguments: str) -> tuple[Worker, JobState]:
    worker = bench.system.worker("--concurrency", "1", *arguments)
    job = bench.submit("holds", str(release))
    bench.started(job)
    bench.system.nats.kill()
    release.touch()
    wait_until(lambda: "waiting for NATS" in worker.output(), "result that waits")
    return worker, job


def test_a_finished_result_is_kept_when_its_time_is_over_meanwhile(broken: Bench, release: Path) -> None:
    limits = ("--soft-time-limit", "4", "--time-limit", "5")
    worker, job = finish_without_nats(broken, release, *limits)
    wait_until(lambda: worker.output().count("waiting for NATS") >= 5, "wait past the limits")
    comes_after_nats(broken, job)


def test_a_finished_result_is_kept_when_the_worker_shuts_down(broken: Bench, release: Path) -> None:
    worker, job = finish_without_nats(broken, release)
    os.kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in worker.output(), "shutdown")
    comes_after_nats(broken, job)


def test_a_worker_with_threads_that_is_shut_down_cold_ends_with_its_job(bench: Bench, release: Path) -> None:
    worker = bench.system.worker("--concurrency", "1", "--pool", "threads")
    job = bench.submit("holds", str(release))
    bench.started(job)
    os.kill(worker.pid, signal.SIGQUIT)
    wait_until(lambda: "a thread cannot be left" in worker.output(), "cold shutdown")
    release.touch()
    assert bench.end(job) == "held"
    wait_until(lambda: worker.process is not None and worker.process.poll() is not None, "end of the worker")
    assert "Traceback" not in worker.output()


def comes_after_nats(bench: Bench, job: JobState) -> None:
    bench.system.nats.start()
    with contextlib.closing(Bench(bench.system)) as connected:
        assert connected.end(job) == "held"
        assert connected.life(job) == ["job_queued", "job_started", "job_result"]
