"""Jobs that write while they run, in real workers of every pool: stopped, killed, and with what they share."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.job_log import JobState
from bus.messages import JobCancelled
from testbed.servers import Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import CLIENT, Bench, signal_children
from workers import submission

ENDED = ["job_queued", "job_started", "job_result"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("streaming")
    with running(directory, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture(scope="module")
def bench(servers: System) -> Iterator[Bench]:
    with contextlib.closing(Bench(servers)) as bench:
        yield bench


@pytest.fixture(scope="module", params=["prefork", "threads", "solo"])
def worker(servers: System, request: pytest.FixtureRequest) -> Iterator[Worker]:
    worker = servers.worker("--concurrency", "1", "--pool", request.param)
    yield worker
    worker.kill()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


def cancel(bench: Bench, job: JobState) -> None:
    done = bench.bus.call(lambda bus: submission.cancel(bus, CLIENT, job.job_id))
    assert isinstance(done.job.last, JobCancelled)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["streams", "streams_async"])
def test_what_a_job_writes_can_be_read_while_it_runs_and_is_its_result(bench: Bench, release: Path, kind: str) -> None:
    job = bench.submit(kind, str(release))
    bench.writes(job)
    release.touch()
    assert bench.end(job) == bench.text(job, 1)
    assert bench.life(job) == ENDED


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["streams", "streams_async"])
def test_a_job_that_is_cancelled_stops_writing_and_the_next_one_runs(bench: Bench, release: Path, kind: str) -> None:
    job = bench.submit(kind, str(release))
    bench.writes(job)
    cancel(bench, job)
    wait_until(Path(f"{release}.left").exists, "end of the function")
    assert bench.text(job, 1).startswith("attempt 1: 0")
    assert bench.end(bench.submit()) == "✅ Processed: X"
    assert bench.life(job) == ["job_queued", "job_started", "job_cancelled"]


@pytest.mark.parametrize("worker", ["prefork"], indirect=True)
@pytest.mark.parametrize("kind", ["streams", "streams_async"])
def test_a_child_that_is_killed_while_its_job_writes_is_replaced_and_so_is_what_it_wrote(
    bench: Bench, worker: Worker, release: Path, kind: str
) -> None:
    job = bench.submit(kind, str(release))
    bench.writes(job)
    signal_children(worker, signal.SIGKILL)
    bench.writes(job, attempt=2)
    release.touch()
    assert bench.end(job) == bench.text(job, 2)
    assert bench.text(job, 1).startswith("attempt 1:")
    assert bench.text(job, 2).startswith("attempt 2: 0 1 2")


def test_jobs_share_what_they_open_and_it_is_closed_when_the_worker_ends(
    bench: Bench, worker: Worker, tmp_path: Path
) -> None:
    log = tmp_path / "pool"
    log.touch()
    ends = {bench.end(bench.submit("uses_pool", str(log))) for _ in range(3)}
    assert len(ends) == 1
    assert log.read_text() == "opened "
    assert worker.stop() in (0, -signal.SIGKILL)
    assert log.read_text() == "opened closed "
