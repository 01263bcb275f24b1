"""The configuration of docs/how-to/deploy.md in front of two web processes, while they are restarted one by one."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import IncompleteRead
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from testbed.servers import Web, wait_until
from testbed.system import System
from tests.certificates import self_signed
from tests.http import get
from tests.nginx import Nginx
from tests.sse import reading

END = 60.0
"""Seconds within which anything happens, on a machine that is busy with other things."""
PAUSE = 0.02
CLIENTS = 6


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def webs(system: System) -> list[Web]:
    return [system.web(BUS_SECRET="s" * 64, BUS_TRUSTED_PROXIES="127.0.0.1") for _ in range(2)]


@pytest.fixture(scope="module")
def nginx(webs: list[Web], certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    server = Nginx(tmp_path_factory.mktemp("nginx"), webs, certificate)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


@dataclass
class Seen:
    """What clients have seen while processes were restarted."""

    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    statuses: Counter[int] = field(default_factory=Counter)
    """Of HTTP requests."""
    cut: int = 0
    """HTTP answers that ended in the middle."""
    refused: Counter[int] = field(default_factory=Counter)
    """Statuses of handshakes that were not 101."""
    codes: Counter[int | None] = field(default_factory=Counter)
    """Of WebSockets that were closed."""
    lost: list[str] = field(default_factory=list)
    """Resumes that were not whole."""
    pongs: int = 0


async def requests(url: str, context: ssl.SSLContext, seen: Seen) -> None:
    """One request after another."""

    def ask(path: str) -> int:
        try:
            with urllib.request.urlopen(url + path, timeout=END, context=context) as answer:  # noqa: S310 - always https
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    while not seen.stopped.is_set():
        for path in ("/livez", "/readyz", "/system/"):
            try:
                seen.statuses[await asyncio.to_thread(ask, path)] += 1
            except IncompleteRead:
                seen.cut += 1
        await asyncio.sleep(PAUSE)


async def client(url: str, context: ssl.SSLContext, seen: Seen) -> None:
    """Connect and resume, and ping for as long as that goes on; then do it again, at once."""
    known: dict[str, object] = {}
    while not seen.stopped.is_set():
        with suppress(ConnectionClosed):
            try:
                async with connect(url, ssl=context, subprotocols=["bus.v1"], proxy=None, open_timeout=END) as socket:  # type: ignore[list-item]
                    await ping(socket, known, seen)
            except InvalidStatus as refused:
                seen.refused[refused.response.status_code] += 1


async def ping(socket: ClientConnection, known: dict[str, object], seen: Seen) -> None:
    try:
        await socket.send(json.dumps({"action": "connect", "payload": known}))
        welcome = json.loads(await socket.recv())["payload"]
        if known and not welcome["recovered"]:
            seen.lost.append(welcome["client_id"])
        known |= {"resume": welcome["resume"], "cursors": welcome["cursors"]}
        while not seen.stopped.is_set():
            await socket.send('{"action":"ping"}')
            async with asyncio.timeout(END):
                await socket.recv()
            seen.pongs += 1
            await asyncio.sleep(PAUSE)
    except ConnectionClosed:
        seen.codes[socket.close_code] += 1
        raise


async def pongs(seen: Seen, more: int) -> None:
    """Wait until clients have been answered so many times more."""
    wanted = seen.pongs + more
    async with asyncio.timeout(END):
        while seen.pongs < wanted:
            await asyncio.sleep(PAUSE)


async def test_a_rolling_restart_shows_no_502_and_sockets_come_back_at_once(
    webs: list[Web], nginx: Nginx, trusting: ssl.SSLContext
) -> None:
    seen = Seen()
    async with asyncio.TaskGroup() as group:
        group.create_task(requests(nginx.url, trusting, seen))
        for _ in range(CLIENTS):
            group.create_task(client(nginx.ws_url, trusting, seen))
        await pongs(seen, 10 * CLIENTS)
        for web in webs:
            assert await asyncio.to_thread(web.stop) == 0, web.output()
            await pongs(seen, 10 * CLIENTS)  # all by the other one
            await asyncio.to_thread(web.start)
            ready = f"{web.url}/readyz"
            await asyncio.to_thread(wait_until, lambda ready=ready: get(ready)[0] == 200, "readiness")
        await pongs(seen, 10 * CLIENTS)
        seen.stopped.set()
    assert seen.statuses.keys() == {200}, seen
    assert not seen.cut, seen
    assert not seen.refused, seen
    assert seen.codes.keys() == {1012}, seen
    assert not seen.lost, seen


async def test_a_process_that_is_killed_is_made_up_for_by_the_other(
    webs: list[Web], nginx: Nginx, trusting: ssl.SSLContext
) -> None:
    seen = Seen()
    async with asyncio.TaskGroup() as group:
        group.create_task(requests(nginx.url, trusting, seen))
        for _ in range(CLIENTS):
            group.create_task(client(nginx.ws_url, trusting, seen))
        await pongs(seen, 10 * CLIENTS)
        webs[0].kill()
        await pongs(seen, 10 * CLIENTS)
        await asyncio.to_thread(webs[0].start)
        await pongs(seen, 10 * CLIENTS)
        seen.stopped.set()
    assert seen.statuses.keys() == {200}, seen
    assert seen.cut <= 1, seen  # one that it was in the middle of cannot be made up for
    assert not seen.refused, seen
    assert not seen.lost, seen


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/x/../metrics", "/metrics?x", "/./metrics"])
@pytest.mark.parametrize("upgrade", ["", "h2c", "websocket", "h2c, websocket"])
async def test_no_way_leads_to_metrics(nginx: Nginx, trusting: ssl.SSLContext, path: str, upgrade: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port, ssl=trusting)
    asked = (
        f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABk\r\n" if upgrade else ""
    )
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app.example.com\r\n{asked}\r\n".encode())
    async with asyncio.timeout(END):
        assert (await reader.readline()).split()[1] == b"403"
    writer.transport.abort()


@pytest.mark.parametrize(("scheme", "status"), [("https", 101), ("http", 403)])
async def test_a_page_that_came_in_the_clear_may_not_use_the_site_behind_tls(
    nginx: Nginx, trusting: ssl.SSLContext, scheme: str, status: int
) -> None:
    headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "127.0.0.1"}
    origin = Origin(f"{scheme}://127.0.0.1:{nginx.port}")
    try:
        async with connect(nginx.ws_url, ssl=trusting, proxy=None, origin=origin, additional_headers=headers):
            answered = 101
    except InvalidStatus as refused:
        answered = refused.response.status_code
    assert answered == status


async def test_an_upgrade_to_http_2_is_not_passed_on(nginx: Nginx, trusting: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port, ssl=trusting)
    writer.write(
        b"GET /livez HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    async with asyncio.timeout(END):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.transport.abort()


async def test_events_are_passed_on_as_they_come(nginx: Nginx, trusting: ssl.SSLContext) -> None:
    async with reading(nginx, tls=trusting, Origin=nginx.url) as reader:
        [welcome] = await reader.until("welcome")
        assert "; Secure;" in reader.headers["set-cookie"]
        async with connect(nginx.ws_url, ssl=trusting, proxy=None, subprotocols=["bus.v1"]) as socket:  # type: ignore[list-item]
            payload = {"resume": welcome.data["payload"]["resume"]}
            await socket.send(json.dumps({"action": "connect", "payload": payload}))
            await socket.send('{"action":"system_message","payload":{"task_type":"default","content":"x"}}')
            await reader.until("job_queued")
    async with reading(nginx, tls=trusting, Origin=nginx.url.replace("https", "http")) as refused:
        assert refused.status == 403
