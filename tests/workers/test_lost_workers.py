"""Workers that die, freeze or lose NATS: their jobs run again soon, whoever listens, and no other job does."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nats as nats_py
import pytest

from bus import leases, liveness
from testbed.servers import Nats, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench, children, signal_children

ENDED = ["job_queued", "job_started", "job_result"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A system for one test to break, with the intervals that it has by default."""
    with (
        running(tmp_path, PYTHONPATH=own_jobs.install(tmp_path)) as system,
        contextlib.closing(Bench(system)) as bench,
    ):
        yield bench


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file for which a job waits."""
    return tmp_path / "release"


@pytest.fixture
def eavesdropper(bench: Bench) -> Iterator[None]:
    """Somebody who listens to every subject, as `nats sub '>'` does."""
    listening, over = threading.Event(), threading.Event()

    async def listen() -> None:
        connection = await nats_py.connect(bench.system.nats.url)
        await connection.subscribe(">")
        await connection.flush()
        listening.set()
        await asyncio.to_thread(over.wait)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    assert listening.wait(20)
    yield
    over.set()
    thread.join(20)


def second_attempt(bench: Bench, job, deadline: float) -> None:  # type: ignore[no-untyped-def]
    wait_until(lambda: bench.read(job).attempt == 2 and bench.read(job).started, "second attempt", deadline)


@pytest.mark.usefixtures("eavesdropper")
def test_the_job_of_a_child_that_was_killed_runs_again_within_five_seconds(bench: Bench, release: Path) -> None:
    worker = bench.system.worker("--concurrency", "1")
    job = bench.submit("holds", str(release))
    bench.started(job)
    signal_children(worker, signal.SIGKILL)
    second_attempt(bench, job, 5)
    release.touch()
    assert bench.end(job) == "held"


def test_the_death_of_a_child_is_noticed_on_a_busy_machine_too(bench: Bench, tmp_path: Path) -> None:
    worker = bench.system.worker("--concurrency", "1")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        for number in range(8):
            release = tmp_path / f"release {number}"
            job = bench.submit("holds", str(release))
            bench.started(job)
            signal_children(worker, signal.SIGKILL)
            second_attempt(bench, job, 3)
            release.touch()
            bench.end(job)
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("eavesdropper")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_the_job_of_a_host_that_was_killed_runs_again_within_fifteen_seconds(
    bench: Bench, release: Path, pool: str
) -> None:
    doomed = bench.system.worker("--concurrency", "1", "--pool", pool)
    job = bench.submit("holds", str(release))
    bench.started(job)
    bench.system.worker("--concurrency", "1")
    doomed.kill()
    second_attempt(bench, job, 15)
    release.touch()
    assert bench.end(job) == "held"


def test_the_job_of_a_worker_that_is_shut_down_cold_runs_again_elsewhere(bench: Bench, release: Path) -> None:
    worker = bench.system.worker("--concurrency", "1")
    job = bench.submit("holds", str(release))
    bench.started(job)
    bench.system.worker("--concurrency", "1")
    os.kill(worker.pid, signal.SIGQUIT)  # it has five seconds left
    second_attempt(bench, job, 15)
    release.touch()
    assert bench.end(job) == "held"
    assert bench.life(job) == ["job_queued", "job_started", "job_started", "job_result"]


def test_a_frozen_worker_loses_its_job_and_its_late_word_is_refused(bench: Bench, release: Path) -> None:
    frozen = bench.system.worker("--concurrency", "1")
    job = bench.submit("holds", str(release))
    bench.started(job)
    other = bench.system.worker("--concurrency", "1")
    frozen.pause()
    second_attempt(bench, job, 30)
    release.touch()
    assert bench.end(job) == "held"
    assert "another worker" not in other.output()
    frozen.resume()
    wait_until(lambda: "ended by somebody else" in frozen.output(), "refused end")
    assert bench.life(job) == ["job_queued", "job_started", "job_requeued", "job_started", "job_result"]
    other.stop()
    assert bench.end(bench.submit()) == "✅ Processed: X"  # the frozen one works again


def test_no_job_is_taken_from_the_living_because_nats_was_away(bench: Bench, release: Path) -> None:
    for _ in range(2):
        bench.system.worker("--concurrency", "1")
    job = bench.submit("holds", str(release))
    bench.started(job)
    bench.system.nats.kill()
    time.sleep(leases.AGE + 1)
    bench.system.nats.start()
    with contextlib.closing(Bench(bench.system)) as again:
        time.sleep(liveness.SETTLE + 2)  # enough to be taken for dead
        release.touch()
        assert again.end(job) == "held"
        assert again.life(job) == ENDED


def test_children_that_are_replaced_take_nothing_with_them(bench: Bench) -> None:
    bench.system.worker("--concurrency", "2", "--max-tasks-per-child", "1")
    jobs = [bench.submit() for _ in range(8)]
    bench.all_ended(*jobs)
    assert all(bench.life(job) == ENDED for job in jobs)


def test_a_child_in_which_nothing_runs_any_more_is_killed(bench: Bench) -> None:
    worker = bench.system.worker("--concurrency", "1", "--time-limit", "1")
    job = bench.submit("stuck")
    (child,) = children(worker)
    wait_until(lambda: child not in children(worker), "child that was killed", 60)
    assert bench.end(job) == "❌ Job failed: it took longer than 1 s, the time limit of its worker"
    assert bench.end(bench.submit()) == "✅ Processed: X"


def test_a_job_that_its_worker_forgot_runs_again(bench: Bench, release: Path) -> None:
    bench.system.worker("--concurrency", "1", BUS_RECONCILE_INTERVAL="0.5")
    running = bench.submit("holds", str(release))
    bench.started(running)
    instance = bench.read(running).instance
    forgotten = bench.start(bench.store(), instance)
    bench.started(forgotten)
    release.touch()
    assert bench.end(forgotten) == "✅ Processed: X"
    assert bench.life(forgotten)[2:4] == ["job_requeued", "job_started"]


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
