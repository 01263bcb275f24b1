"""What clients see when something fails: each test is one row of the failure table in docs/explanation/delivery.md."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import nats as nats_py
import pytest

from bus import Bus, Settings, SystemNotification
from testbed.planted import CONTENT, SECRET
from testbed.raw import SMALL_SEGMENT, SMALL_WINDOW, raw
from testbed.servers import Web, Worker, wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.clients import client
from tests.e2e import patient
from tests.e2e.patient import has_returned, let_end
from tests.e2e.watcher import Watcher
from tests.sse import Follower, ask
from workers.config import create_celery

MISBEHAVING = """
import time
from workers.registry import job, JobContext, Retry

@job
def unlucky(content: str, job: JobContext) -> str:
    if job.attempt == 1:
        raise Retry(after=3600, reason="there is no ink")
    if job.attempt == 2:
        raise Retry(after=0, reason="there is no paper")
    return "at last"

@job(time_limit=1)
def hangs(content: str, job: JobContext) -> str:
    time.sleep(600)
    return "never"

@job
def raises(content: str, job: JobContext) -> str:
    raise LookupError("no such thing")

@job
def rubbish(content: str, job: JobContext) -> str:
    return {"not": "text"}

@job
def huge(content: str, job: JobContext) -> str:
    return "x" * 10_000_000
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Servers that each test breaks and leaves whole, with quick healing, and jobs that are patient or misbehave."""
    directory = tmp_path_factory.mktemp("system")
    with running(
        directory,
        BUS_SECRET=SECRET,
        BUS_RECONCILE_INTERVAL="1",
        BUS_VISIBILITY_TIMEOUT="5",
        PYTHONPATH=own_jobs.install(directory, patient.JOB + MISBEHAVING),
    ) as system:
        yield system


@pytest.fixture(scope="module")
def first_worker(system: System) -> Worker:
    return system.worker("--concurrency", "1")


@pytest.fixture
def worker(first_worker: Worker) -> Worker:
    """The system's worker, which runs one job at a time; started again if a test has ended it."""
    first_worker.revive()
    return first_worker


@pytest.fixture(scope="module")
def first_web(system: System) -> Web:
    return system.web()


@pytest.fixture(scope="module")
def second_web(system: System) -> Web:
    return system.web()


@pytest.fixture
def web(first_web: Web) -> Web:
    """A web process of the system; started again if a test has ended it."""
    first_web.revive()
    return first_web


def children(worker: Worker) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


async def broadcast(system: System, *texts: str) -> None:
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        for text in texts:
            await bus.broadcast_event(SystemNotification(payload=text))


@pytest.mark.parametrize("victim", ["child", "worker"])
async def test_a_worker_killed_in_the_middle_of_a_job(system: System, worker: Worker, web: Web, victim: str) -> None:
    eavesdropper = await nats_py.connect(system.nats.url)
    await eavesdropper.subscribe(">")
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("patient", victim)
        await watcher.see_until(connected, "job_started")
        if victim == "worker":
            worker.kill()
            await asyncio.to_thread(worker.start)
        else:
            for pid in children(worker):
                os.kill(pid, signal.SIGKILL)
        let_end(system, victim)
        await watcher.see_until(connected, "job_result")
        # A task that comes back from Redis before anybody has missed its worker begins without more words.
        retrying = [event for event in watcher.events if event["action"] == "job_retrying"]
        assert [event["reason"] for event in retrying] == ["its worker was lost"] * len(retrying)
        others = [event for event in watcher.events if event not in retrying]
        assert [event["action"] for event in others] == ["job_queued", "job_started", "job_started", "job_result"]
        assert others[2]["attempt"] == 2
        assert "instance" not in others[2]
    await eavesdropper.close()


async def test_a_worker_killed_while_its_job_waits_to_be_tried_again(worker: Worker, web: Web) -> None:
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("unlucky", CONTENT)
        await watcher.see_until(connected, "job_retrying")
        for pid in children(worker):
            os.kill(pid, signal.SIGKILL)
        await watcher.see_until(connected, "job_result")
    first, *_, last = (event for event in watcher.events if event["action"] == "job_retrying")
    assert (first["attempt"], first["reason"], "next_at" in first) == (1, "there is no ink", True)
    assert (last["attempt"], last["reason"], "next_at" in last) == (2, "there is no paper", True)
    assert watcher.events[-1]["attempt"] == 3
    assert watcher.one_end_each()


@pytest.mark.usefixtures("worker")
async def test_an_operator_ends_jobs_by_celerys_own_means(system: System, web: Web) -> None:
    celery = create_celery(Settings.load(redis_url=system.valkey.url))
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        for _ in range(2):
            await connected.submit("patient", "ended by an operator")
        await watcher.see_until(connected, "job_queued", 2)  # between which the first may have started already
        await watcher.see_until(connected, "job_started")
        running, waiting = (event["job_id"] for event in watcher.events if event["action"] == "job_queued")
        await asyncio.to_thread(celery.control.revoke, waiting)
        await watcher.see_until(connected, "job_cancelled", deadline=10)
        await asyncio.to_thread(celery.control.terminate, running, signal="SIGKILL")
        await watcher.see_until(connected, "job_cancelled", 2, deadline=10)
        await connected.submit("raises", "x")
        await watcher.see_until(connected, "job_failed")
    celery.close()
    assert watcher.one_end_each()


