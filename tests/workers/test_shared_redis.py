"""Two systems and one Redis database: each has a name there, or the second one notices and stays away."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing

import nats
import pytest

from bus import Settings, SyncBus
from testbed.servers import BIN, SERVE, Worker, wait_until
from testbed.system import System, running
from tests.cli.command import busctl
from tests.http import get
from tests.workers.test_reconcile import QUICK, Bench
from workers.config import QUEUE, create_celery
from workers.errors import ForeignRedis
from workers.redis_owner import OWNER, Identity, hand_over
from workers.task_message import send

SECRET = "hunter2-of-a-client"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with a worker, whose claim on its Redis is renewed."""
    with running(tmp_path_factory.mktemp("first")) as system:
        system.worker("--concurrency", "1", **QUICK)
        yield system


@pytest.fixture(scope="module")
def bench(first: System) -> Iterator[Bench]:
    with closing(Bench(first)) as bench:
        yield bench


@pytest.fixture(scope="module")
def second(first: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Another system, with a NATS of its own, on the Redis of the first."""
    system = System(tmp_path_factory.mktemp("second"), REDIS_URL=first.valkey.url)
    system.servers.append(system.nats)
    try:
        system.nats.start()
        with SyncBus(Settings.load(nats_url=system.nats.url), update_stream=True) as bus:
            bus.call(lambda bus: bus.stream.state())
        yield system
    finally:
        system.stop()


@pytest.mark.parametrize(
    "command", [(*SERVE, "--bind", "127.0.0.1:0"), ("celery", "-A", "workers", "worker", "--concurrency", "1")]
)
def test_a_process_of_another_system_refuses_to_start(second: System, command: tuple[str, ...]) -> None:
    program, *arguments = command
    ended = subprocess.run(
        [BIN / program, *arguments],
        env=os.environ | second.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    assert "REDIS_URL leads to a database of another system" in ended.stdout
    assert "BUS_REDIS_PREFIX" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_submit_says_that_the_redis_is_not_its_own_and_puts_nothing_there(first: System, second: System) -> None:
    submitted = busctl("submit", "default", SECRET, **second.env)
    assert submitted.returncode == 0
    assert submitted.stdout.strip()
    assert "BUS_REDIS_PREFIX" in submitted.stderr
    with first.valkey.client() as redis:
        assert redis.llen(QUEUE) == 0
    assert first.servers[-1].output().count("without a job") == 0


def test_with_a_name_each_they_share_it(bench: Bench, second: System) -> None:
    named = {"BUS_REDIS_PREFIX": "second", **QUICK}
    second.worker("--concurrency", "1", **named)
    web = second.web(**named)
    assert get(f"{web.url}/readyz")[0] == 200
    done = busctl("submit", "default", "hi", "--wait", **second.env, **named)
    assert (done.returncode, done.stdout, done.stderr) == (0, "✅ Processed: HI\n", "")
    jobs = [bench.submit() for _ in range(10)]
    bench.all_ended(*jobs)
    for job in jobs:
        assert bench.life(job) == ["job_queued", "job_started", "job_result"]
    with bench.system.valkey.client() as redis:
        assert {key.decode().partition(":")[0] for key in redis.keys("second:*")} == {"second"}
        assert redis.get("second:" + OWNER) != redis.get(OWNER)
        known = ("busctl.", "_kombu.", "unacked", "second:")
        keys = redis.keys()
        assert [key for key in keys if not key.decode().startswith(known) and b"pidbox" not in key] == []


def test_a_backlog_under_a_name_is_left_alone(fresh: System) -> None:
    settings = Settings.load(
        nats_url=fresh.nats.url, redis_url=fresh.valkey.url, redis_prefix="named", reconcile_interval=0.01
    )
    with closing(Bench(fresh, settings)) as bench, fresh.valkey.client() as redis:
        bench.submit()
        redis.hset("named:unacked", "a-tag", json.dumps([json.loads(redis.rpop(f"named:{QUEUE}")), "", QUEUE]))
        bench.submit()
        reconciler = bench.reconciler()
        assert [reconciler.look() for _ in range(5)] == [0] * 5
        redis.delete("named:unacked")
        wait_until(lambda: reconciler.look() == 1, "healed job")
        assert redis.llen(f"named:{QUEUE}") == 2


@pytest.mark.parametrize("of", ["another system's job", "another application", "nobody knows"])
def test_a_task_of_somebody_else_is_left_there(bench: Bench, of: str) -> None:
    worker = bench.system.servers[-1]
    assert isinstance(worker, Worker)
    name = "others.task" if of == "another application" else "jobs.default"
    headers = {"system": "another epoch"} if of == "another system's job" else {}
    bench.celery.send_task(name, args=("client", "no-such-job", SECRET), task_id="foreign", headers=headers)
    with bench.system.valkey.client() as redis:
        try:
            wait_until(lambda: redis.hlen("unacked") == 1, "task that was looked at")
            job = bench.submit()  # the worker's one place is free for it
            bench.all_ended(job)
            wait_until(lambda: redis.hlen("unacked") == 1, "acknowledgement of the job, which follows its end")
            [entry] = redis.hvals("unacked")
            assert json.loads(entry)[0]["headers"]["id"] == "foreign"
            assert "dropped a task" not in worker.output()
            [tag] = redis.zrange("unacked_index", 0, -1)
            redis.zadd("unacked_index", {tag: 0})  # as when the visibility timeout has passed
            wait_until(lambda: (redis.zscore("unacked_index", tag) or 0) > 1, "task that is given out again")
        finally:
            redis.delete("unacked", "unacked_index")
    assert SECRET not in worker.output()


def test_a_task_of_ours_whose_job_is_gone_is_dropped(bench: Bench) -> None:
    worker = bench.system.servers[-1]
    epoch = bench.bus.call(lambda bus: bus.stream.state()).epoch
    bench.celery.send_task("jobs.default", args=("client", "no-such-job"), task_id="x", headers={"system": epoch})
    wait_until(lambda: "dropped a task whose job is gone" in worker.output(), "dropped task")
    with bench.system.valkey.client() as redis:
        wait_until(lambda: not redis.exists("unacked", QUEUE), "no task in Redis")


def test_a_redis_that_is_nobodys_or_was_ours_is_claimed(fresh: System) -> None:
    with closing(Bench(fresh)) as bench:
        jobs = [bench.store()]
    with fresh.valkey.client() as redis, create_celery(Settings.load(redis_url=fresh.valkey.url)) as celery:
        send(celery, jobs, Identity("a"))
        assert redis.get(OWNER) == b"a"
        with pytest.raises(ForeignRedis, match="BUS_REDIS_PREFIX"):
            send(celery, jobs, Identity("b"))
        assert redis.llen(QUEUE) == 1
        send(celery, jobs, Identity("a").now("b"))  # the event stream was made anew
        assert redis.get(OWNER) == b"b"
        redis.flushall()
        send(celery, jobs, Identity("c"))
        assert (redis.get(OWNER), redis.llen(QUEUE)) == (b"c", 1)
        redis.pexpire(OWNER, 1)  # nobody renewed it
        wait_until(lambda: not redis.exists(OWNER), "no claim")
        with celery.connection_for_write() as connection:
            hand_over(connection, Identity("d"))
        assert redis.get(OWNER) == b"d"
        assert 10_000 < redis.pttl(OWNER) <= 20_000


def test_a_stream_made_anew_is_still_the_same_system(fresh: System) -> None:
    worker = fresh.worker("--concurrency", "1", **QUICK)
    web = fresh.web()
    with fresh.valkey.client() as redis, closing(Bench(fresh)) as bench:
        before = redis.get(OWNER)
        assert before is not None

        async def make_anew() -> None:
            client = await nats.connect(fresh.nats.url)
            await client.request("$JS.API.STREAM.DELETE.EVENTS", timeout=10)
            await client.close()

        asyncio.run(make_anew())
        with SyncBus(bench.settings, update_stream=True) as bus:
            epoch = bus.call(lambda bus: bus.stream.state()).epoch
        assert epoch.encode() != before
        wait_until(lambda: redis.get(OWNER) == epoch.encode(), "claim by the new epoch")
        wait_until(lambda: get(f"{web.url}/readyz")[0] == 200, "200 from /readyz")
        job = bench.submit()
        bench.all_ended(job)
    assert worker.process is not None
    assert worker.process.poll() is None
