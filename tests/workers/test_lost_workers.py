"""Workers that die, freeze or lose NATS: their jobs run again soon, whoever listens, and no other job does."""

import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus.job_log import JobState
from testbed.servers import Nats, Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of, children, listens_to_everything

ENDED = ["job_queued", "job_started", "job_result"]
CUT_OFF = "❌ Job failed: it took longer than 1 s, the time limit of its worker"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """NATS and Valkey for every test that lets them live, with the intervals that the system has by default."""
    directory = tmp_path_factory.mktemp("lost-workers")
    with running(directory, PYTHONPATH=own_jobs.install(directory)) as system:
        yield system


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


class Losses:
    """Workers that were lost at the same moment, each in its own way and in the middle of a job, and one that is left.

    To lose them one after the other would be to wait for the same leases again and again.
    """

    def __init__(self, bench: Bench, directory: Path) -> None:
        self.bench = bench
        self.directory = directory
        self.workers: dict[str, Worker] = {}
        self.jobs: dict[str, list[JobState]] = {}
        self._begin("killed", "--concurrency", "2", jobs=2)
        self._begin("killed under threads", "--concurrency", "1", "--pool", "threads")
        self._begin("shut down cold", "--concurrency", "1")
        self._begin("shut down cold, without children", "--pool", "solo")
        self._begin("frozen", "--concurrency", "1", type_="streams")
        self.bench.writes(*self.jobs["frozen"])
        self.left = bench.system.worker("--concurrency", "6")
        self.at = datetime.now(UTC)
        self.workers["killed"].kill()
        self.workers["killed under threads"].kill()
        for how in ("shut down cold", "shut down cold, without children"):
            os.kill(self.workers[how].pid, signal.SIGQUIT)  # it has five seconds left
        self.workers["frozen"].pause()

    def release(self, how: str) -> None:
        """Let the jobs of one of the workers end."""
        (self.directory / how).touch()

    def _begin(self, how: str, *options: str, jobs: int = 1, type_: str = "holds") -> None:
        # Those before it are busy, so it is this one that takes the jobs.
        self.workers[how] = self.bench.system.worker(*options)
        self.jobs[how] = [self.bench.submit(type_, str(self.directory / how)) for _ in range(jobs)]
        for started in self.jobs[how]:
            self.bench.started(started)


@pytest.fixture(scope="module")
def losses(servers: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Losses]:
    with listens_to_everything(servers), contextlib.closing(Bench(servers)) as bench:
        yield Losses(bench, tmp_path_factory.mktemp("losses"))


@pytest.fixture(scope="module", autouse=True)
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, Worker, JobState, int]]:
    """A worker whose child is stuck in a job. To notice takes a quarter of a minute, so it begins with the module."""
    directory = tmp_path_factory.mktemp("stuck")
    with running(directory, PYTHONPATH=own_jobs.install(directory)) as system, bench_of(system) as bench:
        worker = system.worker("--concurrency", "1", "--time-limit", "1")
        (child,) = children(worker)
        yield bench, worker, bench.submit("stuck"), child


@pytest.mark.parametrize(
    ("how", "within", "life"),
    [
        ("killed", 15, ["job_queued", "job_started", "job_retrying", "job_started", "job_result"]),
        ("killed under threads", 15, ["job_queued", "job_started", "job_retrying", "job_started", "job_result"]),
        ("shut down cold", 15, ["job_queued", "job_started", "job_started", "job_result"]),
        ("shut down cold, without children", 15, ["job_queued", "job_started", "job_started", "job_result"]),
    ],
)
def test_the_job_of_a_lost_worker_runs_again_soon(losses: Losses, how: str, within: float, life: list[str]) -> None:
    for job in losses.jobs[how]:
        losses.bench.second_attempt(job, within)
        assert losses.bench.attempts(job)[1] - losses.at < timedelta(seconds=within)
    losses.release(how)
    for job in losses.jobs[how]:
        assert losses.bench.end(job) == "held"
        assert losses.bench.life(job) == life


