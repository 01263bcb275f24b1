"""Recurring schedules with real workers: each slot runs once, whatever becomes of workers and NATS."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from bus import Bus, job_log, schedules, subjects
from bus.job_log import JobState
from testbed.servers import Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.workers.bench import Bench

SECOND = timedelta(seconds=1)
JOBS = """
from workers.registry import job, JobContext

@job(every="1s", content="tick")
def ticks(content: str, job: JobContext) -> str:
    "Say for which time it runs."
    return f"{content} {job.slot:%H:%M:%S}"
"""


class Ticks:
    """The jobs of a schedule that comes every second, a worker that schedules them, and another that runs them.

    So the first one may be killed without a job, which others would take back from it after a quarter of a minute.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.bench = Bench(system)
        self.first = self._worker("-Q", "nothing")
        wait_until(lambda: "this worker reconciles from now on" in self.first.output(), "worker that schedules")
        self.second = self._worker()

    def _worker(self, *options: str) -> Worker:
        return self.system.worker("--concurrency", "1", *options, BUS_RECONCILE_INTERVAL="0.5")

    def slots(self) -> list[datetime]:
        """The slots of which there are jobs, in the order in which they were stored. Each has one job."""

        async def read(bus: Bus) -> list[tuple[datetime, str]]:
            steps = [step async for step in job_log.steps(bus.stream, subjects.steps(subjects.SCHEDULES_CLIENT))]
            return [
                (step.request.slot_time, step.job_id)
                for step in steps
                if step.request is not None and step.request.slot_time is not None and not step.carried
            ]

        found = self.bench.bus.call(read, timeout=60)
        assert all(job_id == schedules.job_id("ticks", slot) for slot, job_id in found)
        slots = [slot for slot, _ in found]
        assert slots == sorted(set(slots))
        return slots

    def more(self, count: int) -> list[datetime]:
        """Wait until so many more slots have jobs. Returns all slots."""
        before = len(self.slots())
        wait_until(lambda: len(self.slots()) >= before + count, f"{count} more slots")
        return self.slots()

    def ended(self, slot: datetime) -> str:
        """How the job of a slot ended."""
        return self.bench.end(self._job(slot))

    def _job(self, slot: datetime) -> JobState:
        job_id = schedules.job_id("ticks", slot)
        return self.bench.bus.call(lambda bus: job_log.read(bus.stream, subjects.SCHEDULES_CLIENT, job_id))


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ticks]:
    directory = tmp_path_factory.mktemp("schedules")
    with running(directory, PYTHONPATH=own_jobs.install(directory, JOBS)) as system:
        ticks = Ticks(system)
        with contextlib.closing(ticks.bench):
            yield ticks


def test_two_workers_run_each_slot_once(ticks: Ticks) -> None:
    slots = ticks.more(3)[-3:]
    assert [ticks.ended(slot) for slot in slots] == [f"tick {slot:%H:%M:%S}" for slot in slots]


def test_when_the_worker_that_schedules_is_killed_at_a_slot_another_goes_on(ticks: Ticks) -> None:
    last = ticks.more(1)[-1]
    ticks.first.kill()
    slots = ticks.more(2)
    following = slots[slots.index(last) + 1 :]
    assert ticks.ended(following[0]) == f"tick {following[0]:%H:%M:%S}"
    missed = (following[0] - last) // SECOND - 1
    assert (f"missed={missed} " in ticks.second.output()) == (missed > 0)


def test_of_slots_that_pass_while_nats_is_away_the_newest_runs(ticks: Ticks) -> None:
    ticks.more(1)
    ticks.system.nats.kill()
    away = time.time()
    wait_until(lambda: time.time() > away + 2.5, "two slots that pass")
    ticks.system.nats.revive()
    back = time.time()
    ticks.bench.bus.call(lambda bus: bus.ready())
    wait_until(lambda: ticks.slots()[-1].timestamp() > back, "a slot after that")
    assert [slot for slot in ticks.slots() if away < slot.timestamp() <= back - 1] == []
