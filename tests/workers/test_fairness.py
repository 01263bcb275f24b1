"""Fairness: a client's backlog waits in the log, and no other client waits behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import job_log
from testbed.servers import Worker, wait_until
from testbed.system import System
from tests import own_jobs
from tests.cli.command import busctl
from tests.clients import client
from tests.workers.bench import Bench
from tests.workers.submitter import in_redis, submitter
from workers.config import QUEUE
from workers.errors import TooManyJobs
from workers.reconcile import Reconciler
from workers.registry import discover

WINDOW = 4
LEADS = "this worker reconciles from now on"

JOBS = """
import os, time
from workers.registry import job, JobContext

@job
def short(content: str, job: JobContext) -> str:
    "A moment."
    time.sleep(0.01)
    return content

@job(queue="heavy")
def heavy(content: str, job: JobContext) -> str:
    "Wait in a queue of its own."
    return f"{content} by {os.getppid()}"

@job
def holds(content: str, job: JobContext) -> str:
    "Run until the file that the content names is there."
    while not os.path.exists(content) and not job.cancelled.wait(0.02):
        pass
    return "held"
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {"BUS_CLIENT_WINDOW": str(WINDOW), "BUS_VISIBILITY_TIMEOUT": "5"}
    with own_jobs.running_with(tmp_path_factory.mktemp("fairness"), JOBS, **settings) as system:
        yield system


class Looks:
    """A reconciler whose turns the test takes."""

    def __init__(self, bench: Bench) -> None:
        self._reconciler = Reconciler(bench.celery, bench.bus, discover(), bench.settings)

    def take_turns(self, condition: object, what: str) -> None:
        def done() -> bool:
            self._reconciler._take_turn()
            return condition()  # type: ignore[operator,no-any-return]

        wait_until(done, what)

    def end(self) -> None:
        self._reconciler.stop()
        self._reconciler.run()


async def test_only_the_first_jobs_of_a_client_go_to_redis_and_each_end_lets_one_in(servers: System) -> None:
    async with submitter(servers, client_window=WINDOW) as web:
        jobs = [await web.submit("ann") for _ in range(10)]
        bob = await web.submit("bob")
        ids = [job.job_id for job in jobs]
        await asyncio.to_thread(wait_until, lambda: len(in_redis(servers)) == WINDOW + 1, "tasks in Redis")
        assert in_redis(servers) == [*ids[:WINDOW], bob.job_id]
        settings = web.settings.model_copy(update={"reconcile_interval": 0.2})
        with contextlib.closing(Bench(servers, settings)) as bench:
            looks = Looks(bench)
            for _ in range(2):
                looks.take_turns(lambda: True, "turn")
            await job_log.cancel(web.bus.stream, "ann", ids[8])  # one that waits
            await job_log.cancel(web.bus.stream, "ann", ids[1])  # one that is in Redis
            await asyncio.to_thread(looks.take_turns, lambda: ids[WINDOW] in in_redis(servers), "next job")
            assert in_redis(servers) == [*ids[:WINDOW], bob.job_id, ids[WINDOW]]

            with servers.valkey.client() as redis:
                redis.flushall()
            lost = {ids[0], *ids[2 : WINDOW + 1], bob.job_id}
            await asyncio.to_thread(looks.take_turns, lambda: set(in_redis(servers)) == lost, "tasks of what was lost")
            requeued = [job_id for _, job_id, action in await web.story() if action == "job_requeued"]
            assert sorted(requeued) == sorted(lost)  # those that wait in the log are not lost
            looks.end()
        servers.worker("--concurrency", "2")
        await web.ended([*jobs[:1], *jobs[2:8], jobs[9], bob])


