"""NATS refuses processes that run: they heal when it changes its mind, and end with the reason when it does not."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from testbed.servers import ConfiguredNats, wait_until
from testbed.system import System
from tests.cli.background import background
from tests.cli.command import busctl
from tests.clients import Client, client
from tests.http import get

RIGHT, WRONG = 'authorization { user: "u", password: "right" }\n', 'authorization { user: "u", password: "other" }\n'
REASON = "authorization violation"


class Refusable(System):
    """A system whose NATS can refuse its login."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, **settings)
        self.nats: ConfiguredNats = ConfiguredNats(directory, RIGHT)
        self.nats.url = self.nats.url.replace("//", "//u:right@")


@pytest.fixture
def refusable(tmp_path: Path) -> Iterator[Refusable]:
    system = Refusable(tmp_path, BUS_JOB_DELAY_SCALE="2", BUS_RECONCILE_INTERVAL="1", BUS_VISIBILITY_TIMEOUT="5")
    try:
        system.start()
        yield system
    finally:
        system.stop()


async def in_thread(function: Callable[..., object], *arguments: object) -> object:
    return await asyncio.to_thread(function, *arguments)


async def results(connected: Client, count: int) -> list[str]:
    """The texts of so many results, whatever else comes."""
    texts: list[str] = []
    while len(texts) < count:
        frame = await connected.receive(30)
        if frame["action"] == "job_result":
            texts.append(frame["payload"])
    return texts


async def test_web_and_worker_heal_when_a_login_is_revoked_and_given_back(refusable: Refusable) -> None:
    web, worker = refusable.web(), refusable.worker("--concurrency", "1")
    async with client(web.ws_url) as connected:
        await connected.submit("translate", "busy")
        await connected.receive_until("job_queued")
        await asyncio.sleep(0.5)  # it takes 4 s: it runs while the login is away, and ends after that
        await in_thread(refusable.nats.configure, WRONG)
        await in_thread(wait_until, lambda: REASON in get(f"{web.url}/readyz")[1], "reason why it is not ready")
        await connected.ping()
        await connected.submit("translate", "meanwhile")
        assert (await connected.receive_until("error"))[-1]["payload"]
        await asyncio.sleep(3)
        await in_thread(refusable.nats.configure, RIGHT)
        back = time.monotonic()
        await in_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "ready web process", 10)
        assert time.monotonic() - back < 10
        await connected.submit("default", "after")
        assert set(await results(connected, 2)) == {
            "🌍 Translated: 'busy' → '[TRANSLATED: busy]'",
            "✅ Processed: AFTER",
        }
    for server in (web, worker):
        assert "Traceback" not in server.output()
        assert "right" not in server.output()


def has_processes(group: int) -> bool:
    return subprocess.run(["pgrep", "-g", str(group)], stdout=subprocess.DEVNULL, check=False).returncode == 0


@asynccontextmanager
async def refused(system: Refusable, connected: Client) -> AsyncIterator[None]:
    await connected.ping()
    await in_thread(system.nats.configure, WRONG)
    yield
    async with asyncio.timeout(20):
        await connected.socket.wait_closed()
    assert connected.socket.close_code == 1012


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_web_process_that_stays_refused_sends_its_clients_away_and_ends(
    refusable: Refusable, workers: str
) -> None:
    web = refusable.web("busctl", "serve", "--workers", workers, BUS_HEAL_TIMEOUT="1")
    async with client(web.ws_url) as connected, refused(refusable, connected):
        pass
    assert web.process is not None
    assert await in_thread(web.process.wait, 30) == 1
    assert (
        f"error: NATS has refused this process for too long: NATS at {refusable.nats.url.replace('u:right@', '')}"
        in (web.output())
    )
    assert REASON in web.output()
    assert "Traceback" not in web.output()


async def test_another_asgi_server_ends_too(refusable: Refusable) -> None:
    """With its reason; the exit status is the server's, and Hypercorn 0.18 loses that of its workers."""
    web = refusable.web("hypercorn", "quart_app:app", BUS_HEAL_TIMEOUT="1")
    async with client(web.ws_url) as connected, refused(refusable, connected):
        pass
    assert web.process is not None
    await in_thread(web.process.wait, 30)
    assert REASON in web.output()


async def test_at_a_limit_of_subscriptions_only_the_client_too_many_has_to_go(refusable: Refusable) -> None:
    refusable.nats.stop()
    refusable.nats.file.write_text(RIGHT + "max_subscriptions: 5\n")  # which cannot be changed while it runs
    refusable.nats.start()
    web = refusable.web()
    async with client(web.ws_url) as first, client(web.ws_url) as second:
        await first.ping()
        await second.ping()
        await asyncio.sleep(0.5)  # until their subscriptions are confirmed, or NATS does not say whose is too many
        async with client(web.ws_url) as third, asyncio.timeout(10):
            await third.socket.wait_closed()
            assert third.socket.close_code == 1012
        await in_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "ready web process", 10)
        assert (await asyncio.to_thread(busctl, "notify", "hi", **refusable.env)).returncode == 0
        for connected in (first, second):
            assert (await connected.receive())["payload"] == "hi"
    assert "lost NATS" not in web.output()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
async def test_a_worker_that_stays_refused_ends_and_its_task_goes_back(refusable: Refusable, pool: str) -> None:
    web = refusable.web()
    worker = refusable.worker("--pool", pool, "--concurrency", "1", BUS_HEAL_TIMEOUT="1")
    async with client(web.ws_url) as connected:
        await connected.submit("translate", "unfinished")
        await connected.receive_until("job_queued")
        await asyncio.sleep(0.5)
        await in_thread(refusable.nats.configure, WRONG)
        assert worker.process is not None
        assert await in_thread(worker.process.wait, 60) == 1
        assert "this worker cannot work any more and ends" in worker.output()
        assert REASON in worker.output()
        await in_thread(wait_until, lambda: not has_processes(worker.pid), "end of its children")
        await in_thread(refusable.nats.configure, RIGHT)
        refusable.worker("--concurrency", "1")
        assert len(await results(connected, 1)) == 1


async def test_a_worker_that_is_refused_from_the_start_ends(refusable: Refusable) -> None:
    refusable.nats.configure(WRONG)
    worker = refusable.worker("--concurrency", "1", BUS_HEAL_TIMEOUT="1")
    assert worker.process is not None
    assert await in_thread(worker.process.wait, 60) == 1
    assert REASON in worker.output()


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


def test_notify_needs_nothing_but_to_publish_what_it_says(refusable: Refusable) -> None:
    refusable.web().stop()  # which has declared the stream
    allowed = 'permissions: { publish: ["bus.group.system"], subscribe: ["_INBOX.>"] }'
    refusable.nats.configure(f'authorization {{ users: [ {{ user: "u", password: "right"\n{allowed} }} ] }}')
    assert busctl("notify", "hi", **refusable.env).returncode == 0
    began = time.monotonic()
    failed = busctl("notify", "hi", "--group", "staff", "--timeout", "30", **refusable.env)
    assert failed.returncode == 1
    assert 'may not publish "bus.group.staff"' in failed.stderr
    assert time.monotonic() - began < 25