@pytest.mark.parametrize("fault", ["stopped", "restarted", "wiped", "frozen"])
@pytest.mark.usefixtures("worker")
async def test_redis_fails(system: System, web: Web, fault: str) -> None:
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        if fault == "wiped":
            for _ in range(10):
                await connected.submit("default", CONTENT)
            with system.valkey.client() as redis:
                redis.flushall()
        else:
            _ = system.valkey.pause() if fault == "frozen" else system.valkey.stop()
            for _ in range(10):
                await connected.submit("default", CONTENT)
        await watcher.see_until(connected, "job_queued", 10)
        async with client(web.ws_url) as other:
            await other.ping(5)
        if fault == "frozen":
            system.valkey.resume()
        elif fault != "wiped":
            await asyncio.to_thread(system.valkey.start)
        async with asyncio.timeout(100):
            while not watcher.one_end_each():
                await watcher.see(connected, 90)


@pytest.mark.usefixtures("worker")
async def test_nats_is_stopped_for_a_while(system: System, web: Web) -> None:
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("patient", "ends meanwhile")
        await watcher.see_until(connected, "job_started")
        system.nats.stop()
        await connected.submit("default", "refused", ref="r")
        refusal = await watcher.see(connected, 10)
        assert (refusal["action"], refusal["payload"][0]["type"]) == ("error", "bus_unavailable")
        let_end(system, "ends meanwhile")
        await asyncio.to_thread(wait_until, lambda: has_returned(system, "ends meanwhile"), "end of the job's function")
        await asyncio.to_thread(system.nats.start)
        await watcher.see_until(connected, "job_result")
        await connected.submit("default", "accepted again")
        await watcher.see_until(connected, "job_result", 2)
    assert watcher.results() == ["as long as it took", "✅ Processed: ACCEPTED AGAIN"]
    assert watcher.one_end_each()


@pytest.mark.parametrize("end", ["killed", "terminated"])
@pytest.mark.usefixtures("worker")
async def test_a_web_process_ends(system: System, web: Web, second_web: Web, end: str) -> None:
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("patient", end)
        await watcher.see_until(connected, "job_queued")
        if end == "killed":
            web.kill()
        else:
            assert await asyncio.to_thread(web.stop) == 0
        async with asyncio.timeout(20):
            await connected.socket.wait_closed()
        assert connected.socket.close_code == (1006 if end == "killed" else 1012)
    let_end(system, end)
    await broadcast(system, "meanwhile")
    async with watcher.connect(second_web) as connected:
        await watcher.see_until(connected, "job_result")
        await watcher.see_until(connected, "system_notification")
    assert watcher.one_end_each()


@pytest.mark.parametrize("end", ["killed", "stopped"])
@pytest.mark.usefixtures("worker")
async def test_a_web_process_ends_under_a_reader_of_events(system: System, web: Web, second_web: Web, end: str) -> None:
    follower, content = Follower(), f"events {end}"
    async with follower.reading(web) as reader:
        body = {"task_type": "patient", "content": content}
        assert (await ask(web, "POST", "/api/jobs", body, **follower.headers)).status == 202
        await follower.see(reader, "job_progress")
        if end == "killed":
            web.kill()
        else:
            assert await asyncio.to_thread(web.stop) == 0
        await follower.see(reader)
        assert (follower.closed and follower.closed["code"]) == (None if end == "killed" else 1012)
    let_end(system, content)
    await broadcast(system, "meanwhile")
    async with follower.reading(second_web) as reader:
        await follower.see_until(reader, "job_result", 1)
        await follower.see_until(reader, "system_notification", 1)
        await broadcast(system, "live")
        await follower.see_until(reader, "system_notification", 2)
    seen = [event["action"] for event in follower.events]
    assert sorted(seen) == sorted(["job_queued", "job_started", "job_result", *["system_notification"] * 2])


@pytest.mark.usefixtures("worker")
async def test_a_client_is_offline_for_long(system: System, web: Web) -> None:
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        for number in range(5):
            await connected.submit("default", str(number))
        await watcher.see_until(connected, "job_queued", 5)
    await broadcast(system, *map(str, range(400)))
    async with watcher.connect(web) as connected:
        await watcher.see_until(connected, "system_notification", 400)
        await watcher.see_until(connected, "job_result", 5)
    assert watcher.one_end_each()
    told = [event["payload"] for event in watcher.events if event["action"] == "system_notification"]
    assert told == [str(number) for number in range(400)]


