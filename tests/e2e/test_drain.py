"""SIGTERM to `busctl serve`: refuse, say 1012 to everybody, end with 0; and what clients notice of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bus import Bus, Settings, SyncBus, SystemNotification, subjects
from testbed.raw import Peer, dial, upgrade
from testbed.servers import SERVE, Web, wait_until
from testbed.system import System
from tests.clients import client
from tests.http import get
from tests.sizes import sized

SOCKETS = sized(1_000, 250)
OPENED_AT_ONCE = 50
BETWEEN_JOBS = 0.3
"""Seconds that a page waits before it submits its next job, so that two cores can follow ten pages."""
BETWEEN_ANNOUNCEMENTS = 0.1
END = 60.0
"""Seconds within which anything happens, on a machine that is busy with other things."""

workers = pytest.mark.parametrize("workers", [1, 3])


def serve(system: System, workers: int, **settings: str) -> Web:
    web = system.web(*SERVE, "--workers", str(workers), **settings)
    if workers > 1:
        wait_until(lambda: web.output().count("a web process serves") == workers, "web process for each worker")
    return web


@asynccontextmanager
async def sockets(url: str, count: int) -> AsyncIterator[list[ClientConnection]]:
    """Open connections that the server has answered; every other one speaks bus.v1."""
    slots = asyncio.Semaphore(OPENED_AT_ONCE)

    async def opened(number: int) -> ClientConnection:
        v1 = number % 2 == 1
        async with slots:
            socket = await connect(
                url,
                subprotocols=["bus.v1"] if v1 else None,  # type: ignore[list-item]
                proxy=None,
                compression=None,
                ping_interval=None,
                open_timeout=END,
            )
            await socket.send('{"action":"connect","payload":{}}' if v1 else '{"action":"ping"}')
            async with asyncio.timeout(END):
                while json.loads(await socket.recv())["action"] != ("welcome" if v1 else "pong"):
                    pass  # an announcement of the test before may come first
            return socket

    found = await asyncio.gather(*(opened(number) for number in range(count)))
    try:
        yield found
    finally:
        for socket in found:
            socket.transport.abort()


@asynccontextmanager
async def peers(web: Web, count: int) -> AsyncIterator[list[Peer]]:
    """The same by hand, which is cheap enough for very many."""
    slots = asyncio.Semaphore(OPENED_AT_ONCE)

    async def opened(number: int) -> Peer:
        async with slots:
            if number % 2 == 0:
                peer = await dial(web.port)
                await peer.ping()
            else:
                peer = await dial(web.port, upgrade("Sec-WebSocket-Protocol: bus.v1"))
                peer.send({"action": "connect", "payload": {}})
                await peer.receive("welcome")
            return peer

    found = await asyncio.gather(*(opened(number) for number in range(count)))
    try:
        yield found
    finally:
        for peer in found:
            peer.transport.abort()


async def close_codes(connected: list[ClientConnection]) -> Counter[int | None]:
    """How often each close code came, once all connections are closed."""

    async def closed(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # announcements that nobody reads would keep it from reading the close frame
            async for _ in socket:
                pass
        await socket.wait_closed()

    async with asyncio.timeout(END):
        await asyncio.gather(*map(closed, connected))
    return Counter(socket.close_code for socket in connected)


async def ended(web: Web) -> int:
    assert web.process is not None
    return await asyncio.to_thread(web.process.wait, END)


def sigterm(web: Web) -> None:
    assert web.process is not None
    web.process.send_signal(signal.SIGTERM)


@workers
async def test_every_one_of_many_gets_1012_and_the_exit_status_is_0(system: System, workers: int) -> None:
    web = await asyncio.to_thread(serve, system, workers)
    async with peers(web, SOCKETS) as connected:
        sigterm(web)
        assert Counter([await peer.ended() for peer in connected]) == {1012: SOCKETS}
        assert await ended(web) == 0, web.output()
    assert "Traceback" not in web.output()


@workers
async def test_load_balancers_hear_of_it_first_and_a_second_signal_ends_the_wait(system: System, workers: int) -> None:
    web = await asyncio.to_thread(serve, system, workers, BUS_DRAIN_DELAY="3600")
    async with sockets(web.ws_url, 20) as connected:
        sigterm(web)
        wait_until(lambda: web.output().count("stopping") == workers, "word of the drain")
        status, text = await asyncio.to_thread(get, f"{web.url}/readyz")
        assert (status, text.splitlines()[0]) == (503, "draining")
        assert (await asyncio.to_thread(get, f"{web.url}/livez"))[0] == 200
        with pytest.raises(InvalidStatus) as refused:
            await connect(web.ws_url, proxy=None, open_timeout=END)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        for socket in connected[::2]:
            await socket.send('{"action":"ping"}')
            async with asyncio.timeout(END):
                assert json.loads(await socket.recv())["action"] == "pong"
        sigterm(web)
        assert await close_codes(connected) == {1012: 20}
        assert await ended(web) == 0, web.output()


async def test_a_client_that_has_not_said_who_it_is_gets_1012_too(system: System) -> None:
    web = await asyncio.to_thread(serve, system, 1, BUS_HANDSHAKE_TIMEOUT="3600")
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        sigterm(web)
        assert await close_codes([connected.socket]) == {1012: 1}
        assert await ended(web) == 0, web.output()


async def test_a_client_that_reads_nothing_holds_up_nobody(system: System) -> None:
    web = await asyncio.to_thread(
        serve, system, 1, BUS_DRAIN_TIMEOUT="1", BUS_SEND_TIMEOUT="3600", BUS_SEND_BUFFER_BYTES=str(1 << 30)
    )
    async with sockets(web.ws_url, 1) as [stalled]:
        stalled.transport.pause_reading()
        await asyncio.to_thread(announce, system, 300)
        async with sockets(web.ws_url, 10) as others:
            sigterm(web)
            assert await close_codes(others) == {1012: 10}
            assert await ended(web) == 0, web.output()
    assert "cutting off clients that did not go in time" in web.output()


def announce(system: System, count: int) -> None:
    with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
        for _ in range(count):
            bus.broadcast_event(SystemNotification(payload="x" * 60_000))


class Page:
    """A client that hands in one job after another and, sent away, resumes at the next web process.

    Args:
        number: tells its keys from those of other pages.
        webs: where to connect, in turn.
    """

    def __init__(self, number: int, webs: list[Web]) -> None:
        self.client_id = ""
        self.jobs: dict[str, str] = {}
        """Job id by key."""
        self.seen: dict[str, list[dict[str, Any]]] = {"client": [], "system": []}
        """Every event that came, as it came, by scope."""
        self.codes: list[int | None] = []
        self.settled = asyncio.Event()
        self._number = number
        self._webs = itertools.cycle(webs[number % 2 :] + webs[: number % 2])
        self._cursors = {"client": 0, "system": 0}
        self._resume: dict[str, str] = {}

    def has_results(self) -> bool:
        return sum(frame["action"] == "job_result" for frame in self.seen["client"]) >= len(self.jobs)

    async def run(self, announced: list[int]) -> None:
        """Until settled, every job has a result and every announcement was seen."""

        def done() -> bool:
            return self.settled.is_set() and self.has_results() and len(self.seen["system"]) >= len(announced)

        while not done():
            web = next(self._webs)
            with suppress(InvalidStatus, OSError):
                async with connect(web.ws_url, subprotocols=["bus.v1"], proxy=None, open_timeout=END) as socket:  # type: ignore[list-item]
                    with suppress(ConnectionClosed):
                        await self._use(socket, done)
                    await socket.close()
                    self.codes.append(socket.close_code)

    async def _use(self, socket: ClientConnection, done: Any) -> None:
        await self._send(socket, "connect", {"cursors": self._cursors, **self._resume})
        async with asyncio.timeout(END):
            welcome = json.loads(await socket.recv())
        assert welcome["action"] == "welcome", welcome
        assert welcome["payload"]["recovered"], welcome
        self._resume = {"resume": welcome["payload"]["resume"]}
        assert self.client_id in ("", welcome["payload"]["client_id"])
        self.client_id = welcome["payload"]["client_id"]
        while not done():
            await asyncio.sleep(BETWEEN_JOBS)
            key = f"{self._number}-{len(self.jobs)}"
            if not self.settled.is_set():
                payload = {"task_type": "default", "content": key}
                await self._send(socket, "system_message", payload, key=key, ref=key)
            async with asyncio.timeout(END):
                while not done() and (key not in self.jobs or self.settled.is_set()):
                    self._take(json.loads(await socket.recv()))

    async def _send(self, socket: ClientConnection, action: str, payload: Any, **extra: str) -> None:
        await socket.send(json.dumps({"action": action, "payload": payload, **extra}))

    def _take(self, frame: dict[str, Any]) -> None:
        if "seq" in frame:
            scope = frame.get("group", "client")
            self.seen[scope].append(frame)
            self._cursors[scope] = frame["seq"]
        if "ref" in frame and frame["action"] in ("job_queued", "job_status"):
            self.jobs[frame["ref"]] = frame.get("job_id") or frame["payload"]["job_id"]


async def test_a_rolling_restart_loses_nothing_and_shows_nothing_twice(fresh: System) -> None:
    fresh.settings |= {"BUS_SECRET": "s" * 64}
    await asyncio.to_thread(fresh.worker)
    webs = [await asyncio.to_thread(fresh.web) for _ in range(2)]
    pages = [Page(number, webs) for number in range(10)]
    announced: list[int] = []
    rolled = asyncio.Event()

    async def announce() -> None:
        async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus:
            while not rolled.is_set():
                data = SystemNotification(payload=f"announcement {len(announced)}").encode().encode()
                announced.append(await bus.stream.append(subjects.group("system"), data))
                await asyncio.sleep(BETWEEN_ANNOUNCEMENTS)

    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        announcing = group.create_task(announce())
        for page in pages:
            group.create_task(page.run(announced))
        for web in webs:
            had = [len(page.jobs) for page in pages]
            while any(len(page.jobs) < count + 3 for page, count in zip(pages, had, strict=True)):
                await asyncio.sleep(0.05)
            sigterm(web)
            assert await ended(web) == 0, web.output()
            await asyncio.to_thread(web.start)
        rolled.set()
        await announcing
        for page in pages:
            page.settled.set()

    for page in pages:
        assert [frame["seq"] for frame in page.seen["system"]] == announced
        steps: dict[str, list[str]] = {}
        for frame in page.seen["client"]:
            steps.setdefault(frame["job_id"], []).append(frame["action"])
        assert set(steps) == set(page.jobs.values())
        assert len(steps) == len(page.jobs)
        assert set(map(tuple, steps.values())) == {("job_queued", "job_started", "job_result")}
        assert set(page.codes[:-1]) <= {1012}
