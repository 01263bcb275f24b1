"""What is changed inside Hypercorn: who gets a wire, deflate, pings, peers that read no pong."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.ws_stream import WSStream
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from bus import Settings
from quart_app.server import hypercorn_inside
from quart_app.websocket.frame_writer import WRITER_EXTENSION, frame_writer_of
from testbed.raw import BINARY, DEADLINE, PING, PONG, SMALL_SEGMENT, SMALL_WINDOW, dial, frame, raw, upgrade
from testbed.servers import Web, wait_until
from testbed.system import System
from tests.in_process import serving
from tests.sse import ask, reading

ACCEPT = {"type": "websocket.accept"}
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


async def tells_of_its_wire(scope: Any, receive: Any, send: Any) -> None:
    """An app that says whether it has a wire, and then echoes."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send(ACCEPT)
    told = WRITER_EXTENSION in scope["extensions"]
    assert told == (frame_writer_of(scope) is not None)
    await send({"type": "websocket.send", "text": "wired" if told else "ordinary"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


@pytest.mark.parametrize(
    ("wired", "server_deflates", "client_deflates", "told"),
    [
        (False, False, True, "ordinary"),
        (True, False, True, "wired"),
        (True, False, False, "wired"),
        (True, True, True, "ordinary"),
        (True, True, False, "wired"),
    ],
)
async def test_over_http_1_a_connection_that_does_not_deflate_has_a_wire(
    wired: bool, server_deflates: bool, client_deflates: bool, told: str
) -> None:
    async with (
        serving(tells_of_its_wire, wired=wired, settings=Settings.load(websocket_deflate=server_deflates)) as port,
        connect(f"ws://127.0.0.1:{port}", proxy=None, compression="deflate" if client_deflates else None) as socket,
        asyncio.timeout(DEADLINE),
    ):
        assert await socket.recv() == told
        await socket.send("x" * 1000)
        assert await socket.recv() == "x" * 1000
        deflated = "permessage-deflate" in str(socket.response and socket.response.headers)
        assert deflated == (client_deflates and (server_deflates or not wired))


async def test_a_compressed_frame_ends_the_connection_when_deflate_was_not_offered(web: Web) -> None:
    async with raw(web.port, upgrade("Sec-WebSocket-Extensions: permessage-deflate")) as peer:
        assert b"deflate" not in peer.head
        peer.write(b"\xc1" + frame('{"action":"ping"}')[1:])
        assert await peer.rest() == []


async def test_the_server_pings_for_as_long_as_the_socket_is_open() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send(ACCEPT)
            await receive()

    async with serving(app, wired=True, websocket_ping_interval=0.05) as port, raw(port) as peer:
        async with asyncio.timeout(DEADLINE):
            while peer.pings < 3:
                await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def watchful(system: System) -> Web:
    """A server that notices a peer's silence after seconds."""
    return system.web(BUS_PING_INTERVAL="1", BUS_READ_TIMEOUT="5")


async def test_a_peer_that_pings_for_ever_and_reads_no_pong_is_cut(watchful: Web) -> None:
    async with raw(watchful.port) as polite, raw(watchful.port, window=SMALL_WINDOW, segment=SMALL_SEGMENT) as rude:
        rude.stall()
        async with asyncio.timeout(DEADLINE):
            while not rude.gone:
                rude.write(frame(b"x" * 125, PING) * 100)
                with suppress(TimeoutError):
                    await asyncio.wait_for(rude.drain(), 0.2)
        await polite.ping()
        polite.write(frame(b"still there?", PING))
        await polite.ping()
        assert (PONG, b"still there?") in polite.control


async def test_a_mute_peer_is_cut_and_a_live_idle_one_and_a_reader_of_events_stay(watchful: Web) -> None:
    async with (
        reading(watchful) as reader,
        reading(watchful, Connection="close", Cookie=reader.cookie) as other,
        raw(watchful.port) as idle,
        raw(watchful.port, mute=True) as mute,
    ):
        [welcome] = await reader.until("welcome")
        await mute.ended()
        assert idle.pings >= 1
        await idle.ping()
        accepted = await ask(
            watchful, "POST", "/api/jobs", {"task_type": "default", "content": "x"}, Cookie=reader.cookie
        )
        assert accepted.body["client_id"] == welcome.data["payload"]["client_id"]
        await reader.until("job_queued")
        await other.until("job_queued")


async def test_a_peer_that_announces_a_long_frame_and_then_says_nothing_is_cut(watchful: Web) -> None:
    async with raw(watchful.port) as idle, raw(watchful.port, mute=True) as silent:
        silent.write(frame(b"x" * 10, BINARY, declared=60_000))
        await silent.ended()
        await idle.ping()


async def test_a_peer_that_asks_and_takes_no_answer_is_cut(watchful: Web) -> None:
    async with raw(watchful.port) as other:
        await other.ping()
        peer = await dial(watchful.port, GET + b"\r\n", window=SMALL_WINDOW, segment=SMALL_SEGMENT)
        peer.stall()
        peer.write(b"GET /asyncapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        await asyncio.to_thread(wait_until, lambda: watchful.connections() == 2, "connection")
        await asyncio.to_thread(wait_until, lambda: watchful.connections() == 1, "end of it")
        peer.transport.abort()
        await other.ping()


def replaced() -> list[Any]:
    return [vars(module).get(name) for module, name in hypercorn_inside.REPLACED]


def without_send_pings(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(WSStream, "_send_pings")


def with_another_writer(patch: pytest.MonkeyPatch) -> None:
    before = TCPServer.__init__

    def init(self: TCPServer, *args: Any) -> None:
        before(self, *args)
        self.writer = object()  # type: ignore[assignment]

    patch.setattr(TCPServer, "__init__", init)


def without_a_writer(patch: pytest.MonkeyPatch) -> None:
    before = TCPServer.__init__

    def init(self: TCPServer, *args: Any) -> None:
        before(self, *args)
        del self.writer

    patch.setattr(TCPServer, "__init__", init)


def with_another_signature(patch: pytest.MonkeyPatch) -> None:
    before = TCPServer.__init__
    patch.setattr(TCPServer, "__init__", lambda self, *args, needed: before(self, *args))


def with_http_streams_elsewhere(patch: pytest.MonkeyPatch) -> None:
    patch.delattr("hypercorn.protocol.h11.HTTPStream")


@pytest.mark.parametrize(
    "built",
    [without_send_pings, with_another_writer, without_a_writer, with_another_signature, with_http_streams_elsewhere],
)
async def test_a_hypercorn_built_otherwise_is_left_alone_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, built: Any
) -> None:
    with monkeypatch.context() as patch:
        built(patch)
        before = replaced()
        with capture_logs() as logged:
            assert hypercorn_inside.install(Settings.load()) is False
        assert [entry["log_level"] for entry in logged] == ["warning"]
        assert logged[0]["trouble"]
        assert replaced() == before


async def test_the_hypercorn_that_is_installed_is_the_one_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    before = replaced()
    for module, name in hypercorn_inside.REPLACED:
        monkeypatch.setattr(module, name, vars(module)[name])
    with capture_logs() as logged:
        assert hypercorn_inside.install(Settings.load())
    assert logged == []
    assert not set(replaced()) & set(before)


POST = b"POST /livez HTTP/1.1\r\nHost: x\r\n"
LEFT_BEHIND = {
    "requests behind others": (GET + b"\r\n") * 2000,
    "a body that nobody wants": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 9000,
    "a body without an end": POST + b"Content-Length: 99999999\r\n\r\n" + b"x" * 60_000,
    "half a head": b"GET /livez HTTP/1.1\r\nHost:",
}


async def test_clients_that_leave_amid_their_requests_leave_nothing_behind(system: System) -> None:
    """Else the server would wait for their connections before it ends, and say which it had to cut."""
    web = await asyncio.to_thread(system.web)
    for sent in LEFT_BEHIND.values():
        for pause in (0, 0.005, 0.01, 0.02, 0.05):
            _, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(sent)
            await asyncio.sleep(pause)
            writer.transport.abort()
    async with raw(web.port) as other:
        await other.ping()
    assert await asyncio.to_thread(web.stop, 5.0) == 0
    assert "Traceback" not in web.output(), web.output()


ASKS_FOR_HTTP_2 = {
    "an upgrade": (
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        200,
    ),
    "one of two upgrades": (GET + b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", 200),
    "prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
}


@pytest.mark.parametrize(("asked", "status"), ASKS_FOR_HTTP_2.values(), ids=ASKS_FOR_HTTP_2)
async def test_who_asks_for_http_2_is_answered_in_http_1(web: Web, asked: bytes, status: int) -> None:
    """An HTTP/2 connection inside one that a proxy took for HTTP/1.1 would pass all of its rules."""
    peer = await dial(web.port, asked)
    assert peer.status == status
    assert b"upgrade" not in peer.head.lower()
    peer.transport.abort()


@pytest.mark.parametrize(("target", "status"), [("?x", 302), ("http://x", 302), ("http://x?x", 302), ("x", 404)])
async def test_a_target_without_a_path_is_answered(web: Web, target: str, status: int) -> None:
    peer = await dial(web.port, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert peer.status == status
    peer.transport.abort()
