"""Signals to the child of a worker: its job fails with the reason or runs again, and a finished result is kept.

And SIGHUP to the worker itself.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.servers import BIN, Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of, children, signal_children


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("signals")
    settings = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_VISIBILITY_TIMEOUT": "5"}
    with running(directory, **settings, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture(scope="module")
def worker(servers: System) -> Worker:
    """A worker with one child. All tests have it, for it outlives its children."""
    return servers.worker("--concurrency", "1")


@pytest.fixture
def bench(servers: System, worker: Worker) -> Iterator[Bench]:
    with bench_of(servers) as bench:
        yield bench


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


def test_a_signal_of_a_soft_time_limit_from_anybody_fails_the_job(bench: Bench, worker: Worker, release: Path) -> None:
    job = bench.submit("streams", str(release))
    bench.writes(job)  # so its function runs: before that the signal means nothing
    signal_children(worker, signal.SIGUSR1)
    assert bench.end(job, 5) == "❌ Job failed: it was stopped by SIGUSR1, the signal of Celery's soft time limit"
    assert bench.end(bench.submit()) == "✅ Processed: X"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGKILL])
def test_a_job_whose_child_is_ended_runs_again(
    bench: Bench, worker: Worker, release: Path, number: signal.Signals
) -> None:
    job = bench.submit("holds", str(release))
    bench.started(job)
    signal_children(worker, number)
    bench.second_attempt(job, 10)
    release.touch()
    assert bench.end(job) == "held"
    assert bench.life(job) == ["job_queued", "job_started", "job_started", "job_result"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_a_finished_result_is_kept_when_a_signal_reaches_the_child(
    bench: Bench, worker: Worker, release: Path, number: signal.Signals
) -> None:
    job = bench.submit("holds", str(release))
    bench.started(job)
    waits = worker.output().count("waiting for NATS")
    bench.system.nats.kill()
    try:
        release.touch()
        wait_until(lambda: worker.output().count("waiting for NATS") > waits, "result that waits")
        (child,) = children(worker)
        os.kill(child, number)
    finally:
        bench.system.nats.start()
    with bench_of(bench.system) as connected:
        assert connected.end(job) == "held"
        assert connected.life(job) == ["job_queued", "job_started", "job_result"]


class Nohup(Worker):
    """`busctl worker` as it is started to outlive its terminal."""

    def command(self) -> list[str]:
        return ["nohup", str(BIN / "busctl"), "worker", *self.arguments]


def test_sighup_ends_a_worker_as_sigterm_does_unless_it_was_told_to_ignore_it(tmp_path: Path, release: Path) -> None:
    with running(tmp_path, PYTHONPATH=own_jobs.install(tmp_path)) as system, bench_of(system) as bench:
        nohup = Nohup(tmp_path, system.env, "--concurrency", "1")
        system.servers.append(nohup)
        nohup.start()
        job = bench.submit("holds", str(release))
        bench.started(job)
        os.killpg(nohup.pid, signal.SIGHUP)
        release.touch()
        assert bench.end(job) == "held"
        assert bench.life(job) == ["job_queued", "job_started", "job_result"]
        assert nohup.stop() == 0

        release.unlink()
        worker = system.worker("--concurrency", "1")
        job = bench.submit("holds", str(release))
        bench.started(job)
        os.kill(worker.pid, signal.SIGHUP)
        wait_until(lambda: worker.said("Warm shutdown"), "end that begins")
        release.touch()
        assert bench.end(job) == "held"
        assert worker.process is not None
        assert worker.process.wait(30) == 0
