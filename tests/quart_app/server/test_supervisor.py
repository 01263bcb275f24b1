"""Several web processes on one address: one that dies is replaced, and none outlives the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from bus import Settings
from quart_app.server.supervisor import Supervisor
from testbed.ports import free_port
from testbed.servers import SERVE, Web, answers, wait_until
from testbed.system import System
from tests.clients import Client, client
from tests.http import get

WORKERS = 2


def serve(system: System, **settings: str) -> Web:
    """A supervisor whose web processes all serve."""
    web = system.web(*SERVE, "--workers", str(WORKERS), **settings)
    wait_until(lambda: all_serve(web), "web process for each worker")
    return web


@pytest.fixture(scope="module")
def web(system: System) -> Iterator[Web]:
    """A supervisor that outlives what tests do to its web processes, and then ends in order."""
    web = serve(system)
    yield web
    assert web.stop() == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def all_serve(web: Web) -> bool:
    """Whether there are as many web processes as there should be, each at work."""
    processes, told = children(web.pid), web.output().split()
    return len(processes) == WORKERS and all(f"pid={process}" in told for process in processes)


async def replaced(web: Web, process: int) -> None:
    """Wait until another web process serves in the place of this one."""
    await asyncio.to_thread(
        wait_until, lambda: process not in children(web.pid) and all_serve(web), "another web process", 60
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def lost(connected: Client) -> bool:
    try:
        await connected.ping()
    except ConnectionClosed:
        return True
    return False


async def test_one_that_is_killed_is_replaced_and_the_others_serve_on(web: Web) -> None:
    process, *_ = children(web.pid)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(web.ws_url)) for _ in range(30)]
        assert not any([await lost(one) for one in clients])
        os.kill(process, signal.SIGKILL)
        await replaced(web, process)
        assert 0 < sum([await lost(one) for one in clients]) < len(clients)
    assert f"process {process}, signal SIGKILL" in web.output()


async def test_one_that_was_told_to_end_is_replaced_too(web: Web) -> None:
    process, *_ = children(web.pid)
    os.kill(process, signal.SIGTERM)
    await replaced(web, process)
    assert f"process {process}, exit status 0" in web.output()


async def test_one_that_dies_while_nats_is_away_is_replaced_when_it_is_back(fresh: System) -> None:
    web = await asyncio.to_thread(serve, fresh, BUS_CONNECT_TIMEOUT="3")
    process, *_ = children(web.pid)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(web.ws_url)) for _ in range(30)]
        fresh.nats.kill()
        os.kill(process, signal.SIGKILL)
        ended = "a web process ended; another takes its place"
        await asyncio.to_thread(wait_until, lambda: web.output().count(ended) == 2, "failed start", 60)
        await asyncio.to_thread(fresh.nats.start)
        await replaced(web, process)
        assert sum([await lost(one) for one in clients]) < len(clients)
    assert await asyncio.to_thread(web.stop) == 0


async def test_none_outlives_a_supervisor_that_was_killed_and_nothing_is_left(system: System, tmp_path: Path) -> None:
    web = await asyncio.to_thread(serve, system, TMPDIR=str(tmp_path))
    processes = children(web.pid)
    assert os.listdir(tmp_path)  # the counters that they share
    async with client(web.ws_url) as connected:
        await connected.ping()
        os.kill(web.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            await connected.socket.wait_closed()
        assert connected.socket.close_code == 1012
    await asyncio.to_thread(wait_until, lambda: not any(map(alive, processes)), "end of the web processes")
    assert not os.listdir(tmp_path)


async def test_a_signal_to_the_whole_group_counts_once(system: System) -> None:
    web = await asyncio.to_thread(serve, system, BUS_DRAIN_DELAY="3600")
    async with client(web.ws_url) as connected:
        await connected.ping()
        os.killpg(web.pid, signal.SIGINT)  # as Ctrl+C does
        await asyncio.to_thread(wait_until, lambda: web.output().count("stopping") == WORKERS, "word of the drain")
        assert (await asyncio.to_thread(get, f"{web.url}/readyz"))[0] == 503
        await connected.ping()
        os.killpg(web.pid, signal.SIGINT)
        async with asyncio.timeout(30):
            await connected.socket.wait_closed()
        assert connected.socket.close_code == 1012
    assert web.process is not None
    assert await asyncio.to_thread(web.process.wait, 30) == 0, web.output()


async def test_clients_resume_at_any_of_them_without_a_secret_of_ours(web: Web) -> None:
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {}})
        first = (await connected.receive())["payload"]
    for _ in range(10):
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            await connected.send({"action": "connect", "payload": {"resume": first["resume"]}})
            assert (await connected.receive())["payload"]["client_id"] == first["client_id"]
    assert "BUS_SECRET is not set" in web.output()


async def test_one_that_does_not_end_is_killed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in system.env.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    settings = Settings.load(drain_timeout=0.5)
    supervising = asyncio.create_task(Supervisor(settings, f"127.0.0.1:{port}", None, 1, grace=0.5).run())
    before = children(os.getpid())
    await asyncio.to_thread(wait_until, lambda: answers(port), "web process")
    [process] = set(children(os.getpid())) - set(before)
    os.kill(process, signal.SIGSTOP)
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert not await supervising
    assert not alive(process)
