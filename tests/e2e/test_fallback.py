"""The same on every other ASGI server, and on a Hypercorn that is built otherwise: only the fast path is missing."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Bus, Settings, SystemNotification, subjects
from testbed.raw import DEADLINE, SMALL_SEGMENT, SMALL_WINDOW, Peer, frame, raw, raw_v1
from testbed.servers import BIN, Web
from testbed.system import System
from tests.http2 import http2
from tests.sse import reading

MAX_FRAME = 4096
KEPT = 64 * 1024
SETTINGS = {
    "BUS_SECRET": "s" * 64,
    "BUS_MAX_FRAME_BYTES": str(MAX_FRAME),
    "BUS_SEND_BUFFER_BYTES": str(KEPT),
    "BUS_SEND_TIMEOUT": "60",
}

START = "import sys; from quart_app.__main__ import main; sys.exit(main())"
ANOTHER_STREAM = """
from functools import partial
from hypercorn.protocol.ws_stream import WSStream
pings = WSStream._send_pings
del WSStream._send_pings
WSStream.__getattr__ = lambda self, name: partial(pings, self)
"""
"""A WebSocket stream whose pings are found another way: an instance has them, the class has not."""
ANOTHER_SERVER = """
from hypercorn.asyncio.tcp_server import TCPServer
before = TCPServer.__init__
send = TCPServer.protocol_send
def init(self, *args):
    before(self, *args)
    self.protocol_send = lambda event: send(self, event)
TCPServer.__init__ = init
"""
"""A TCP server that is not to be found behind what a stream sends with."""

CURL = subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout if shutil.which("curl") else ""
"""What this machine's curl can do."""

WARNING = "this Hypercorn is built otherwise than expected"


class Uvicorn(Web):
    """The app on uvicorn, with one of its WebSocket implementations."""

    def command(self) -> list[str]:
        return [str(BIN / "uvicorn"), "quart_app:app", "--port", str(self.port), "--ws", *self.arguments]


HYPERCORNS = {
    "hypercorn": ("hypercorn", "quart_app:app"),
    "another stream": ("python", "-c", ANOTHER_STREAM + START),
    "another server": ("python", "-c", ANOTHER_SERVER + START),
}
UVICORNS = {"uvicorn wsproto": ("wsproto",), "uvicorn websockets": ("websockets-sansio",)}


@pytest.fixture(scope="module", params=[*HYPERCORNS, *UVICORNS])
def web(system: System, request: pytest.FixtureRequest) -> Iterator[Web]:
    kind = Web if request.param in HYPERCORNS else Uvicorn
    command = (HYPERCORNS | UVICORNS)[request.param]
    server = kind(system.directory, system.env | SETTINGS, command=command)
    system.servers.append(server)
    server.start()
    yield server
    server.kill()


async def announce(system: System, *texts: str) -> list[int]:
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        messages = [SystemNotification(payload=text).encode().encode() for text in texts]
        return [await bus.stream.append(subjects.group("system"), data) for data in messages]


async def job(peer: Peer) -> list[str]:
    """Submit a job; the actions of its life."""
    peer.send({"action": "system_message", "payload": {"task_type": "default", "content": "x"}})
    life = [await peer.receive()]
    while life[-1]["action"] != "job_result":
        life.append(await peer.receive())
    assert life[-1]["payload"] == "✅ Processed: X"
    return [event["action"] for event in life]


async def test_a_plain_client_pings_gets_its_job_and_hears_announcements(system: System, web: Web) -> None:
    async with raw(web.port) as peer:
        await peer.ping()
        assert await job(peer) == ["job_queued", "job_result"]
        [seq] = await announce(system, "hi")
        notification = await peer.receive()
        assert notification.pop("at")
        assert notification == {"action": "system_notification", "payload": "hi", "seq": seq, "group": "system"}


async def test_a_v1_client_resumes_where_it_was(system: System, web: Web) -> None:
    async with raw_v1(web.port) as (peer, welcome):
        await peer.ping()
        assert await job(peer) == ["job_queued", "job_started", "job_result"]
    missed = await announce(system, *map(str, range(100)))
    asked = {"resume": welcome["resume"], "cursors": welcome["cursors"]}
    async with raw_v1(web.port, **asked) as (again, second):
        assert second["recovered"]
        assert second["replayed"] == 3 + len(missed)
        replayed = [await again.receive() for _ in range(second["replayed"])]
        assert [event["seq"] for event in replayed[3:]] == missed
        assert await job(again) == ["job_queued", "job_started", "job_result"]


