"""What clients see when something fails: each test is one row of the failure table in docs/explanation/delivery.md."""

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest

from bus import Settings, SyncBus, SystemNotification
from testbed.planted import CONTENT, SECRET
from testbed.servers import Web, Worker, wait_until
from testbed.system import System, running
from tests.clients import Client, Frame, client
from workers.config import create_celery

ENDS = {"job_result", "job_failed", "job_cancelled"}
JOBS = """
import time
from workers.registry import job, JobContext

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


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[System]:
    """A system for one test to break, with quick healing and jobs that misbehave."""
    package = tmp_path / "package"
    (package / "misbehaving-1.0.dist-info").mkdir(parents=True)
    (package / "misbehaving.py").write_text(JOBS)
    info = package / "misbehaving-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\nmisbehaving = misbehaving\n")
    with running(
        tmp_path,
        BUS_SECRET=SECRET,
        BUS_RECONCILE_INTERVAL="1",
        BUS_VISIBILITY_TIMEOUT="5",
        PYTHONPATH=str(package),
    ) as system:
        yield system


class Watcher:
    """A bus.v1 client that keeps every stored event it saw, and checks that none came twice or out of order."""

    def __init__(self) -> None:
        self.events: list[Frame] = []
        self.resume: str | None = None
        self.cursors: dict[str, int] = {"client": 0, "system": 0}

    @asynccontextmanager
    async def connect(self, web: Web) -> AsyncIterator[Client]:
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            payload: dict[str, Any] = {"cursors": self.cursors}
            if self.resume is not None:
                payload["resume"] = self.resume
            await connected.send({"action": "connect", "payload": payload})
            welcome = await connected.receive(30)
            assert welcome["action"] == "welcome", welcome
            assert welcome["payload"]["recovered"] is True
            self.resume = welcome["payload"]["resume"]
            yield connected

    async def see(self, connected: Client, deadline: float = 30.0) -> Frame:
        """The next event."""
        while True:
            frame = await connected.receive(deadline)
            if "seq" not in frame:
                if frame["action"] == "error":
                    return frame
                continue
            scope = frame.get("group", "client")
            assert frame["seq"] > self.cursors[scope], "an event came twice or out of order"
            self.cursors[scope] = frame["seq"]
            self.events.append(frame)
            return frame

    async def see_until(self, connected: Client, action: str, count: int = 1, deadline: float = 60.0) -> None:
        """Every event until `count` of that action were seen, over all connections."""
        while sum(event["action"] == action for event in self.events) < count:
            await self.see(connected, deadline)

    def results(self) -> list[str]:
        return [event["payload"] for event in self.events if event["action"] == "job_result"]

    def one_end_each(self) -> bool:
        ends = Counter(event["job_id"] for event in self.events if event["action"] in ENDS)
        queued = {event["job_id"] for event in self.events if event["action"] == "job_queued"}
        return ends == dict.fromkeys(queued, 1)


def children(worker: Worker) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


async def broadcast(system: System, *texts: str) -> None:
    def send() -> None:
        with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
            for text in texts:
                bus.broadcast_event(SystemNotification(payload=text))

    await asyncio.to_thread(send)


@pytest.mark.parametrize("victim", ["child", "worker"])
async def test_a_worker_killed_in_the_middle_of_a_job(broken: System, victim: str) -> None:
    eavesdropper = await nats_py.connect(broken.nats.url)
    await eavesdropper.subscribe(">")
    worker = broken.worker("--concurrency", "1", BUS_JOB_DELAY_SCALE="1")
    watcher = Watcher()
    async with watcher.connect(broken.web()) as connected:
        await connected.submit("default", CONTENT)
        await watcher.see_until(connected, "job_started")
        if victim == "worker":
            worker.kill()
            await asyncio.to_thread(worker.start)
        else:
            for pid in children(worker):
                os.kill(pid, signal.SIGKILL)
        await watcher.see_until(connected, "job_result")
        assert [event["action"] for event in watcher.events] == [
            "job_queued",
            "job_started",
            "job_started",
            "job_result",
        ]
        assert watcher.events[2]["attempt"] == 2
        assert "instance" not in watcher.events[2]
    await eavesdropper.close()


async def test_an_operator_ends_jobs_by_celerys_own_means(broken: System) -> None:
    broken.worker("--concurrency", "1", BUS_JOB_DELAY_SCALE="20")
    celery = create_celery(Settings.load(redis_url=broken.valkey.url))
    watcher = Watcher()
    async with watcher.connect(broken.web()) as connected:
        for _ in range(2):
            await connected.submit("default", "x")
        await watcher.see_until(connected, "job_started")
        await asyncio.to_thread(celery.control.revoke, watcher.events[1]["job_id"])
        await watcher.see_until(connected, "job_cancelled", deadline=10)
        await asyncio.to_thread(celery.control.terminate, watcher.events[0]["job_id"], signal="SIGKILL")
        await watcher.see_until(connected, "job_cancelled", 2, deadline=10)
        await connected.submit("raises", "x")
        await watcher.see_until(connected, "job_failed")
    celery.close()
    assert watcher.one_end_each()


async def test_a_job_is_over_the_time_limit_of_its_worker(broken: System) -> None:
    broken.worker("--concurrency", "1", "--soft-time-limit", "1", BUS_JOB_DELAY_SCALE="20")
    watcher = Watcher()
    async with watcher.connect(broken.web()) as connected:
        await connected.submit("default", "x")
        await watcher.see_until(connected, "job_failed", deadline=10)
    assert watcher.events[-1]["payload"] == "❌ Job failed: it took longer than 1 s, the time limit of its worker"
    assert watcher.one_end_each()


@pytest.mark.parametrize("fault", ["stopped", "restarted", "wiped", "frozen"])
async def test_redis_fails(broken: System, fault: str) -> None:
    broken.worker()
    web = broken.web()
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        if fault == "wiped":
            for _ in range(10):
                await connected.submit("default", CONTENT)
            with broken.valkey.client() as redis:
                redis.flushall()
        else:
            _ = broken.valkey.pause() if fault == "frozen" else broken.valkey.stop()
            for _ in range(10):
                await connected.submit("default", CONTENT)
        await watcher.see_until(connected, "job_queued", 10)
        async with client(web.ws_url) as other:
            await other.ping(5)
        if fault == "frozen":
            broken.valkey.resume()
        elif fault != "wiped":
            await asyncio.to_thread(broken.valkey.start)
        async with asyncio.timeout(100):
            while not watcher.one_end_each():
                await watcher.see(connected, 90)


async def test_nats_is_stopped_for_a_while(broken: System) -> None:
    broken.worker(BUS_JOB_DELAY_SCALE="1")
    web = broken.web()
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("default", "finishes meanwhile")
        await watcher.see_until(connected, "job_started")
        broken.nats.stop()
        await connected.submit("default", "refused", ref="r")
        refusal = await watcher.see(connected, 10)
        assert (refusal["action"], refusal["payload"][0]["type"]) == ("error", "bus_unavailable")
        await asyncio.sleep(3)  # long enough for the job to end while there is no NATS; no event can tell
        await asyncio.to_thread(broken.nats.start)
        await watcher.see_until(connected, "job_result")
        await connected.submit("default", "accepted again")
        await watcher.see_until(connected, "job_result", 2)
    assert watcher.results() == ["✅ Processed: FINISHES MEANWHILE", "✅ Processed: ACCEPTED AGAIN"]
    assert watcher.one_end_each()


@pytest.mark.parametrize("end", ["killed", "terminated"])
async def test_a_web_process_ends(broken: System, end: str) -> None:
    broken.worker(BUS_JOB_DELAY_SCALE="0.5")
    first, second = broken.web(), broken.web()
    watcher = Watcher()
    async with watcher.connect(first) as connected:
        await connected.submit("default", CONTENT)
        await watcher.see_until(connected, "job_queued")
        if end == "killed":
            first.kill()
        else:
            assert await asyncio.to_thread(first.stop) == 0
        async with asyncio.timeout(20):
            await connected.socket.wait_closed()
        assert connected.socket.close_code == (1006 if end == "killed" else 1012)
    await broadcast(broken, "meanwhile")
    async with watcher.connect(second) as connected:
        await watcher.see_until(connected, "job_result")
        await watcher.see_until(connected, "system_notification")
    assert watcher.one_end_each()


async def test_a_client_is_offline_for_long(broken: System) -> None:
    broken.worker()
    web = broken.web()
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        for number in range(5):
            await connected.submit("default", str(number))
        await watcher.see_until(connected, "job_queued", 5)
    await broadcast(broken, *map(str, range(400)))
    async with watcher.connect(web) as connected:
        await watcher.see_until(connected, "system_notification", 400)
        await watcher.see_until(connected, "job_result", 5)
    assert watcher.one_end_each()
    told = [event["payload"] for event in watcher.events if event["action"] == "system_notification"]
    assert told == [str(number) for number in range(400)]


async def test_a_client_is_offline_past_retention(broken: System) -> None:
    broken.settings["BUS_STREAM_MAX_AGE"] = "2"
    broken.worker()
    web = broken.web()
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


async def test_a_slow_client_among_many_is_closed_alone(broken: System) -> None:
    web = broken.web()
    text = "x" * 10_000
    async with client(web.ws_url, max_queue=1) as slow, client(web.ws_url, max_queue=None) as quick:
        await slow.ping()
        slow.socket.transport.pause_reading()
        for _ in range(150):  # 30 MB at most; the operating system's own buffers take some of it
            await broadcast(broken, *[text] * 20)
            for _ in range(20):
                assert (await quick.receive(30))["payload"] == text
            if "closing a connection" in web.output():
                break
        assert web.output().count("closing a connection") == 1
        await quick.ping()


async def test_a_job_misbehaves(broken: System) -> None:
    broken.worker()
    watcher = Watcher()
    expected = {
        "raises": "LookupError: no such thing",
        "hangs": "it took longer than 1 s",
        "rubbish": "rubbish returned dict, not text",
        "huge": "the result has 10000000 bytes; at most 262144 are allowed",
    }
    async with watcher.connect(broken.web()) as connected:
        for name in expected:
            await connected.submit(name, CONTENT, ref=name)
        await watcher.see_until(connected, "job_failed", 4)
    reasons = {event["ref"]: event["payload"] for event in watcher.events if event["action"] == "job_failed"}
    assert reasons == {name: f"❌ Job failed: {reason}" for name, reason in expected.items()}


async def test_two_workers_run_the_same_job(broken: System) -> None:
    for _ in range(2):
        broken.worker(BUS_JOB_DELAY_SCALE="1")
    celery = create_celery(Settings.load(redis_url=broken.valkey.url, visibility_timeout=5))
    nats = await nats_py.connect(broken.nats.url)
    clients: asyncio.Queue[str] = asyncio.Queue()

    async def note(message: Any) -> None:
        await clients.put(message.subject.split(".")[2])

    await nats.subscribe("live.client.*.job.*", cb=note)
    watcher = Watcher()
    async with watcher.connect(broken.web()) as connected:
        await connected.submit("default", CONTENT)
        await watcher.see_until(connected, "job_started")
        job_id = watcher.events[0]["job_id"]
        client_id = await clients.get()
        for _ in range(4):
            await asyncio.to_thread(celery.send_task, "jobs.default", (client_id, job_id), task_id=job_id)
        await watcher.see_until(connected, "job_result")
    await nats.close()
    with broken.valkey.client() as redis:
        await asyncio.to_thread(
            wait_until, lambda: not redis.exists("jobs") and not redis.exists("unacked"), "an empty Redis"
        )
    async with watcher.connect(broken.web()) as connected:
        await connected.ping()
    assert [event["action"] for event in watcher.events] == ["job_queued", "job_started", "job_result"]


async def test_garbage_on_the_bus(broken: System) -> None:
    broken.worker()
    web = broken.web()
    watcher = Watcher()
    nats = await nats_py.connect(broken.nats.url)
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
