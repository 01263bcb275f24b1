"""Quart's connection without its inbound queue: what a handler does not ask for stays in the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar

import pytest
from quart import Quart, Response, has_websocket_context, websocket

from bus import Settings
from bus.messages import Ping, Pong
from quart_app import create_app
from quart_app.channel import Channel, channel, ws_handler
from quart_app.websocket.asgi_websocket import PullingWebsocket, RoutedWebsocket, Serve
from testbed.raw import BINARY, DEADLINE, frame, raw, raw_v1
from testbed.servers import SERVE, Nats, Web
from testbed.system import System
from tests.in_process import serving

wired = pytest.mark.parametrize("wired", [True, False], ids=["wired", "ordinary"])


class Gate:
    """Holds the handlers of `SlowChannel`, and counts who passed."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = asyncio.Semaphore(0)
        self.finished = asyncio.Semaphore(0)


@channel("/ws/system", name="slow")
class SlowChannel(Channel):
    """Pings that are answered when the test says so."""

    gate: ClassVar[Gate]

    @ws_handler
    async def ping(self, message: Ping) -> Pong:
        """Answer a ping, some time."""
        self.gate.entered.release()
        await self.gate.open.wait()
        self.gate.finished.release()
        return Pong()


@pytest.fixture
def gate() -> Iterator[Gate]:
    SlowChannel.gate = Gate()
    yield SlowChannel.gate
    del SlowChannel.gate


@asynccontextmanager
async def slow(nats: Nats, *, wired: bool) -> AsyncIterator[int]:
    """The port of a server whose pings wait at the gate."""
    settings = Settings.load(nats_url=nats.url, frame_burst=1_000_000)
    async with serving(create_app(settings, [SlowChannel]), wired=wired, settings=settings) as port:
        yield port


async def passed(counter: asyncio.Semaphore) -> None:
    async with asyncio.timeout(DEADLINE):
        await counter.acquire()


@wired
async def test_a_handler_finishes_when_its_client_leaves_meanwhile(nats: Nats, gate: Gate, wired: bool) -> None:
    async with slow(nats, wired=wired) as port:
        async with raw(port) as peer:
            peer.send({"action": "ping"})
            await passed(gate.entered)
        gate.open.set()
        await passed(gate.finished)


@wired
async def test_a_busy_handler_leaves_frames_in_the_server_and_none_is_lost(nats: Nats, gate: Gate, wired: bool) -> None:
    async with slow(nats, wired=wired) as port, raw(port) as peer:
        for number in range(2000):
            peer.send({"action": "ping", "ref": str(number)})
        await passed(gate.entered)
        gate.open.set()
        assert [(await peer.receive())["ref"] for _ in range(2000)] == [str(number) for number in range(2000)]


@wired
async def test_what_a_busy_handler_leaves_in_the_server_is_bounded(nats: Nats, gate: Gate, wired: bool) -> None:
    """The kernel's buffers on both sides hold up to 38 MB here; 128 MB can only be taken by a queue without a bound."""
    block = frame(json.dumps({"action": "ping", "x": "x" * 60_000}))
    async with slow(nats, wired=wired) as port, raw(port) as peer:
        peer.write(block)
        await passed(gate.entered)
        sent = 0
        try:
            while sent < 128 * 1024 * 1024:
                peer.write(block)
                sent += len(block)
                async with asyncio.timeout(1):
                    await peer.drain()
        except TimeoutError:
            pass
        assert sent < 128 * 1024 * 1024
        gate.open.set()
        await peer.receive("pong")


@wired
async def test_a_client_that_leaves_with_frames_unread_ends_its_connection(nats: Nats, gate: Gate, wired: bool) -> None:
    async with slow(nats, wired=wired) as port:
        async with raw(port) as peer:
            peer.write(frame('{"action":"ping"}') * 500)
            await passed(gate.entered)
        gate.open.set()
    # The server has stopped, and Hypercorn waits for its connections: none was left waiting for a frame.


@contextmanager
def application() -> Iterator[tuple[Quart, list[Any]]]:
    """An app that keeps what its only WebSocket received."""
    app, received = Quart(__name__), []
    app.asgi_websocket_class = PullingWebsocket

    @app.websocket("/")
    async def endpoint() -> None:
        while True:
            received.append(await websocket.receive())

    yield app, received


SCOPE: dict[str, Any] = {
    "type": "websocket",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "scheme": "ws",
    "http_version": "1.1",
    "headers": [(b"host", b"localhost")],
    "subprotocols": [],
    "extensions": {},
    "client": None,
    "server": None,
}


