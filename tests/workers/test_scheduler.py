"""The scheduler: one job for each slot, whoever makes it, and never two of one schedule at a time."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from bus import Bus, Settings, job_log, schedules, subjects
from bus.schedules import Remembered
from tests.raw_jetstream import connected, nats_with
from workers import scheduler
from workers.metrics import WorkerMetrics
from workers.open_jobs_reader import OpenJobsReader
from workers.registry import Job, JobContext, job
from workers.scheduler import GONE_FOR, Scheduler

MINUTE = timedelta(minutes=1)
SIX = datetime(2026, 12, 1, 6, tzinfo=UTC)


def function(content: str, job: JobContext) -> str:
    return content


def jobs_named(*names: str, **schedule: str) -> Mapping[str, Job]:
    given: Any = schedule or {"every": "1m"}
    return {name: job(name=name, **given)(function) for name in names}


class Workers:
    """Workers that reconcile on one NATS server, at a time of the test's own."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.now = SIX
        self.name = f"x{secrets.token_hex(4)}"
        """A job type that no other test has."""

    def one(self, jobs: Mapping[str, Job] | None = None) -> Worker:
        """A worker with these jobs; by default with one that is due every minute."""
        reader = OpenJobsReader(window=32)
        wanted = jobs if jobs is not None else jobs_named(self.name)
        metrics = WorkerMetrics(wanted)
        scheduler = Scheduler(wanted, reader.table, lambda: self.now.timestamp(), metrics)
        return Worker(self, reader, scheduler, metrics)

    async def slots(self, name: str = "") -> list[datetime]:
        """The slots of which there are jobs, in the order in which these were stored."""
        every = job_log.steps(self.bus.stream, subjects.steps(subjects.SCHEDULES_CLIENT))
        steps = [step async for step in every]
        requests = [step.request for step in steps if step.request is not None and step.waits]
        return [one.slot_time for one in requests if one.task_type == (name or self.name) and one.slot_time is not None]

    async def end(self, slot: datetime) -> None:
        """End the job of a slot."""
        job_id = schedules.job_id(self.name, slot)
        await job_log.cancel(self.bus.stream, subjects.SCHEDULES_CLIENT, job_id)

    async def remembered(self) -> dict[str, Remembered]:
        return {one.name: one for one in await schedules.read_all(self.bus)}


@dataclass
class Worker:
    workers: Workers
    reader: OpenJobsReader
    scheduler: Scheduler
    metrics: WorkerMetrics

    async def look(self, after: timedelta = timedelta(0)) -> int:
        """Look once, so much later than at the look before."""
        self.workers.now += after
        assert await self.reader.read(self.workers.bus)
        return await self.scheduler.look(self.workers.bus)

    def counted(self, outcome: str) -> float:
        """How many slots of all schedules had this outcome."""
        (slots,) = self.metrics.slots.collect()
        return sum(one.value for one in slots.samples if one.labels["outcome"] == outcome and "created" not in one.name)

    async def end(self) -> None:
        await self.reader.end()


@pytest.fixture
async def workers(settings: Settings) -> AsyncIterator[Workers]:
    """On the shared server, which has no bucket of schedules before and after."""
    async with Bus(settings) as bus, connected(settings.nats_url) as raw:
        yield Workers(bus)
        await raw.ask(f"STREAM.DELETE.{subjects.SCHEDULES}")


async def test_a_slot_has_one_job_though_two_make_it(workers: Workers) -> None:
    one, two = workers.one(), workers.one()
    assert (await one.look(), await two.look()) == (0, 0)  # what passed before they were there is nobody's
    assert one.scheduler.due_in == 60
    for number in range(1, 4):
        workers.now += MINUTE
        await asyncio.gather(one.look(), two.look())
        await asyncio.gather(one.look(), two.look())
        assert await workers.slots() == [SIX + MINUTE * passed for passed in range(1, number + 1)]
        await workers.end(workers.now)
    assert (await workers.remembered())[workers.name] == Remembered(
        name=workers.name,
        definition="every 1m",
        last=SIX + 3 * MINUTE,
        next=SIX + 4 * MINUTE,
        revision=(await workers.remembered())[workers.name].revision,
    )


