"""busctl retry, and what busctl jobs and watch tell of jobs that were not done at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bus import Bus, Settings, job_log, subjects
from bus.job_log import JobRequest, JobState
from testbed.servers import Nats
from tests import own_jobs
from tests.cli.background import background
from tests.cli.command import busctl


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


async def queued(bus: Bus, client_id: str, task_type: str = "translate") -> JobState:
    request = JobRequest(task_type=task_type, job_type="default", content="hi")
    return await job_log.create(bus.stream, client_id, request, job_id=job_log.new_job_id())


async def failed(bus: Bus, client_id: str) -> JobState:
    started = await job_log.start(bus.stream, await queued(bus, client_id))
    return await job_log.fail(bus.stream, started, "no ink")


async def test_a_job_of_any_client_is_done_again_once_for_each_key(nats: Nats, bus: Bus) -> None:
    job = await failed(bus, "retry-ann")
    done = busctl("retry", job.job_id, "--key", "again", NATS_URL=nats.url)
    assert done.returncode == 0
    assert "the job is stored as queued" in done.stderr  # there is no Redis
    new = await job_log.read(bus.stream, "retry-ann", done.stdout.strip())
    assert (new.state, new.request.retry_of) == ("job_queued", job.job_id)
    assert (new.request.task_type, new.request.job_type, new.request.content) == ("translate", "translate", "hi")
    again = busctl("retry", job.job_id, "--key", "again", "--json", NATS_URL=nats.url)
    assert "that key was used before" in again.stderr
    told = json.loads(again.stdout)
    assert (told["job_id"], told["retry_of"], told["client_id"]) == (new.job_id, job.job_id, "retry-ann")


async def test_a_job_that_has_not_ended_or_is_unknown_is_exit_1(nats: Nats, bus: Bus) -> None:
    job = await queued(bus, "retry-bob")
    refused = busctl("retry", job.job_id, NATS_URL=nats.url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"job {job.job_id} has not ended" in refused.stderr
    assert "no job no-such-job is known" in busctl("retry", "no-such-job", NATS_URL=nats.url).stderr
    assert busctl("retry", "a.b").returncode == 2


async def test_without_a_default_an_unknown_type_is_refused_and_the_known_ones_are_named(
    nats: Nats, bus: Bus, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = {"PYTHONPATH": own_jobs.install(tmp_path_factory.mktemp("own")), "BUS_EXAMPLE_JOBS": "false"}
    job = await failed(bus, "retry-eve")
    for arguments in (("submit", "nonsense", "hi", "--any-type"), ("retry", job.job_id)):
        refused = busctl(*arguments, NATS_URL=nats.url, **found)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "there is no job type" in refused.stderr
        assert "flaky, holds" in refused.stderr


async def test_failed_lists_the_jobs_that_failed_with_why_each_attempt_did(nats: Nats, bus: Bus) -> None:
    await queued(bus, "retry-cid")
    job = await failed(bus, "retry-cid")
    shown = busctl("jobs", "--failed", "--client", "retry-cid", "--json", NATS_URL=nats.url)
    [listed] = map(json.loads, shown.stdout.splitlines())
    assert (listed["job_id"], listed["state"], listed["attempt"]) == (job.job_id, "job_failed", 1)
    assert [(attempt["attempt"], attempt["reason"]) for attempt in listed["attempts"]] == [(1, "no ink")]
    assert busctl("jobs", "--failed", "--client", "nobody", NATS_URL=nats.url).stderr == "No failed jobs.\n"
    assert busctl("jobs", "--failed", "--open", NATS_URL=nats.url).returncode == 2


async def test_why_a_job_waits_and_until_when_is_shown(nats: Nats, bus: Bus) -> None:
    started = await job_log.start(bus.stream, await queued(bus, "retry-dan"), instance="child-1")
    next_at = datetime.now(UTC)
    await job_log.retry(bus.stream, started, "no ink", next_at=next_at)
    table = busctl("jobs", "--client", "retry-dan", NATS_URL=nats.url).stdout
    assert " retrying " in table
    assert "tried again: no ink" in table
    with background("watch", "--job", started.job_id, NATS_URL=nats.url) as watching:
        lines = [watching.line() for _ in range(3)]
    assert f"tried again: no ink (attempt 2 at {next_at.astimezone():%H:%M:%S})" in lines[-1]


async def test_who_waits_for_a_result_is_told_why_it_takes_another_attempt(nats: Nats, bus: Bus) -> None:
    with background("submit", "default", "hi", "--wait", "--client", "retry-fay", NATS_URL=nats.url) as waiting:
        async with asyncio.timeout(60):
            while not (steps := [step async for step in job_log.steps(bus.stream, subjects.client("retry-fay"))]):
                await asyncio.sleep(0.05)
        state = await job_log.start(bus.stream, await job_log.read(bus.stream, "retry-fay", steps[0].job_id))
        state = await job_log.retry(bus.stream, state, "no ink", next_at=datetime.now(UTC))
        assert "tried again: no ink (attempt 2 at " in waiting.note("↻ ")
        await job_log.finish(bus.stream, await job_log.start(bus.stream, state), "at last")
        assert waiting.line() == "at last"
