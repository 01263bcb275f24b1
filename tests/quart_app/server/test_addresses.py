"""`busctl serve` on a Unix socket and on IPv6: served, checked, drained, replaced and trusted as on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import re
import signal
import socket
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from testbed.ports import NO_IPV6, free_port, has_ipv6
from testbed.servers import SERVE, Web, wait_until
from testbed.system import System, running
from tests.clients import client
from tests.http import get

DEADLINE = 30.0


class Unix(Web):
    """Web processes on a Unix socket."""

    def __init__(self, system: System, workers: int, **settings: str) -> None:
        super().__init__(system.directory, system.env | settings, command=(*SERVE, "--workers", str(workers)))
        self.path = system.directory / f"{self.port}.sock"
        self.workers = workers
        system.servers.append(self)
        self.start()

    def command(self) -> list[str]:
        return [*super().command()[:-1], f"unix:{self.path}"]

    def ready(self) -> bool:
        if self.workers > 1:
            return self.output().count("a web process serves") >= self.workers
        with contextlib.suppress(OSError):
            return self.get("/livez") == 200
        return False

    def get(self, path: str) -> int:
        """The status of an answer."""
        connection = http.client.HTTPConnection("localhost")
        with contextlib.closing(connection), socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.settimeout(DEADLINE)
            connection.sock.connect(str(self.path))
            connection.request("GET", path)
            return connection.getresponse().status

    def open(self, **headers: str) -> unix_connect:
        """A WebSocket."""
        uri = "ws://localhost/ws/system"
        return unix_connect(str(self.path), uri, proxy=None, open_timeout=DEADLINE, additional_headers=headers)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """NATS and Valkey alone: nothing here runs a job."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


async def pong(socket: ClientConnection) -> bool:
    """Whether a connection is still answered."""
    try:
        async with asyncio.timeout(DEADLINE):
            await socket.send('{"action":"ping"}')
            return "pong" in str(await socket.recv())
    except ConnectionClosed:
        return False


def serving(web: Unix) -> list[int]:
    """The processes that serve."""
    return [int(pid) for pid in re.findall(r"a web process serves.*?pid=(\d+)", web.output())]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def test_processes_share_a_unix_socket_and_are_drained_and_it_is_gone_in_the_end(system: System) -> None:
    web = await asyncio.to_thread(Unix, system, 2, BUS_DRAIN_DELAY="3600")
    assert f"http://unix:{web.path}" in web.output()
    await asyncio.to_thread(wait_until, lambda: len(serving(web)) == 2, "two processes that serve")
    first, second = serving(web)
    idle = descriptors(first), descriptors(second)
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        while descriptors(first) == idle[0] or descriptors(second) == idle[1]:  # whoever is quicker takes one
            clients += await asyncio.gather(*(stack.enter_async_context(web.open()) for _ in range(20)))
            assert len(clients) < 2000
        os.kill(first, signal.SIGKILL)
        alive = [one for one in clients if await pong(one)]
        assert 0 < len(alive) < len(clients)
        # One that dies while all are told to stop has not ended in order.
        await asyncio.to_thread(wait_until, lambda: "another takes its place" in web.output(), "word of its death")
        os.kill(web.pid, signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: web.get("/readyz") == 503, "word of the drain")
        assert await pong(alive[0])
        os.kill(web.pid, signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            await alive[0].wait_closed()
        assert alive[0].close_code == 1012
    assert web.process is not None
    assert await asyncio.to_thread(web.process.wait, DEADLINE) == 0, web.output()
    assert not list(web.path.parent.glob("*.sock*"))


async def test_what_is_left_of_a_killed_process_is_replaced_and_what_lives_is_not(system: System) -> None:
    web = await asyncio.to_thread(Unix, system, 1, BUS_TRUSTED_PROXIES="unix", BUS_MAX_CONNECTIONS_PER_ADDRESS="1")
    second = Web(system.directory, system.env)
    second.command = web.command  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=f"cannot listen on unix:{web.path}: Address already in use"):
        await asyncio.to_thread(second.start)
    web.kill()
    assert web.path.exists()
    await asyncio.to_thread(web.start)
    async with web.open(), web.open() as connected:  # without an address nobody is counted
        assert await pong(connected)
    told = {"X-Forwarded-For": "192.0.2.1"}
    async with web.open(**told), web.open(**{"X-Forwarded-For": "192.0.2.2"}):
        with pytest.raises(InvalidStatus, match="429"):
            await web.open(**told)


class Ipv6(Web):
    """A web process on ::1."""

    def __init__(self, system: System, **settings: str) -> None:
        super().__init__(system.directory, system.env | settings, command=SERVE)
        self.url, self.ws_url = (url.replace("127.0.0.1", "[::1]") for url in (self.url, self.ws_url))
        system.servers.append(self)
        self.start()

    def command(self) -> list[str]:
        return [*super().command()[:-1], f"[::1]:{self.port}"]

    def ready(self) -> bool:
        with socket.socket(socket.AF_INET6) as probe:
            return probe.connect_ex(("::1", self.port)) == 0


@pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)
async def test_ipv6_is_served_and_so_are_metrics(system: System) -> None:
    port = free_port()
    web = await asyncio.to_thread(Ipv6, system, BUS_METRICS_BIND=f"[::1]:{port}")
    assert (await asyncio.to_thread(get, f"{web.url}/readyz"))[0] == 200
    async with client(web.ws_url) as connected:
        await connected.ping()
        status, text = await asyncio.to_thread(get, f"http://[::1]:{port}/metrics")
        assert status == 200
        assert "busctl_connections 1" in text
    again = Web(system.directory, system.env)
    again.command = web.command  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=r"cannot listen on \[::1\]:\d+: Address already in use"):
        await asyncio.to_thread(again.start)
    assert await asyncio.to_thread(web.stop) == 0
