"""NATS refuses processes that run: they heal when it changes its mind, and end with the reason when it does not."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from testbed.servers import ConfiguredNats, Web, Worker, wait_until
from testbed.system import System
from tests import own_jobs
from tests.cli.background import background
from tests.cli.command import busctl
from tests.clients import Client, client
from tests.e2e.patient import JOB, has_returned, let_end
from tests.e2e.watcher import Watcher
from tests.http import get

RIGHT, WRONG = 'authorization { user: "u", password: "right" }\n', 'authorization { user: "u", password: "other" }\n'
MOST = 15
"""Subscriptions of a web process with two clients."""
REASON = "authorization violation"


class Refusable(System):
    """A system whose NATS can refuse its login."""

    def __init__(self, directory: Path, limit: str = "", **settings: str) -> None:
        super().__init__(directory, **settings)
        self.nats: ConfiguredNats = ConfiguredNats(directory, RIGHT + limit)
        self.nats.url = self.nats.url.replace("//", "//u:right@")


@contextmanager
def running(system: Refusable) -> Iterator[Refusable]:
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refusable]:
    directory = tmp_path_factory.mktemp("system")
    settings = {"BUS_RECONCILE_INTERVAL": "1", "BUS_VISIBILITY_TIMEOUT": "5"}
    with running(Refusable(directory, **settings, PYTHONPATH=own_jobs.install(directory, JOB))) as system:
        yield system


@pytest.fixture
def refusable(system: Refusable) -> Iterator[Refusable]:
    """The system, whose NATS takes its login again after the test."""
    yield system
    system.nats.configure(RIGHT)


@pytest.fixture(scope="module")
def patient_web(system: Refusable) -> Web:
    return system.web()


@pytest.fixture
def web(patient_web: Web) -> Web:
    """A web process that waits a minute for NATS to change its mind."""
    wait_until(lambda: get(f"{patient_web.url}/readyz")[0] == 200, "ready web process")
    return patient_web


@pytest.fixture(scope="module")
def patient_worker(system: Refusable) -> Worker:
    worker = Worker(system.directory, system.env, "--concurrency", "1")
    system.servers.append(worker)
    return worker


@pytest.fixture
def worker(patient_worker: Worker) -> Worker:
    """A worker that does the same."""
    patient_worker.revive()
    return patient_worker


@pytest.fixture
def no_worker(patient_worker: Worker) -> None:
    """Nobody but the test's own worker takes a job."""
    if patient_worker.process is not None:
        patient_worker.kill()


def has_processes(group: int) -> bool:
    return subprocess.run(["pgrep", "-g", str(group)], stdout=subprocess.DEVNULL, check=False).returncode == 0


@asynccontextmanager
async def refused(system: Refusable, connected: Client) -> AsyncIterator[None]:
    await connected.ping()
    await asyncio.to_thread(system.nats.configure, WRONG)
    yield
    async with asyncio.timeout(20):
        await connected.socket.wait_closed()
    assert connected.socket.close_code == 1012


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_web_process_that_stays_refused_sends_its_clients_away_and_ends(
    refusable: Refusable, workers: str
) -> None:
    web = await asyncio.to_thread(refusable.web, "busctl", "serve", "--workers", workers, BUS_HEAL_TIMEOUT="1")
    async with client(web.ws_url) as connected, refused(refusable, connected):
        pass
    assert web.process is not None
    assert await asyncio.to_thread(web.process.wait, 30) == 1
    assert (
        f"error: NATS has refused this process for too long: NATS at {refusable.nats.url.replace('u:right@', '')}"
        in (web.output())
    )
    assert REASON in web.output()
    assert "Traceback" not in web.output()


async def test_another_asgi_server_ends_too(refusable: Refusable) -> None:
    """With its reason; the exit status is the server's, and Hypercorn 0.18 loses that of its workers."""
    web = await asyncio.to_thread(refusable.web, "hypercorn", "quart_app:app", BUS_HEAL_TIMEOUT="1")
    async with client(web.ws_url) as connected, refused(refusable, connected):
        pass
    assert web.process is not None
    await asyncio.to_thread(web.process.wait, 30)
    assert REASON in web.output()


def subscriptions(system: System) -> list[int]:
    """How many each connection to NATS has."""
    return [connection["subscriptions"] for connection in system.nats.monitored("connz")["connections"]]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Refusable]:
    """A system that has this limit from the start; NATS cannot change it while it runs."""
    with running(Refusable(tmp_path, f"max_subscriptions: {MOST}\n")) as system:
        yield system