def test_a_frozen_worker_loses_its_job_its_late_words_are_refused_and_it_works_again(losses: Losses) -> None:
    frozen, (job,), bench = losses.workers["frozen"], losses.jobs["frozen"], losses.bench
    bench.second_attempt(job, 30)
    assert bench.attempts(job)[1] - losses.at < timedelta(seconds=30)
    bench.writes(job, attempt=2)
    written = bench.text(job, 1)
    frozen.resume()  # and it goes on writing
    wait_until(lambda: "ended by somebody else" in frozen.output(), "refused end")
    losses.release("frozen")
    assert bench.end(job) == bench.text(job, 2)
    assert bench.text(job, 1) == written
    assert "another worker" not in losses.left.output()
    assert bench.life(job) == ["job_queued", "job_started", "job_retrying", "job_started", "job_result"]
    wait_until(lambda: bench.runs_in(frozen), "job that the worker runs which was frozen")


def test_a_child_in_which_nothing_runs_any_more_is_killed(stuck: tuple[Bench, Worker, JobState, int]) -> None:
    bench, worker, job, child = stuck
    wait_until(lambda: child not in children(worker), "child that was killed", 60)
    assert bench.end(job) == CUT_OFF
    assert bench.end(bench.submit()) == "✅ Processed: X"


def test_no_job_is_taken_from_the_living_because_nats_was_away(tmp_path: Path, release: Path) -> None:
    with running(tmp_path, PYTHONPATH=own_jobs.install(tmp_path)) as system:
        for _ in range(2):
            system.worker("--concurrency", "1", BUS_RECONCILE_INTERVAL="0.5")
        with contextlib.closing(Bench(system)) as bench:
            job = bench.submit("holds", str(release))
            bench.started(job)
        system.nats.kill()  # and with it every lease: they are in its memory
        system.nats.start()
        with contextlib.closing(Bench(system)) as bench:
            nobodys = bench.start(bench.store(), "never-lived")
            bench.second_attempt(nobodys, 60)  # so by now a missing lease means something again
            release.touch()
            assert bench.end(job) == "held"
            assert bench.life(job) == ENDED


PERMISSIONS = """
jetstream {{ store_dir: "{store}" }}
authorization {{ users: [
  {{ user: all, password: all }}
  {{ user: worker, password: worker,
     permissions: {{ publish: {{ deny: {publish} }}, subscribe: {{ deny: {subscribe} }} }} }}
] }}
"""


@pytest.mark.parametrize(
    ("publish", "subscribe", "says"),
    [
        ('["$KV.>"]', "[]", "may publish to $KV.busctl-leases."),
        ("[]", '["instance.*"]', "may subscribe to instance."),
    ],
)
def test_a_worker_that_cannot_prove_that_it_lives_takes_no_job_until_it_can(
    tmp_path: Path, publish: str, subscribe: str, says: str
) -> None:
    config = tmp_path / "nats.conf"

    def permit(publish: str, subscribe: str) -> None:
        config.write_text(PERMISSIONS.format(store=tmp_path / "js", publish=publish, subscribe=subscribe))

    permit(publish, subscribe)
    system = System(tmp_path)
    system.nats = Nats(tmp_path, "-c", str(config), jetstream=False)
    system.nats.url = system.nats.url.replace("//", "//all:all@")
    try:
        system.start()
        with contextlib.closing(Bench(system)) as bench:
            worker = system.worker("--concurrency", "1", NATS_URL=system.nats.url.replace("all:all", "worker:worker"))
            job = bench.submit()
            wait_until(lambda: says in worker.output(), "reason")
            assert bench.life(job) == ["job_queued"]
            permit("[]", "[]")
            os.kill(system.nats.pid, signal.SIGHUP)
            assert bench.end(job) == "✅ Processed: X"
            assert bench.life(job) == ENDED
    finally:
        system.stop()
