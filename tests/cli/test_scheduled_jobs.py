"""busctl jobs and watch: which jobs wait for their time, and when that comes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus import Bus, Settings, job_log, schedules, subjects, times
from bus.job_log import JobRequest, JobState
from bus.schedules import Remembered
from cli.when import local, local_minute
from testbed.servers import Nats
from tests.cli.background import background
from tests.cli.command import busctl
from tests.cli.terminal import in_terminal
from tests.raw_jetstream import connected

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


async def scheduled(bus: Bus, client_id: str, ahead: timedelta | None, content: str = "hi") -> JobState:
    not_before = None if ahead is None else times.written(datetime.now(UTC) + ahead)
    request = JobRequest(task_type="default", job_type="default", content=content, not_before=not_before)
    return await job_log.create(
        bus.stream, client_id, request, job_id=job_log.new_job_id(), waits=not_before is not None
    )


def begin(job: JobState) -> datetime:
    assert job.request.begins is not None
    return job.request.begins


def listed(nats: Nats, *arguments: str) -> list[dict[str, Any]]:
    shown = busctl("jobs", "--json", *arguments, NATS_URL=nats.url)
    assert (shown.returncode, shown.stderr) == (0, "")
    return [json.loads(line) for line in shown.stdout.splitlines()]


async def test_those_that_wait_for_their_time_are_listed_the_soonest_first(nats: Nats, bus: Bus) -> None:
    last = await scheduled(bus, "s1", 3 * DAY)
    await scheduled(bus, "s1", None)
    soonest = await scheduled(bus, "s1", 1 * DAY)
    await scheduled(bus, "s1", -1 * DAY)  # its time has come
    second = await scheduled(bus, "s1", 2 * DAY)
    off, begun = await scheduled(bus, "s1", DAY), await scheduled(bus, "s1", DAY)
    await job_log.cancel(bus.stream, "s1", off.job_id)
    await job_log.start(bus.stream, begun)  # by a worker whose clock is ahead
    await job_log.carry(bus.stream, "s1", last.job_id)  # before retention cuts it
    jobs = listed(nats, "--client", "s1", "--scheduled")
    assert [job["job_id"] for job in jobs] == [soonest.job_id, second.job_id, last.job_id]
    assert [job["not_before"] for job in jobs] == [job.request.not_before for job in (soonest, second, last)]
    assert len(listed(nats, "--client", "s1", "--scheduled", "--open", "--limit", "2")) == 2


async def test_for_people_there_is_when_and_in_how_long(nats: Nats, bus: Bus) -> None:
    job = await scheduled(bus, "s2", 2 * DAY + HOUR, "brew [b]tea[/b]")
    shown = busctl("jobs", "--client", "s2", "--scheduled", NATS_URL=nats.url)
    header, row = shown.stdout.splitlines()
    assert header.split() == ["JOB", "TYPE", "WHEN", "IN", "CONTENT"]
    assert f"  {local_minute(begin(job))}  " in row
    assert " 2 d " in row
    assert row.endswith("brew [b]tea[/b]")


async def test_among_all_jobs_they_are_told_apart_from_those_that_wait_for_a_worker(nats: Nats, bus: Bus) -> None:
    job = await scheduled(bus, "s3", 2 * DAY + HOUR)
    await scheduled(bus, "s3", -1 * DAY)
    _, later, now = busctl("jobs", "--client", "s3", NATS_URL=nats.url).stdout.splitlines()
    assert later.startswith(job.job_id)
    assert " scheduled " in later
    assert later.endswith(" in 2 d: hi")
    assert " queued " in now


async def test_80_columns_are_enough(nats: Nats, bus: Bus) -> None:
    job = await scheduled(bus, "s4-with-quite-a-long-name", 30 * DAY + HOUR, "z" * 500)
    shown = in_terminal("jobs", "--scheduled", columns=80, NATS_URL=nats.url)
    [row] = [line for line in shown.lines if job.job_id[:8] in line.plain]
    assert " 30 d " in row.plain
    assert "z…" in row.plain
    assert all(line.cell_len <= 80 for line in shown.lines)


@pytest.fixture
async def recurring(settings: Settings, bus: Bus) -> AsyncIterator[list[Remembered]]:
    """What is remembered of three schedules: one is due some time, one should have begun a job, and one is no more."""
    next_week = datetime.now(UTC) + 7 * DAY + HOUR
    told = [
        Remembered(name="backup", definition="every 7d", next=next_week),
        Remembered(name="cleanup", definition="every 1h", last=next_week - 9 * DAY, next=next_week - 8 * DAY),
        Remembered(name="old", definition="cron 0 6 * * * UTC", last=next_week, next=next_week, gone=next_week),
    ]
    async with connected(settings.nats_url) as raw:
        await schedules.declare(bus)
        for one in told:
            await schedules.remember(bus, one)
        yield told
        await raw.ask(f"STREAM.DELETE.{subjects.SCHEDULES}")


async def test_recurring_schedules_follow(nats: Nats, bus: Bus, recurring: list[Remembered]) -> None:
    backup, cleanup, old = recurring
    job = await scheduled(bus, "s6", DAY)
    shown = busctl("jobs", "--scheduled", "--limit", "1000", NATS_URL=nats.url).stdout
    jobs, _, table = shown.partition("\n\n")
    assert job.job_id in jobs
    header, *rows = [re.split(r"\s{2,}", line) for line in table.splitlines()]
    assert header == ["SCHEDULE", "LAST", "NEXT", "IN", "RULE"]
    assert cleanup.last is not None
    assert old.last is not None
    assert rows == [
        ["backup", local_minute(backup.next), "7 d", "every 7d"],
        ["cleanup", local_minute(cleanup.last), local_minute(cleanup.next), "overdue", "every 1h"],
        ["old", local_minute(old.last), "gone", "cron 0 6 * * * UTC"],
    ]
    first, second, third = [one for one in listed(nats, "--scheduled", "--limit", "1000") if "schedule" in one]
    assert first == {
        "schedule": "backup",
        "rule": "every 7d",
        "last": None,
        "next": times.written(backup.next),
        "gone": None,
    }
    assert (second["schedule"], third["next"], third["gone"]) == ("cleanup", None, times.written(old.next))
    assert [one for one in listed(nats, "--scheduled", "--client", "s6") if "schedule" in one] == []
    narrow = in_terminal("jobs", "--scheduled", columns=80, NATS_URL=nats.url)
    assert all(line.cell_len <= 80 for line in narrow.lines)
    assert any(
        "cleanup" in line.plain and "overdue" in line.plain and "every 1h" in line.plain for line in narrow.lines
    )


async def test_watch_says_for_when_a_job_is_scheduled(nats: Nats, bus: Bus) -> None:
    job = await scheduled(bus, "s5", DAY)
    with background("watch", "--job", job.job_id, NATS_URL=nats.url) as watch:
        line = watch.line()
    assert line.split(maxsplit=4)[3] == "queued"
    assert line.endswith(f" scheduled for {local(begin(job))}: default: hi")


def test_none_is_said(nats: Nats) -> None:
    assert busctl("jobs", "--client", "nobody", "--scheduled", NATS_URL=nats.url).stderr == "No scheduled jobs.\n"


def test_one_that_has_failed_does_not_wait() -> None:
    refused = busctl("jobs", "--scheduled", "--failed")
    assert refused.returncode == 2
    assert "--scheduled does not go with --failed: a job that has failed has ended" in refused.stderr
