"""Jobs that were submitted for later: they wait in the log until their time has come, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bus import job_log, subjects
from bus.job_log import JobState, Step
from testbed.servers import Worker
from testbed.system import System
from tests import own_jobs
from tests.clients import Client, Frame, client
from tests.workers.submitter import Submitter, in_redis, submitter
from workers import submission
from workers.errors import TooFarAhead, TooManyJobs

JOBS = """
from workers.registry import job, JobContext

@job
def echo(content: str, job: JobContext) -> str:
    "Its content."
    return content
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {"BUS_CLIENT_WINDOW": "4", "BUS_RECONCILE_INTERVAL": "1"}
    with own_jobs.running_with(tmp_path_factory.mktemp("later"), JOBS, **settings) as system:
        system.worker("--concurrency", "1")
        yield system


def seconds_from_now(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def life(web: Submitter, job: JobState) -> list[Step]:
    return [step async for step in job_log.steps(web.bus.stream, subjects.job(job.client_id, job.job_id))]


async def test_a_job_begins_when_its_time_has_come_and_not_before(servers: System) -> None:
    """For longer than a lost job is left alone, and the later one first."""
    async with submitter(servers) as web:
        at = {"second": seconds_from_now(3.5), "first": seconds_from_now(2.5)}
        jobs = [await web.submit("ann", "echo", name, not_before=at[name]) for name in at]
        now = await web.submit("ann", "echo")
        await web.ended([now])
        assert not {job.job_id for job in jobs} & set(in_redis(servers))
        await web.ended(jobs)
        for job, begins in zip(jobs, at.values(), strict=True):
            steps = await life(web, job)
            assert [step.event.action for step in steps] == ["job_queued", "job_started", "job_result"]
            assert steps[1].at >= begins
        started = [job_id for _, job_id, action in await web.story() if action == "job_started"]
        assert started.index(jobs[1].job_id) < started.index(jobs[0].job_id)


async def test_a_job_that_is_cancelled_before_its_time_never_begins(servers: System) -> None:
    async with submitter(servers) as web:
        called_off = await web.submit("ann", "echo", not_before=seconds_from_now(1))
        done = await submission.cancel(web.bus, "ann", called_off.job_id)
        assert done.cancelled
        await web.ended([await web.submit("ann", "echo", not_before=seconds_from_now(1.2))])
        assert [step.event.action for step in await life(web, called_off)] == ["job_queued", "job_cancelled"]


async def test_jobs_whose_time_passes_while_no_worker_is_there_begin_when_one_comes(servers: System) -> None:
    (first,) = (server for server in servers.servers if isinstance(server, Worker))
    async with submitter(servers) as web:
        at = seconds_from_now(1.5)
        jobs = [await web.submit(client_id, "echo", not_before=at) for client_id in ("ann", "bob", "ann")]
        first.kill()
        servers.servers.remove(first)
        with servers.valkey.client() as redis:
            redis.flushall()
        await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
        assert not in_redis(servers)
        servers.worker("--concurrency", "1", "-n", "second@%h")
        await web.ended(jobs)
        for job in jobs:
            assert [step.event.action for step in await life(web, job)] == ["job_queued", "job_started", "job_result"]


async def test_jobs_for_later_are_open_jobs_of_their_client(servers: System) -> None:
    async with submitter(servers, client_open_jobs=3) as web:
        jobs = [await web.submit("eve", "echo", not_before=seconds_from_now(3600)) for _ in range(3)]
        with pytest.raises(TooManyJobs):
            await web.submit("eve", "echo")
        for job in jobs:
            await submission.cancel(web.bus, "eve", job.job_id)
        async with asyncio.timeout(30):
            while True:
                try:
                    job = await web.submit("eve", "echo")
                    break
                except TooManyJobs:
                    await asyncio.sleep(0.1)
        await web.ended([job])


async def test_a_time_that_has_passed_means_at_once_and_one_too_far_ahead_is_refused(servers: System) -> None:
    async with submitter(servers) as web:
        job = await web.submit("ann", "echo", not_before=seconds_from_now(-60))
        assert job.request.not_before is None
        await web.ended([job])
        before = len(await web.story())
        with pytest.raises(TooFarAhead, match="366 days from now at the latest"):
            await web.submit("ann", "echo", not_before=seconds_from_now(367 * 86_400))
        assert len(await web.story()) == before


async def test_what_is_carried_forward_keeps_its_time(servers: System) -> None:
    async with submitter(servers) as web:
        at = seconds_from_now(3600)
        job = await web.submit("ann", "echo", not_before=at)
        await job_log.carry(web.bus.stream, "ann", job.job_id)
        (_, carried) = await life(web, job)
        assert carried.carried
        assert carried.waits
        assert carried.request is not None
        assert carried.request.begins == at
        again = await job_log.read(web.bus.stream, "ann", job.job_id)
        assert again.request == job.request
        await submission.cancel(web.bus, "ann", job.job_id)


@pytest.fixture(scope="module")
def url(servers: System) -> str:
    return servers.web().ws_url


async def status(page: Client, job_id: str) -> Frame:
    await page.send({"action": "get_job", "payload": {"job_id": job_id}})
    payload: Frame = (await page.receive_until("job_status"))[-1]["payload"]
    return payload


async def test_a_delay_is_told_as_the_time_it_means(url: str) -> None:
    async with client(url, subprotocols=["bus.v1"]) as page:
        await page.send({"action": "connect"})
        before = seconds_from_now(0.5)
        await page.submit("echo", "x", delay=0.5)
        _welcome, queued, *_, result = await page.receive_until("job_result")
        assert queued["action"] == "job_queued"
        assert before <= datetime.fromisoformat(queued["not_before"]) <= seconds_from_now(0.5)
        assert datetime.fromisoformat(result["at"]) >= before
        assert (await status(page, queued["job_id"]))["not_before"] is None


async def test_a_time_in_another_zone_is_told_in_utc(url: str) -> None:
    async with client(url, subprotocols=["bus.v1"]) as page:
        await page.send({"action": "connect"})
        year = datetime.now(UTC).year
        await page.submit("echo", "x", not_before=f"{year}-12-31T23:59:59-01:00")
        _welcome, queued = await page.receive_until("job_queued")
        assert queued["not_before"] == f"{year + 1}-01-01T00:59:59.000000Z"
        assert (await status(page, queued["job_id"]))["not_before"] == queued["not_before"]
        await page.send({"action": "cancel_job", "payload": {"job_id": queued["job_id"]}})
        await page.receive_until("job_cancelled")


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"not_before": "tomorrow"}, "not_a_time"),
        ({"not_before": "2026-12-01T06:00:00"}, "not_a_time"),
        ({"not_before": "2026-12-01"}, "not_a_time"),
        ({"not_before": "9999-12-31T23:59:59-23:59"}, "not_a_time"),
        ({"not_before": "2199-12-01T06:00:00Z"}, "too_far_ahead"),
        ({"not_before": 1}, "string_type"),
        ({"delay": -1}, "greater_than_equal"),
        ({"delay": 1e9}, "less_than_equal"),
        ({"delay": "1"}, "float_type"),
        ({"delay": 1, "not_before": "2026-12-01T06:00:00Z"}, "not_before_and_delay"),
    ],
)
async def test_what_is_no_time_is_refused(url: str, asked: dict[str, object], kind: str) -> None:
    async with client(url, subprotocols=["bus.v1"]) as page:
        await page.send({"action": "connect"})
        await page.submit("echo", "x", **asked)
        *_, frame = await page.receive_until("error")
        assert [item["type"] for item in frame["payload"]] == [kind]
