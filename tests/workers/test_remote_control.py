"""What an operator does to whole workers by Celery's remote control: no job is lost, and limits are kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.servers import wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of, listening_worker
from workers.config import QUEUE

QUICK = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_VISIBILITY_TIMEOUT": "5"}
OBEYS = {"BUS_CELERY_REMOTE_CONTROL": "true"}
CANCELLED = "🚫 Job cancelled by an operator"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("control")
    with running(directory, **QUICK, **OBEYS, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture
def bench(servers: System) -> Iterator[Bench]:
    with bench_of(servers) as bench:
        yield bench


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


def test_a_job_that_is_terminated_under_threads_is_told(bench: Bench, release: Path) -> None:
    listening_worker(bench.system, "--pool", "threads")
    job = bench.submit("holds", str(release))
    bench.started(job)
    bench.celery.control.terminate(job.job_id, signal="SIGKILL")
    assert bench.end(job, 5) == CANCELLED
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_cancelled"]


def test_a_worker_that_is_told_to_shut_down_finishes_its_job(bench: Bench, release: Path) -> None:
    worker = listening_worker(bench.system)
    running = bench.submit("holds", str(release))
    bench.started(running)
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
    listening_worker(bench.system, "--concurrency", "2")
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
    listening_worker(bench.system)
    bench.celery.control.time_limit("jobs.holds", soft=1, hard=20, reply=True, timeout=10, limit=1)
    job = bench.submit("holds", str(release))
    assert bench.end(job, 8) == "❌ Job failed: it took longer than 1 s, the time limit of its worker"


def test_by_default_a_worker_refuses_to_be_stopped_or_changed_and_cancels_jobs(bench: Bench, release: Path) -> None:
    worker = listening_worker(bench.system, BUS_CELERY_REMOTE_CONTROL="false")
    job = bench.submit("holds", str(release))
    bench.started(job)
    control, told = bench.celery.control, {"reply": True, "timeout": 10, "limit": 1}
    commands = {
        "shutdown": {},
        "cancel_consumer": {"queue": QUEUE},
        "pool_shrink": {"n": 1},
        "time_limit": {"task_name": "jobs.holds", "soft": 1, "hard": 1},
    }
    for command, arguments in commands.items():
        [answer] = control.broadcast(command, arguments=arguments, **told)
        [said] = answer.values()
        assert "BUS_CELERY_REMOTE_CONTROL" in said["error"]
    control.broadcast("shutdown")
    control.terminate(job.job_id, signal="SIGKILL")
    assert bench.end(job, 5) == CANCELLED
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert worker.process is not None
    assert worker.process.poll() is None