async def test_at_a_limit_of_subscriptions_only_the_client_too_many_has_to_go(limited: Refusable) -> None:
    web = await asyncio.to_thread(limited.web)
    async with client(web.ws_url) as first, client(web.ws_url) as second:
        await first.ping()
        await second.ping()
        await asyncio.to_thread(wait_until, lambda: MOST in subscriptions(limited), "subscriptions of both")
        # A request that NATS answers confirms them; before that, nobody knows whose subscription was too many.
        await second.submit("default", "x")
        await second.receive_until("job_queued")
        async with client(web.ws_url) as third, asyncio.timeout(10):
            await third.socket.wait_closed()
            assert third.socket.close_code == 1012
        await asyncio.to_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "ready web process", 10)
        assert (await asyncio.to_thread(busctl, "notify", "hi", **limited.env)).returncode == 0
        for connected in (first, second):
            assert (await connected.receive())["payload"] == "hi"
    assert "lost NATS" not in web.output()


@pytest.mark.usefixtures("no_worker")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
async def test_a_worker_that_stays_refused_ends_and_its_task_goes_back(
    refusable: Refusable, web: Web, pool: str
) -> None:
    worker = await asyncio.to_thread(
        refusable.worker, "--pool", pool, "--concurrency", "1", BUS_HEAL_TIMEOUT="1", BUS_JOB_DELAY_SCALE="2"
    )
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("translate", "unfinished")
        await watcher.see_until(connected, "job_started")  # it takes 4 s
        await asyncio.to_thread(refusable.nats.configure, WRONG)
        assert worker.process is not None
        assert await asyncio.to_thread(worker.process.wait, 60) == 1
        assert "this worker cannot work any more and ends" in worker.output()
        assert REASON in worker.output()
        await asyncio.to_thread(wait_until, lambda: not has_processes(worker.pid), "end of its children")
        await asyncio.to_thread(refusable.nats.configure, RIGHT)
        other = await asyncio.to_thread(refusable.worker, "--concurrency", "1")
        await watcher.see_until(connected, "job_result")
    other.kill()


async def test_web_and_worker_heal_when_a_login_is_revoked_and_given_back(
    refusable: Refusable, web: Web, worker: Worker
) -> None:
    watcher = Watcher()
    async with watcher.connect(web) as connected:
        await connected.submit("patient", "ends meanwhile")
        await watcher.see_until(connected, "job_started")
        await asyncio.to_thread(refusable.nats.configure, WRONG)
        await asyncio.to_thread(wait_until, lambda: REASON in get(f"{web.url}/readyz")[1], "reason why it is not ready")
        await connected.ping()
        await connected.submit("translate", "meanwhile")
        assert (await watcher.see(connected))["action"] == "error"
        let_end(refusable, "ends meanwhile")
        await asyncio.to_thread(
            wait_until, lambda: has_returned(refusable, "ends meanwhile"), "end of the job's function"
        )
        await asyncio.to_thread(refusable.nats.configure, RIGHT)
        await asyncio.to_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "ready web process", 10)
        await connected.submit("default", "after")
        await watcher.see_until(connected, "job_result", 2)
    assert set(watcher.results()) == {"as long as it took", "✅ Processed: AFTER"}
    for server in (web, worker):
        assert "Traceback" not in server.output()
        assert "right" not in server.output()


async def test_a_worker_that_is_refused_from_the_start_ends(refusable: Refusable) -> None:
    await asyncio.to_thread(refusable.nats.configure, WRONG)
    worker = await asyncio.to_thread(refusable.worker, "--concurrency", "1", BUS_HEAL_TIMEOUT="1")
    assert worker.process is not None
    assert await asyncio.to_thread(worker.process.wait, 60) == 1
    assert REASON in worker.output()


@pytest.mark.usefixtures("no_worker")
def test_commands_that_follow_end_when_they_stay_refused(refusable: Refusable) -> None:
    env = refusable.env | {"BUS_HEAL_TIMEOUT": "1"}
    with background("watch", **env) as watch:
        watch.note("watching")
        with background("submit", "default", "x", "--wait", **env) as submit:
            watch.line()  # the job is stored, and no worker runs
            refusable.nats.configure(WRONG)
            for command in (watch, submit):
                assert REASON in command.note("error: ")
                assert command.end() == 1


@pytest.mark.usefixtures("web")  # which has declared the stream
def test_notify_needs_nothing_but_to_publish_what_it_says(refusable: Refusable) -> None:
    allowed = 'permissions: { publish: ["bus.group.system"], subscribe: ["_INBOX.>"] }'
    refusable.nats.configure(f'authorization {{ users: [ {{ user: "u", password: "right"\n{allowed} }} ] }}')
    assert busctl("notify", "hi", **refusable.env).returncode == 0
    began = time.monotonic()
    failed = busctl("notify", "hi", "--group", "staff", "--timeout", "30", **refusable.env)
    assert failed.returncode == 1
    assert 'may not publish "bus.group.staff"' in failed.stderr
    assert time.monotonic() - began < 25
