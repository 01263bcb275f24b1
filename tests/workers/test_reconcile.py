"""The reconciler: heals what was lost, never amplifies an honest backlog."""

import contextlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bus import Bus, job_log, liveness, subjects
from testbed.servers import wait_until
from testbed.system import System
from tests.sizes import sized
from tests.workers import bench as bench_module
from tests.workers.bench import CLIENT, signal_children
from workers import reconcile
from workers.config import QUEUE
from workers.own_tasks import OwnTasks
from workers.reconcile import MOST_PER_LOOK, Reconciler
from workers.registry import Job, discover

QUICK = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_VISIBILITY_TIMEOUT": "5"}


class Bench(bench_module.Bench):
    """With a look at what waits, and reconcilers of a test's own."""

    def reconciler(self, jobs: dict[str, Job] | None = None) -> Reconciler:
        return Reconciler(self.celery, self.bus, jobs or dict(discover()), self.settings)

    def waiting(self) -> list[str]:
        with self.system.valkey.client() as redis:
            return [json.loads(raw)["headers"]["id"] for raw in redis.lrange(QUEUE, 0, -1)]


@pytest.fixture
def bench(fresh: System) -> Iterator[Bench]:
    with contextlib.closing(Bench(fresh)) as bench:
        yield bench


def look_until_healed(reconciler: Reconciler, healed: int) -> None:
    total = 0

    def enough() -> bool:
        nonlocal total
        total += reconciler.look()
        return total >= healed

    wait_until(enough, f"{healed} healed jobs")


def test_a_job_that_was_never_enqueued_is_enqueued_once(bench: Bench) -> None:
    job = bench.store()
    one, two = bench.reconciler(), bench.reconciler()
    assert (one.look(), two.look()) == (0, 0)  # seen for the first time: it may be on its way
    look_until_healed(one, 1)
    two.look()
    assert bench.waiting() == [job.job_id]
    assert bench.life(job) == ["job_queued", "job_requeued"]
    assert [one.look() for _ in range(5)] == [0] * 5


def test_a_wiped_redis_is_filled_again(bench: Bench) -> None:
    jobs = [bench.submit() for _ in range(20)]
    with bench.system.valkey.client() as redis:
        redis.flushall()
    look_until_healed(bench.reconciler(), 20)
    assert sorted(bench.waiting()) == sorted(job.job_id for job in jobs)


def test_a_backlog_in_redis_is_left_alone(bench: Bench) -> None:
    jobs = bench.submit_many(1200)  # several pages
    reconciler = bench.reconciler()
    assert [reconciler.look() for _ in range(5)] == [0] * 5
    assert len(bench.waiting()) == len(jobs)


def test_a_started_job_without_a_worker_is_enqueued_again_then_failed(bench: Bench) -> None:
    job = bench.store()
    state = bench.bus.call(lambda bus: job_log.start(bus.stream, job))
    reconciler = bench.reconciler()
    look_until_healed(reconciler, 1)
    assert bench.life(job)[-1] == "job_retrying"
    state = bench.read(job)
    for _ in range(2):
        state = bench.bus.call(lambda bus, state=state: job_log.start(bus.stream, state))  # type: ignore[misc]
    with bench.system.valkey.client() as redis:
        redis.flushall()
    look_until_healed(reconciler, 1)
    assert "its worker died in attempt 3, the last one allowed" in bench.read(job).last.payload
    assert reconciler.look() == 0


def test_a_task_that_always_goes_astray_is_not_enqueued_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "MOST_TIMES", 3)
    job = bench.store()
    reconciler = bench.reconciler()
    with bench.system.valkey.client() as redis:

        def ended() -> bool:
            reconciler.look()
            redis.flushall()  # such as a worker that does not know the job's type
            return bench.read(job).ended

        wait_until(ended, "end of the job")
    assert "no worker started it, though it was queued 4 times" in bench.read(job).last.payload
    assert bench.life(job) == ["job_queued", *["job_requeued"] * 3, "job_failed"]


def test_when_redis_or_nats_is_away_nothing_is_decided(bench: Bench) -> None:
    job = bench.store()
    reconciler = bench.reconciler()
    bench.system.valkey.kill()
    for _ in range(3):
        with pytest.raises(Exception, match="onnect"):
            reconciler.look()
    assert bench.life(job) == ["job_queued"]


def test_a_child_that_is_gone_is_told_of_though_its_job_was_given_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "SETTLE", 0.1)
    gone: set[str] = set()
    main_process = SimpleNamespace(overdue=lambda: {"child"}, kill_stuck=gone.update)
    own_tasks = OwnTasks(bench.bus, main_process)  # type: ignore[arg-type]

    def told() -> bool:
        own_tasks.look()
        return gone == {"child"}

    wait_until(told, "word of the child")


def test_garbage_on_a_jobs_subject_is_passed_over(bench: Bench) -> None:
    job, spoiled = bench.store(), bench.store()
    bench.bus.call(lambda bus: bus.stream.append(subjects.job(CLIENT, spoiled.job_id), b"garbage"))
    bench.bus.call(lambda bus: bus.stream.append(subjects.job(CLIENT, "never-a-job"), b"garbage"))
    look_until_healed(bench.reconciler(), 2)
    assert sorted(bench.waiting()) == sorted([job.job_id, spoiled.job_id])


def test_thousands_of_queued_jobs_and_two_slow_workers_each_run_once(bench: Bench) -> None:
    jobs = bench.submit_many(sized(3_000, MOST_PER_LOOK + 100))  # more than are healed at one look
    assert len(jobs) > MOST_PER_LOOK
    for _ in range(2):  # every worker reconciles, here every second
        bench.system.worker("--concurrency", "1", BUS_RECONCILE_INTERVAL="1")

    async def lives(bus: Bus) -> Counter[str]:
        return Counter([step.event.action async for step in job_log.steps(bus.stream, subjects.ALL_JOBS)])

    def finished() -> bool:
        return bench.bus.call(lambda bus: bus.stream.state()).last_seq >= 3 * len(jobs)

    wait_until(finished, "all results", 100)
    assert bench.bus.call(lives, timeout=60) == dict.fromkeys(("job_queued", "job_started", "job_result"), len(jobs))


def test_workers_heal_by_themselves(bench: Bench) -> None:
    never_enqueued = [bench.store() for _ in range(5)]
    bench.system.worker("--concurrency", "2", **QUICK)
    bench.all_ended(*never_enqueued)

    with bench.system.valkey.client() as redis:
        redis.flushall()
        wiped = [bench.submit() for _ in range(5)]
        redis.flushall()
    bench.all_ended(*wiped)


def test_a_job_that_keeps_killing_its_worker_fails_in_the_end(bench: Bench) -> None:
    worker = bench.system.worker("--concurrency", "1", BUS_JOB_DELAY_SCALE="100", **QUICK)
    job = bench.submit()

    killed = 0

    def kill_each_attempt() -> bool:
        nonlocal killed
        state = bench.read(job)
        if state.started and state.attempt > killed:
            killed = state.attempt
            signal_children(worker, signal.SIGKILL)
        return state.ended

    wait_until(kill_each_attempt, "end of the job", 90)
    state = bench.read(job)
    assert state.state == "job_failed"
    assert "its worker died in attempt 3, the last one allowed" in state.last.payload
    assert Counter(bench.life(job))["job_started"] == 3