async def test_a_client_is_offline_past_retention(fresh: System) -> None:
    web = await asyncio.to_thread(fresh.web, BUS_SECRET=SECRET, BUS_STREAM_MAX_AGE="2")
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("default", CONTENT)
        await watcher.see_until(connected, "job_queued")
    recovered = True
    async with asyncio.timeout(60):
        while recovered:
            async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
                asked = {"resume": watcher.resume, "cursors": {"client": 0}}
                await connected.send({"action": "connect", "payload": asked})
                recovered = (await connected.receive())["payload"]["recovered"]
            await asyncio.sleep(0.2)


async def test_a_slow_client_among_many_is_closed_alone(system: System, web: Web) -> None:
    text = "x" * 100_000
    closed = web.output().count("closing a connection")
    async with (
        raw(web.port, window=SMALL_WINDOW, segment=SMALL_SEGMENT) as slow,
        client(web.ws_url, max_queue=None) as quick,
    ):
        await slow.ping()
        slow.stall()
        for _ in range(40):  # 40 MB at most; the operating system's own buffers take some of it
            await broadcast(system, *[text] * 10)
            for _ in range(10):
                assert (await quick.receive(30))["payload"] == text
            if web.output().count("closing a connection") > closed:
                break
        assert web.output().count("closing a connection") == closed + 1
        await quick.ping()


@pytest.mark.usefixtures("worker")
async def test_a_job_misbehaves(web: Web) -> None:
    watcher = Watcher()
    expected = {
        "raises": "LookupError: no such thing",
        "hangs": "it took longer than 1 s",
        "rubbish": "rubbish returned dict, not text",
        "huge": "the result has 10000000 bytes; at most 262144 are allowed",
    }
    async with watcher.connect(web) as connected:
        for name in expected:
            await connected.submit(name, CONTENT, ref=name)
        await watcher.see_until(connected, "job_failed", 4)
    reasons = {event["ref"]: event["payload"] for event in watcher.events if event["action"] == "job_failed"}
    assert reasons == {name: f"❌ Job failed: {reason}" for name, reason in expected.items()}


@pytest.mark.usefixtures("worker")
async def test_garbage_on_the_bus(system: System, web: Web) -> None:
    watcher = Watcher()
    nats = await nats_py.connect(system.nats.url)
    async with watcher.connect(web) as connected:
        for garbage in (
            b"",
            b"\xff",
            b"[]",
            b'{"action":"job_result","payload":1}',
            json.dumps({"action": "x"}).encode(),
        ):
            await nats.jetstream().publish("bus.group.system", garbage)
            await nats.jetstream().publish("bus.client.somebody.job.something", garbage)
            await nats.publish("live.group.system", garbage)
            await nats.publish("instance.something", garbage)
        await connected.submit("default", "undisturbed")
        await watcher.see_until(connected, "job_result")
    await nats.close()
    assert watcher.results() == ["✅ Processed: UNDISTURBED"]
    assert "dropped a bus message that is not an event" in web.output()


@pytest.mark.usefixtures("worker")
async def test_two_workers_run_the_same_job(system: System, web: Web) -> None:
    other = await asyncio.to_thread(system.worker, "--concurrency", "1")
    celery = create_celery(Settings.load(redis_url=system.valkey.url, visibility_timeout=5))
    nats = await nats_py.connect(system.nats.url)
    clients: asyncio.Queue[str] = asyncio.Queue()

    async def note(message: Any) -> None:
        await clients.put(message.subject.split(".")[2])

    await nats.subscribe("live.client.*.job.*", cb=note)
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("patient", "wanted by two")
        await watcher.see_until(connected, "job_started")
        job_id = watcher.events[0]["job_id"]
        client_id = await clients.get()
        for _ in range(4):
            await asyncio.to_thread(celery.send_task, "jobs.patient", (client_id, job_id), task_id=job_id)
        with system.valkey.client() as redis:
            await asyncio.to_thread(wait_until, lambda: not redis.exists("jobs"), "taken tasks")
        let_end(system, "wanted by two")
        await watcher.see_until(connected, "job_result")
    await nats.close()
    with system.valkey.client() as redis:
        await asyncio.to_thread(
            wait_until, lambda: not redis.exists("jobs") and not redis.exists("unacked"), "an empty Redis"
        )
    async with watcher.connect(web) as connected:
        await connected.ping()
    assert [event["action"] for event in watcher.events] == ["job_queued", "job_started", "job_result"]
    other.kill()


async def test_a_job_is_over_the_time_limit_of_its_worker(system: System, worker: Worker, web: Web) -> None:
    worker.kill()
    await asyncio.to_thread(system.worker, "--concurrency", "1", "--soft-time-limit", "1")
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("patient", "never")
        await watcher.see_until(connected, "job_failed", deadline=10)
    assert watcher.events[-1]["payload"] == "❌ Job failed: it took longer than 1 s, the time limit of its worker"
    assert watcher.one_end_each()