def source(*events: dict[str, Any]) -> Any:
    """An ASGI `receive` that gives these events and then nothing for ever."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for event in events:
        queue.put_nowait(event)
    return queue.get


async def ignore(message: Any) -> None:
    """An ASGI `send` that goes nowhere."""


CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1006}


async def test_a_disconnect_ends_the_handler_and_the_connection_returns() -> None:
    with application() as (app, received):
        hello = {"type": "websocket.receive", "text": "hello", "bytes": None}
        async with asyncio.timeout(DEADLINE):
            await app(SCOPE, source(CONNECT, hello, DISCONNECT), ignore)  # type: ignore[arg-type]
        assert received == ["hello"]


async def test_a_server_that_cancels_sees_the_cancellation() -> None:
    with application() as (app, _):
        running = asyncio.create_task(app(SCOPE, source(CONNECT), ignore))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert running.cancelled()


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"text": "x", "bytes": None}, "x"),
        ({"text": "", "bytes": None}, ""),
        ({"text": "x"}, "x"),
        ({"text": None, "bytes": b"x"}, b"x"),
        ({"text": None, "bytes": b""}, b""),
        ({"bytes": b""}, b""),
    ],
)
async def test_text_and_bytes_are_told_apart_even_when_empty(event: dict[str, Any], expected: str | bytes) -> None:
    with application() as (app, received):
        async with asyncio.timeout(DEADLINE):
            await app(SCOPE, source(CONNECT, {"type": "websocket.receive", **event}, DISCONNECT), ignore)  # type: ignore[arg-type]
        assert received == [expected]


async def told(serve: Serve, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """What an app whose only view has this for its WebSocket tells the server."""
    app, sent = Quart(__name__), []
    app.asgi_websocket_class = PullingWebsocket
    app.websocket_class = RoutedWebsocket

    @app.after_websocket  # type: ignore[type-var]
    async def mark(response: Response | None) -> Response | None:
        if response is not None:
            response.headers["X-Marked"] = "yes"
        return response

    @app.websocket("/")
    async def view() -> Response | None:
        socket: PullingWebsocket = websocket.asgi  # type: ignore[attr-defined]
        return socket.served_by(serve)

    async def send(message: Any) -> None:
        sent.append(message)

    answering = SCOPE | {"extensions": {"websocket.http.response": {}}}
    async with asyncio.timeout(DEADLINE):
        await app(answering, source(CONNECT, *events), send)  # type: ignore[arg-type]
    return sent


async def test_it_is_served_when_quart_has_let_go_of_it() -> None:
    received = []

    async def serve(socket: PullingWebsocket) -> None:
        assert not has_websocket_context()
        assert socket.headers["HOST"] == "localhost"
        await socket.accept("bus.v1")
        received.append(await socket.receive())
        await socket.send("answer")
        await socket.receive()

    sent = await told(serve, {"type": "websocket.receive", "text": "hello", "bytes": None}, DISCONNECT)
    assert received == ["hello"]
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    assert sent[0]["subprotocol"] == "bus.v1"


async def test_a_refusal_of_what_serves_it_goes_through_quart() -> None:
    async def serve(socket: PullingWebsocket) -> Response:
        return Response("no room\n", 503)

    start, *body = await told(serve)
    assert start["status"] == 503
    assert (b"x-marked", b"yes") in start["headers"]
    assert b"".join(part["body"] for part in body) == b"no room\n"


async def test_what_serves_it_and_fails_is_logged_and_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(socket: PullingWebsocket) -> None:
        raise RuntimeError("it broke")

    assert (await told(serve))[0]["status"] == 500
    assert "it broke" in caplog.text


async def test_what_fails_after_it_was_accepted_is_logged_and_closes_it_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def serve(socket: PullingWebsocket) -> None:
        await socket.accept()
        raise RuntimeError("it broke")

    assert [message.get("code") for message in await told(serve)] == [None, 1011]
    assert "it broke" in caplog.text


async def test_it_is_closed_once_by_what_serves_it_or_when_that_has_returned() -> None:
    async def closes(socket: PullingWebsocket) -> None:
        await socket.accept()
        await socket.close(1012, "soon")

    async def returns(socket: PullingWebsocket) -> None:
        await socket.accept()

    for serve, code in ((closes, 1012), (returns, 1000)):
        sent = await told(serve)
        assert [message.get("code") for message in sent] == [None, code]


@pytest.mark.parametrize(
    ("headers", "cookies"),
    [
        ([], {}),
        ([(b"cookie", b"a=1; b=2")], {"a": "1", "b": "2"}),
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {"a": "1", "b": "2"}),
    ],
)
def test_cookies_are_those_of_all_its_headers(headers: list[tuple[bytes, bytes]], cookies: dict[str, str]) -> None:
    assert PullingWebsocket(Quart(__name__), SCOPE | {"headers": headers}).cookies == cookies  # type: ignore[arg-type]


SERVERS = pytest.mark.parametrize("command", [SERVE, ("hypercorn", "quart_app:app")])


@SERVERS
async def test_an_empty_binary_frame_is_answered_with_an_error(system: System, command: tuple[str, ...]) -> None:
    web = system.web(*command)
    async with raw(web.port) as peer:
        peer.write(frame(b"", BINARY))
        assert (await peer.receive())["payload"][0]["type"] == "binary_frame"
        await peer.ping()


@SERVERS
async def test_a_client_that_leaves_is_detached_though_nobody_sends_to_it(
    system: System, command: tuple[str, ...]
) -> None:
    web = system.web(*command)
    async with raw_v1(web.port) as (_, welcome):
        subject = f"live.client.{welcome['client_id']}.event"
        assert await asyncio.to_thread(system.nats.hears, subject)
    async with asyncio.timeout(DEADLINE):
        while await asyncio.to_thread(system.nats.hears, subject):
            await asyncio.sleep(0.05)


async def test_a_server_that_stops_ends_its_clients(system: System) -> None:
    web: Web = await asyncio.to_thread(system.web)
    async with raw(web.port) as peer:
        await peer.ping()
        assert await asyncio.to_thread(web.stop) == 0
        assert await peer.ended() == 1012
    assert "Traceback" not in web.output()