async def test_a_slow_reader_is_closed_with_1013_and_resumes(system: System, web: Web) -> None:
    sent: list[int] = []
    async with (
        raw_v1(web.port) as (other, _),
        raw_v1(web.port, window=SMALL_WINDOW, segment=SMALL_SEGMENT) as (stalled, welcome),
    ):
        stalled.stall()
        while len(sent) < 60:
            sent += await announce(system, *["x" * 8 * 1024] * 4)
            assert [(await other.receive())["seq"] for _ in range(4)] == sent[-4:]
        stalled.read_on()
        seen = [event["seq"] for event in await stalled.rest()]
        assert stalled.close_code == 1013
        assert seen == sent[: len(seen)]
        assert seen != sent
        await other.ping()
    cursors = welcome["cursors"] | {"system": max(seen, default=welcome["cursors"]["system"])}
    async with raw_v1(web.port, resume=welcome["resume"], cursors=cursors) as (again, second):
        assert second["recovered"]
        assert seen + [(await again.receive())["seq"] for _ in range(len(sent) - len(seen))] == sent


async def test_a_slow_reader_of_events_is_told_so_and_goes_on_where_it_was(system: System, web: Web) -> None:
    sent: list[int] = []
    async with reading(web, slowly=True) as stalled, reading(web) as other:
        await other.until("welcome")
        while len(sent) < 60:
            sent += await announce(system, *["x" * 8 * 1024] * 4)
            assert [(await other.until("system_notification"))[-1].data["seq"] for _ in range(4)] == sent[-4:]
        *seen, last = await stalled.until("close")
        assert last.data["payload"]["code"] == 1013
        assert await stalled.record() is None
    before = [record.data["seq"] for record in seen[1:]]
    assert before == sent[: len(before)]
    assert before != sent
    async with reading(web, Cookie=stalled.cookie, Last_Event_ID=stalled.last_id) as again:
        [welcome] = await again.until("welcome")
        assert welcome.data["payload"]["recovered"]
        rest = [(await again.until("system_notification"))[-1].data["seq"] for _ in range(len(sent) - len(before))]
        assert before + rest == sent


async def test_too_big_a_message_closes_with_1009(web: Web) -> None:
    async with raw(web.port) as peer, raw(web.port) as other:
        peer.write(frame(json.dumps({"action": "ping", "x": "x" * MAX_FRAME})))
        assert await peer.rest() == []
        assert peer.close_code == 1009
        await other.ping()


async def test_a_disconnect_detaches_the_client(system: System, web: Web) -> None:
    async with raw_v1(web.port) as (peer, welcome):
        await peer.ping()
        subject = f"live.client.{welcome['client_id']}.event"
        assert await asyncio.to_thread(system.nats.hears, subject)
    async with asyncio.timeout(DEADLINE):
        while await asyncio.to_thread(system.nats.hears, subject):
            await asyncio.sleep(0.05)


async def test_only_a_hypercorn_built_otherwise_is_warned_of_and_once(web: Web) -> None:
    async with raw(web.port), raw(web.port) as peer:
        await peer.ping()
    built_otherwise = web.arguments in (HYPERCORNS["another stream"], HYPERCORNS["another server"])
    assert web.output().count(WARNING) == built_otherwise
    assert "Traceback" not in web.output()


@pytest.fixture(scope="module")
def plain_hypercorn(system: System) -> Web:
    return system.web("hypercorn", "quart_app:app")


async def test_plain_hypercorn_speaks_http_2_and_it_carries_the_same(system: System, plain_hypercorn: Web) -> None:
    async with http2(plain_hypercorn.port) as peer:
        peer.send({"action": "ping", "ref": "r"})
        assert await peer.receive() == {"action": "pong", "payload": None, "ref": "r"}
        peer.send({"action": "system_message", "payload": {"task_type": "default", "content": "x"}})
        assert (await peer.receive("job_result"))["payload"] == "✅ Processed: X"
        sent = await announce(system, *map(str, range(20)))
        assert [(await peer.receive())["seq"] for _ in sent] == sent


@pytest.mark.skipif("HTTP2" not in CURL, reason="no curl with HTTP/2 on PATH")
async def test_over_http_2_jobs_are_accepted_and_events_read(plain_hypercorn: Web, tmp_path: Path) -> None:
    url, jar = plain_hypercorn.url, str(tmp_path / "jar")
    curl = ("curl", "-sN", "--http2-prior-knowledge", "-b", jar, "-c", jar)
    json_of = ("-H", "Content-Type: application/json", "-d", '{"task_type": "default", "content": "x"}')
    done = await asyncio.to_thread(subprocess.run, [*curl, *json_of, "-i", f"{url}/api/jobs"], capture_output=True)
    assert done.stdout.startswith(b"HTTP/2 202")
    address = f"{url}/api/events?last_event_id=client:0"
    reader = await asyncio.create_subprocess_exec(*curl, address, stdout=asyncio.subprocess.PIPE)
    assert reader.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while await reader.stdout.readline() != b"event: job_result\n":
                assert not reader.stdout.at_eof()
    finally:
        reader.kill()
        await reader.wait()
