"""What an operator does to tasks by Celery's own means: each job gets one end, soon, and nothing goes round."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.job_log import JobState
from testbed.servers import BIN, Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of, listening_worker

QUICK = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_VISIBILITY_TIMEOUT": "5"}
CANCELLED = "🚫 Job cancelled by an operator"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("revoke")
    with running(directory, **QUICK, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture(scope="module")
def worker(servers: System) -> Worker:
    """A worker with one child. All tests have it, for it outlives what they do."""
    return listening_worker(servers)


@pytest.fixture
def bench(servers: System, worker: Worker) -> Iterator[Bench]:
    with bench_of(servers) as bench:
        yield bench


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits that `begin` began."""
    return tmp_path / "release"


def begin(bench: Bench, release: Path) -> JobState:
    """The job that the worker runs until it is released."""
    job = bench.submit("holds", str(release))
    bench.started(job)
    return job


def says(worker: Worker, job: JobState, words: str) -> bool:
    """Whether a worker has logged these words about a job."""
    return any(words in line and job.job_id in line for line in worker.output().splitlines())


def celery(bench: Bench, *arguments: str) -> None:
    """As an operator does it."""
    command = [str(BIN / "celery"), "-A", "workers", *arguments]
    subprocess.run(command, env=bench.system.env | {"PATH": str(BIN)}, check=True, capture_output=True, timeout=60)


def test_a_job_that_waits_is_cancelled_while_another_runs(bench: Bench, release: Path) -> None:
    running = begin(bench, release)
    waiting = bench.submit()
    celery(bench, "control", "revoke", waiting.job_id)
    assert bench.end(waiting, 5) == CANCELLED
    assert not bench.read(running).ended
    release.touch()
    assert bench.end(running) == "held"
    assert bench.life(waiting) == ["job_queued", "job_cancelled"]


@pytest.mark.parametrize("how", ["terminate", "revoke --terminate"])
def test_a_running_job_that_is_terminated_is_cancelled_and_the_next_one_runs(
    bench: Bench, worker: Worker, release: Path, how: str
) -> None:
    job = begin(bench, release)
    if how == "terminate":
        celery(bench, "control", "terminate", "SIGKILL", job.job_id)
    else:
        bench.celery.control.revoke(job.job_id, terminate=True)
    assert bench.end(job, 5) == CANCELLED
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_cancelled"]
    assert not says(worker, job, "enqueueing a job again")


def test_a_running_job_is_left_alone_by_a_mere_revoke(bench: Bench, worker: Worker, release: Path) -> None:
    job = begin(bench, release)
    other = listening_worker(bench.system)
    bench.celery.control.revoke(job.job_id, reply=True, timeout=10, limit=2)
    bench.enqueue(job)  # as after the visibility timeout: this one is discarded
    wait_until(lambda: says(worker, job, "was revoked") or says(other, job, "was revoked"), "discarded task")
    release.touch()
    assert bench.end(job) == "held"
    assert bench.life(job) == ["job_queued", "job_started", "job_result"]


def test_a_job_revoked_before_it_is_queued_is_cancelled_by_whichever_worker_takes_it(bench: Bench) -> None:
    listening_worker(bench.system)
    bench.celery.control.revoke("revoked-early", reply=True, timeout=10, limit=2)
    job = bench.store(job_id="revoked-early")
    bench.enqueue(job)
    assert bench.end(job, 5) == CANCELLED
    assert bench.life(job) == ["job_queued", "job_cancelled"]


def test_a_job_revoked_by_header_is_cancelled(bench: Bench) -> None:
    bench.celery.control.revoke_by_stamped_headers({"batch": ["17"]}, reply=True, timeout=10, limit=1)
    job = bench.store()
    bench.enqueue(job, stamped_headers=["batch"], batch="17")
    assert bench.end(job, 5) == CANCELLED
    assert bench.life(job) == ["job_queued", "job_cancelled"]


def test_purged_tasks_are_enqueued_again(bench: Bench, release: Path) -> None:
    begin(bench, release)
    purged = bench.submit()
    assert bench.celery.control.purge() == 1
    wait_until(lambda: bench.life(purged) == ["job_queued", "job_requeued"], "task that is enqueued again")
    release.touch()
    assert bench.end(purged) == "✅ Processed: X"
    assert bench.life(purged) == ["job_queued", "job_requeued", "job_started", "job_result"]


def test_a_signal_of_the_operators_choice_ends_a_job_once(bench: Bench, release: Path) -> None:
    job = begin(bench, release)
    bench.celery.control.terminate(job.job_id, signal=signal.SIGUSR1.name)
    bench.end(job, 5)
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job)[:2] == ["job_queued", "job_started"]
    assert len(bench.life(job)) == 3