async def test_the_job_of_a_slot_waits_for_its_task_and_knows_its_slot(workers: Workers) -> None:
    made = job(name=workers.name, cron="1,31 6 * * *", content="daily", queue="heavy")(function)
    worker = workers.one({made.name: made})
    await worker.look()
    assert await worker.look(MINUTE) == 1
    job_id = schedules.job_id(workers.name, SIX + MINUTE)
    stored = await workers.bus.stream.first(subjects.job(subjects.SCHEDULES_CLIENT, job_id))
    assert stored is not None
    step = job_log.step_of(stored)
    assert step.waits
    assert step.request is not None
    assert (step.request.content, step.request.queue, step.request.slot_time) == ("daily", "heavy", SIX + MINUTE)
    assert worker.scheduler.due_in == 30 * 60


def told(logs: Sequence[EventDict]) -> list[EventDict]:
    """What is said of schedules; tests beside this one leave other things in the stream that are worth a line."""
    return [said for said in logs if "schedule" in said["event"]]


async def test_while_a_job_is_open_slots_wait_and_the_newest_of_them_follows(workers: Workers) -> None:
    worker = workers.one()
    await worker.look()
    with structlog.testing.capture_logs() as logs:
        assert [await worker.look(MINUTE) for _ in range(4)] == [1, 0, 0, 0]
        assert told(logs) == []
        await workers.end(SIX + MINUTE)
        assert [await worker.look(), await worker.look()] == [1, 0]
    assert await workers.slots() == [SIX + MINUTE, SIX + 4 * MINUTE]
    (said,) = told(logs)
    assert said.items() >= {"schedule": workers.name, "missed": 2, "since": "2026-12-01T06:02:00.000000Z"}.items()
    assert (worker.counted("made"), worker.counted("missed")) == (2, 2)
    accepted = [said["job_id"] for said in logs if said["event"] == "job accepted"]
    assert accepted == [schedules.job_id(workers.name, SIX + MINUTE * number) for number in (1, 4)]


async def test_of_slots_that_nobody_was_there_for_the_newest_gets_a_job(workers: Workers) -> None:
    await workers.one().look()
    with structlog.testing.capture_logs() as logs:
        assert await workers.one().look(24 * 60 * MINUTE + timedelta(seconds=30)) == 1
    assert await workers.slots() == [SIX + 24 * 60 * MINUTE]
    assert [said["missed"] for said in told(logs)] == ["999 or more"]


