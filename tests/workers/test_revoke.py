"""What an operator does to tasks by Celery's own means: each job gets one end, soon, and nothing goes round."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.job_log import JobState
from testbed.servers import BIN, Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench
from workers.config import QUEUE

QUICK = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_VISIBILITY_TIMEOUT": "5"}
CANCELLED = "🚫 Job cancelled by an operator"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("revoke")
    with running(directory, **QUICK, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture
def bench(servers: System) -> Iterator[Bench]:
    before = len(servers.servers)
    with contextlib.closing(Bench(servers)) as bench:
        yield bench
    for worker in servers.servers[before:]:
        worker.stop()
    del servers.servers[before:]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits that `begin` began."""
    return tmp_path / "release"


def listening_worker(bench: Bench, *options: str) -> Worker:
    """One more worker, once it hears what operators say."""
    before = len(bench.celery.control.ping(timeout=1))
    worker = bench.system.worker("--concurrency", "1", "-n", f"worker-{before}@%h", *options)
    wait_until(lambda: len(bench.celery.control.ping(limit=before + 1)) > before, "worker that listens")
    return worker


def begin(bench: Bench, release: Path) -> tuple[Worker, JobState]:
    """A worker with one child, and the job that it runs until it is released."""
    worker = listening_worker(bench)
    job = bench.submit("holds", str(release))
    bench.started(job)
    return worker, job


def celery(bench: Bench, *arguments: str) -> None:
    """As an operator does it."""
    command = [str(BIN / "celery"), "-A", "workers", *arguments]
    subprocess.run(command, env=bench.system.env | {"PATH": str(BIN)}, check=True, capture_output=True, timeout=60)


def test_a_job_that_waits_is_cancelled_while_another_runs(bench: Bench, release: Path) -> None:
    _, running = begin(bench, release)
    waiting = bench.submit()
    celery(bench, "control", "revoke", waiting.job_id)
    assert bench.end(waiting, 5) == CANCELLED
    assert not bench.read(running).ended
    release.touch()
    assert bench.end(running) == "held"
    assert bench.life(waiting) == ["job_queued", "job_cancelled"]


@pytest.mark.parametrize("how", ["terminate", "revoke --terminate"])
def test_a_running_job_that_is_terminated_is_cancelled_and_the_next_one_runs(
    bench: Bench, release: Path, how: str
) -> None:
    worker, job = begin(bench, release)
    if how == "terminate":
        celery(bench, "control", "terminate", "SIGKILL", job.job_id)
    else:
        bench.celery.control.revoke(job.job_id, terminate=True)
    assert bench.end(job, 5) == CANCELLED
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_cancelled"]
    assert "enqueueing a job again" not in worker.output()


def test_a_job_that_is_terminated_under_threads_is_told(bench: Bench, release: Path) -> None:
    listening_worker(bench, "--pool", "threads")
    job = bench.submit("holds", str(release))
    bench.started(job)
    bench.celery.control.terminate(job.job_id, signal="SIGKILL")
    assert bench.end(job, 5) == CANCELLED
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_cancelled"]


def test_a_running_job_is_left_alone_by_a_mere_revoke(bench: Bench, release: Path) -> None:
    worker, job = begin(bench, release)
    other = listening_worker(bench)
    bench.celery.control.revoke(job.job_id, reply=True, timeout=10, limit=2)
    bench.enqueue(job)  # as after the visibility timeout: this one is discarded
    wait_until(lambda: "a task was revoked" in worker.output() + other.output(), "discarded task")
    release.touch()
    assert bench.end(job) == "held"
    assert bench.life(job) == ["job_queued", "job_started", "job_result"]


def test_a_job_revoked_before_it_is_queued_is_cancelled_by_whichever_worker_takes_it(bench: Bench) -> None:
    for _ in range(2):
        listening_worker(bench)
    bench.celery.control.revoke("revoked-early", reply=True, timeout=10, limit=2)
    job = bench.store(job_id="revoked-early")
    bench.enqueue(job)
    assert bench.end(job, 5) == CANCELLED
    assert bench.life(job) == ["job_queued", "job_cancelled"]


def test_a_job_revoked_by_header_is_cancelled(bench: Bench) -> None:
    listening_worker(bench)
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


def test_a_worker_that_is_told_to_shut_down_finishes_its_job(bench: Bench, release: Path) -> None:
    worker, running = begin(bench, release)
    waiting = bench.submit()
    bench.celery.control.shutdown()
    wait_until(lambda: "Got shutdown from remote" in worker.output(), "shutdown")
    release.touch()
    assert bench.end(running) == "held"
    wait_until(lambda: worker.process is not None and worker.process.poll() is not None, "end of the worker")
    bench.system.worker("--concurrency", "1")
    assert bench.end(waiting) == "✅ Processed: X"
    assert bench.life(running) == bench.life(waiting) == ["job_queued", "job_started", "job_result"]


def test_a_worker_that_is_taken_off_its_queue_and_resized_and_limited_loses_nothing(bench: Bench) -> None:
    listening_worker(bench, "--concurrency", "2")
    control, told = bench.celery.control, {"reply": True, "timeout": 10, "limit": 1}
    control.cancel_consumer(QUEUE, **told)
    jobs = [bench.submit() for _ in range(3)]
    control.add_consumer(QUEUE, **told)
    control.rate_limit("jobs.default", "4/s", **told)
    control.pool_shrink(1, **told)
    jobs += [bench.submit() for _ in range(3)]
    control.pool_grow(1, **told)
    bench.all_ended(*jobs)
    assert all(bench.life(job) == ["job_queued", "job_started", "job_result"] for job in jobs)


def test_a_time_limit_that_is_set_while_a_worker_runs_is_kept(bench: Bench, release: Path) -> None:
    listening_worker(bench)
    bench.celery.control.time_limit("jobs.holds", soft=1, hard=20, reply=True, timeout=10, limit=1)
    job = bench.submit("holds", str(release))
    assert bench.end(job, 8) == "❌ Job failed: it took longer than 1 s, the time limit of its worker"


def test_a_signal_of_the_operators_choice_ends_a_job_once(bench: Bench, release: Path) -> None:
    _, job = begin(bench, release)
    bench.celery.control.terminate(job.job_id, signal=signal.SIGUSR1.name)
    bench.end(job, 5)
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job)[:2] == ["job_queued", "job_started"]
    assert len(bench.life(job)) == 3