async def test_the_first_job_of_another_client_waits_for_a_window_and_not_for_a_backlog(servers: System) -> None:
    async with submitter(servers, client_window=WINDOW) as web:
        backlog = await web.submit_many("ann", 200)
        bob = await web.submit("bob")
        story = await web.ended([*backlog, bob])
    queued, started = (story.index(("bob", bob.job_id, action)) for action in ("job_queued", "job_started"))
    before = [job_id for client_id, job_id, action in story[queued:started] if action == "job_started"]
    # A window, and those that began while it was on its way to Redis, which on a busy machine takes a moment.
    assert len(before) < len(backlog) / 4
    starts = [job_id for client_id, job_id, action in story if action == "job_started"]
    assert len(starts) == len(set(starts))


def leader(*workers: Worker) -> Worker:
    """The worker that reconciles; of several that did, the last."""
    return max(
        (worker for worker in workers if LEADS in worker.output()), key=lambda worker: worker.output().count(LEADS)
    )


async def test_a_backlog_goes_on_when_the_worker_that_reconciles_is_killed(servers: System) -> None:
    first = next(server for server in servers.servers if isinstance(server, Worker))
    second = servers.worker("--concurrency", "2", "-n", "second@%h")
    async with submitter(servers, client_window=WINDOW) as web:
        backlog = await web.submit_many("ann", 300)
        assert LEADS in first.output()
        assert LEADS not in second.output()  # so far it read neither the log nor Redis
        first.kill()
        story = await web.ended(backlog, 90)
    await asyncio.to_thread(wait_until, lambda: LEADS in second.output(), "another worker that reconciles")
    ends = [job_id for _, job_id, action in story if action == "job_result"]
    assert len(ends) == len(set(ends))


async def test_a_job_waits_in_the_queue_that_it_names_for_a_worker_that_takes_from_it(servers: System) -> None:
    for server in [server for server in servers.servers if isinstance(server, Worker)]:
        server.stop()
        servers.servers.remove(server)
    servers.worker("--concurrency", "1", "-n", "ordinary@%h", "-Q", QUEUE)
    async with submitter(servers, client_window=WINDOW) as web:
        heavy = await web.submit_many("ann", WINDOW + 2, "heavy")
        await web.ended([await web.submit("ann")])  # jobs of one queue do not wait for those of another
        assert in_redis(servers, "heavy") == [job.job_id for job in heavy[:WINDOW]]
        special = servers.worker("--concurrency", "1", "-n", "special@%h", "-Q", "heavy")
        await web.ended(heavy)
        texts = {(await job_log.read(web.bus.stream, "ann", job.job_id)).last.payload for job in heavy}
    assert texts == {f"x by {special.pid}"}


async def test_a_client_with_too_many_open_jobs_is_refused_and_nothing_is_stored(
    servers: System, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    async with submitter(servers, client_window=WINDOW, client_open_jobs=6) as web:
        held = [await web.submit("cli", "holds", str(release), key=str(number)) for number in range(6)]
        before = len(await web.story())
        with pytest.raises(TooManyJobs, match="6 jobs of this client have not ended"):
            await web.submit("cli")
        said = await asyncio.to_thread(busctl, "submit", "short", "x", **servers.env, BUS_CLIENT_OPEN_JOBS="6")
        assert said.returncode == 1
        assert "error: 6 jobs of this client have not ended" in said.stderr
        assert (await web.submit("cli", key="3")).job_id == held[3].job_id
        assert len([one for one in (await web.story())[before:] if one[2] == "job_queued"]) == 0
        await web.submit("bob")
        release.touch()
        await web.ended(held)
        await web.submit("cli")


async def test_a_browser_with_too_many_open_jobs_is_told_so(servers: System) -> None:
    web = servers.web(BUS_CLIENT_OPEN_JOBS="2")
    async with client(f"ws://127.0.0.1:{web.port}/ws/system") as browser:
        for _ in range(3):
            await browser.submit("holds", "/never")
        frames = await browser.receive_until("error")
    assert [frame["action"] for frame in frames].count("job_queued") <= 2
    assert frames[-1]["payload"][0]["type"] == "too_many_jobs"
    assert "2 jobs of this client" in frames[-1]["payload"][0]["msg"]