async def test_one_that_died_before_it_remembered_is_no_second_job(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = workers.one()
    await dies.look()

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(schedules, "remember", die)
        with pytest.raises(KeyboardInterrupt):
            await dies.look(MINUTE)
    assert await workers.slots() == [SIX + MINUTE]
    late = workers.one()
    assert await late.look(MINUTE) == 0  # the job of the slot before is open
    assert (await workers.remembered())[workers.name].last == SIX + MINUTE
    await workers.end(SIX + MINUTE)
    assert await late.look() == 1
    assert await workers.slots() == [SIX + MINUTE, SIX + 2 * MINUTE]


async def test_another_definition_begins_with_its_next_slot(workers: Workers) -> None:
    old, new = workers.one(), workers.one(jobs_named(workers.name, every="7m"))
    await old.look()
    assert await new.look(5 * MINUTE) == 0
    remembered = (await workers.remembered())[workers.name]
    assert (remembered.definition, remembered.next) == ("every 7m", SIX + 7 * MINUTE)
    assert await new.look(2 * MINUTE) == 1
    assert await workers.slots() == [SIX + 7 * MINUTE]


async def test_one_that_is_gone_from_the_code_comes_back_where_it_was_but_not_after_an_hour(workers: Workers) -> None:
    old, other = jobs_named(workers.name, every="1h"), f"{workers.name}-other"
    await workers.one(old).look()
    without = jobs_named(other, every="1d")
    await workers.one(without).look(MINUTE)  # another version takes its turn while both are deployed
    assert (await workers.remembered())[workers.name].gone == SIX + MINUTE
    workers.now = SIX + GONE_FOR
    assert await workers.one(old).look() == 1
    assert (await workers.remembered())[workers.name].gone is None
    await workers.end(SIX + GONE_FOR)

    await workers.one(without).look()
    assert await workers.one(old).look(2 * GONE_FOR) == 0
    assert (await workers.remembered())[workers.name].next == SIX + 4 * GONE_FOR
    await workers.one(without).look()
    await workers.one(without).look(2 * GONE_FOR)
    assert set(await workers.remembered()) == {other}


async def test_a_clock_that_was_ahead_stops_no_schedule_for_long(workers: Workers) -> None:
    workers.now = SIX.replace(year=2036)
    await workers.one().look()
    workers.now = SIX
    later = workers.one()
    await later.look()
    assert await later.look(MINUTE) == 1


async def test_a_slot_that_cannot_be_stored_is_told_once_and_the_others_go_on(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "AGAIN", 0.0)
    large = job(name=f"{workers.name}-large", every="1m", content="x" * 2_000_000)(function)
    worker = workers.one({large.name: large} | dict(jobs_named(workers.name)))
    await worker.look()
    with structlog.testing.capture_logs() as logs:
        assert [await worker.look(MINUTE), await worker.look()] == [1, 0]
    assert await workers.slots(large.name) == []
    (said,) = told(logs)
    assert said["schedule"] == large.name
    assert "NATS takes at most" in said["error"]


async def test_a_bucket_that_is_lost_is_made_again(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "AGAIN", 0.0)
    worker = workers.one()
    await worker.look()
    async with connected(workers.bus.settings.nats_url) as raw:
        await raw.ask(f"STREAM.DELETE.{subjects.SCHEDULES}")
    with structlog.testing.capture_logs() as logs:
        await worker.look(MINUTE)
        await worker.look()
    assert [said["error"] for said in told(logs)] == [
        f"no bucket {subjects.SCHEDULES} took {subjects.schedule(workers.name)}: it has no leader, or is gone"
    ]
    await workers.end(SIX + MINUTE)
    assert await worker.look(MINUTE) == 1
    assert await workers.slots() == [SIX + MINUTE, SIX + 2 * MINUTE]


PERMISSIONS = """
jetstream {{ store_dir: DIR }}
authorization {{ users = [
  {{ user: may, password: x, permissions: {{ publish: {{ allow: {may} }}, subscribe: ">" }} }}
  {{ user: may_not, password: x, permissions: {{ publish: {{ allow: {may_not} }}, subscribe: ">" }} }}
] }}
"""
STREAM = [
    "bus.client.*.job.*",
    *(f"$JS.API.STREAM.{verb}.EVENTS" for verb in ("CREATE", "INFO", "MSG.GET")),
    "$JS.API.*.GET.EVENTS",
]
SCHEDULES = [
    "$KV.busctl-schedules.*",
    *(f"$JS.API.STREAM.{verb}.KV_busctl-schedules" for verb in ("CREATE", "INFO", "MSG.GET")),
]


async def test_it_needs_few_permissions_and_says_which_one_is_missing(tmp_path: Path) -> None:
    config = PERMISSIONS.format(may=json.dumps(STREAM + SCHEDULES), may_not=json.dumps(STREAM + SCHEDULES[1:]))
    with nats_with(tmp_path, config, jetstream=False) as server:
        one, other = (server.url.replace("//", f"//{user}:x@") for user in ("may", "may_not"))
        async with Bus(Settings.load(nats_url=one)) as bus:
            workers = Workers(bus)
            worker = workers.one()
            assert [await worker.look(), await worker.look(MINUTE)] == [0, 1]
            await workers.end(SIX + MINUTE)
        async with Bus(Settings.load(nats_url=other)) as workers.bus:
            with structlog.testing.capture_logs() as logs:
                await workers.one().look(MINUTE)
        (said,) = (said["error"] for said in logs if said["event"] == "what is scheduled waits; trying again")
        assert f'may not publish "{subjects.schedule(workers.name)}"' in said


async def test_without_schedules_nothing_is_asked_of_nats(workers: Workers) -> None:
    worker = workers.one({})
    assert await worker.look() == 0
    assert worker.scheduler.due_in == float("inf")
    async with connected(workers.bus.settings.nats_url) as raw:
        assert "error" in await raw.ask(f"STREAM.INFO.{subjects.SCHEDULES}")
