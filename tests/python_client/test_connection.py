"""Connections to servers that answer oddly, late or not at all: what is said of it, and that nothing waits for ever."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from busctl_client import (
    Client,
    ClientClosed,
    ConnectionClosed,
    ConnectionFailed,
    JobFailed,
    Limits,
    State,
    Timings,
    Unauthorized,
    connect,
)
from busctl_client.address import websocket_url
from websockets.asyncio.server import Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.typing import Subprotocol

QUICK = Timings(first_delay=0.02, longest_delay=0.05, ping_after=0.1, pong_within=0.1, close=0.1, welcome=0.2, open=1)
WELCOME = {
    "action": "welcome",
    "payload": {"client_id": "ann", "resume": "r", "epoch": "e", "recovered": True, "replayed": 0, "cursors": {}},
}

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """A server of a test's own; its address."""
    options = {"subprotocols": [Subprotocol("bus.v1")], "close_timeout": 0.1} | options
    async with serve(handler, "127.0.0.1", 0, **options) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/ws/system"


async def welcome(socket: ServerConnection, *frames: dict[str, Any]) -> None:
    """Greet, and say this."""
    await socket.recv()
    for frame in (WELCOME, *frames):
        await socket.send(json.dumps(frame))


async def stay(socket: ServerConnection) -> None:
    await welcome(socket)
    await socket.wait_closed()


async def reached(client: Client, name: str) -> State:
    async with asyncio.timeout(10):
        while client.state.name != name:
            await client._connection.changed.wait()
    return client.state


async def test_nobody_there_is_said_in_time() -> None:
    async with server(stay) as url:
        pass
    with pytest.raises(ConnectionFailed, match=r"within 0\.2 s: .*[Cc]onnect"):
        await connect(url, timings=QUICK, within=0.2)


async def test_a_server_that_does_not_speak_the_protocol_is_said_so() -> None:
    async with server(stay, subprotocols=None) as url:
        with pytest.raises(ConnectionFailed, match="does not speak bus"):
            await connect(url, timings=QUICK, within=0.3)


async def test_a_server_that_never_welcomes_is_given_up() -> None:
    async def mute(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with server(mute) as url:
        with pytest.raises(ConnectionFailed, match="did not answer in time"):
            await connect(url, timings=QUICK, within=0.5)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, Unauthorized, "no good token"),
        (403, ConnectionClosed, "BUS_ALLOWED_ORIGINS"),
        (404, ConnectionClosed, "no busctl server"),
        (421, ConnectionClosed, "BUS_ALLOWED_HOSTS"),
    ],
)
async def test_a_handshake_that_is_refused_for_good_is_not_tried_again(status: int, error: Any, said: str) -> None:
    asked = 0

    def refuse(socket: ServerConnection, request: Any) -> Response:
        nonlocal asked
        asked += 1
        return socket.respond(HTTPStatus(status), "no good token")

    async with server(stay, process_request=refuse) as url:
        with pytest.raises(error, match=said):
            await connect(url, token="old", timings=QUICK)
    assert asked == 1


@pytest.mark.parametrize("location", ["https://jobs.example/ws/system", "/maintenance", "http://["])
async def test_a_redirect_is_said_and_not_followed(location: str) -> None:
    def redirect(socket: ServerConnection, request: Any) -> Response:
        return Response(301, "Moved Permanently", Headers({"Location": location}))

    async with server(stay, process_request=redirect) as url:
        with pytest.raises(ConnectionFailed, match=re.escape(f"the server redirects to {location}; give that address")):
            await connect(url, timings=QUICK, within=0.5)


async def test_nobody_whom_a_redirect_names_gets_the_token() -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def other(socket: ServerConnection) -> None:
        asked.put_nowait("the other")

    async with server(other) as elsewhere:

        def redirect(socket: ServerConnection, request: Any) -> Response:
            asked.put_nowait("the server")
            return Response(302, "Found", Headers({"Location": elsewhere}))

        async with server(stay, process_request=redirect) as url:
            client = connect(url, token="secret", timings=QUICK)
            opening = asyncio.ensure_future(client.open())
            async with asyncio.timeout(10):
                assert [await asked.get() for _ in range(3)] == ["the server"] * 3
            await client.close()
            with pytest.raises(ClientClosed):
                await opening


async def test_a_client_outlives_a_page_that_is_shown_while_the_server_is_away() -> None:
    redirects = 0

    def away(socket: ServerConnection, request: Any) -> Response | None:
        nonlocal redirects
        if redirects == 2 or client.id is None:
            return None
        redirects += 1
        return Response(302, "Found", Headers({"Location": "https://status.example/"}))

    async def leave(socket: ServerConnection) -> None:
        await welcome(socket)
        if not redirects:
            await socket.close(1012)
        await socket.wait_closed()

    async with server(leave, process_request=away) as url:
        client = connect(url, timings=QUICK)
        codes = []
        client.on("state", lambda state: codes.append(state.code))
        async with client:
            async with asyncio.timeout(10):
                while redirects < 2 or client.state.name != "connected":
                    await client._connection.changed.wait()
        assert 302 in codes


async def test_a_proxy_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "nonsense://")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConnectionFailed, match="nonsense"):
        await connect("http://jobs.example", timings=QUICK, within=0.2)


async def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    def busy(socket: ServerConnection, request: Any) -> Response:
        return Response(503, "Service Unavailable", Headers({"Retry-After": "7"}), b"no room")

    async with server(stay, process_request=busy) as url:
        client = connect(url, timings=QUICK, within=60)
        opening = asyncio.ensure_future(client.open())
        state = await reached(client, "waiting")
        assert state.until is not None
        assert (state.code, state.reason) == (503, "no room")
        assert state.until - datetime.now(UTC) > timedelta(seconds=5)
        await client.close()
        with pytest.raises(ClientClosed):
            await opening


@pytest.mark.parametrize("asked", [["99999999999999"], ["inf"], ["nan"], ["-5"], ["tomorrow"], ["7", "7"]])
async def test_a_pause_that_makes_no_sense_does_not_end_the_client(asked: list[str]) -> None:
    def busy(socket: ServerConnection, request: Any) -> Response | None:
        if client.state.code == 503:
            return None
        return Response(503, "Service Unavailable", Headers([("Retry-After", each) for each in asked]), b"")

    async with server(stay, process_request=busy) as url:
        client = connect(url, timings=QUICK)
        opening = asyncio.ensure_future(client.open())
        state = await reached(client, "waiting")
        assert state.until is not None
        assert state.until - datetime.now(UTC) <= timedelta(hours=1)
        client.reconnect()
        await asyncio.wait_for(opening, 5)
        await client.close()


async def test_a_fault_of_its_own_closes_it_and_whoever_waits_is_told() -> None:
    async with server(stay) as url:
        pass
    client = connect(url, timings=Timings(first_delay=1e300, longest_delay=1e300))  # no time is so far away
    job = client.submit("t", "c")
    with pytest.raises(ConnectionClosed, match="the client failed: OverflowError"):
        await client
    with pytest.raises(ConnectionClosed, match="the client failed: OverflowError"):
        await asyncio.wait_for(job.result(), 5)
    assert (client.state.name, client.state.code) == ("closed", 1011)
    await client.close()


async def test_when_somebody_cancels_its_task_whoever_waits_is_told() -> None:
    async with server(stay) as url, connect(url, timings=QUICK) as client:
        job = client.submit("t", "c")
        assert client._task is not None
        client._task.cancel()
        with pytest.raises(ConnectionClosed, match="closed"):
            await asyncio.wait_for(job.result(), 5)
        assert client.state.name == "closed"


async def test_what_else_comes_with_a_time_that_makes_no_sense_is_told() -> None:
    async def odd(socket: ServerConnection) -> None:
        await welcome(socket, {"action": "system_notification", "payload": "hello", "at": "0001-01-01T00:00:00+23:00"})
        await socket.wait_closed()

    async with server(odd) as url:
        client = connect(url, timings=QUICK)
        events = client.events()
        async with client:
            assert (await asyncio.wait_for(anext(events), 5)).payload == "hello"


@pytest.mark.parametrize("code", [1002, 1009, 4400, 4403])
async def test_close_codes_that_say_no_end_it_and_whoever_waits_is_told(code: int) -> None:
    async def refuse(socket: ServerConnection) -> None:
        await welcome(socket)
        await socket.recv()
        await socket.close(code, "because")

    async with server(refuse) as url, connect(url, timings=QUICK) as client:
        events = client.events()
        job = client.submit("t", "c")
        for wait in (job.result(), job.accepted(), job.cancel(), anext(aiter(job.output)), anext(events)):
            with pytest.raises(ConnectionClosed, match=f"because .{code}."):
                await asyncio.wait_for(wait, 5)
        assert client.state == State("closed", None, code, "because")
        with pytest.raises(ConnectionClosed):
            client.submit("t", "c")


async def test_it_can_be_told_to_reconnect_by_whoever_is_told_that_it_is_closed() -> None:
    connections = 0

    async def refuse_once(socket: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await welcome(socket)
        if connections == 1:
            await socket.close(4403, "no operator any more")
        await socket.wait_closed()

    closed = asyncio.Event()

    def again(state: State) -> None:
        if state.name == "closed" and state.code == 4403:
            closed.set()
            client.reconnect()
            client.reconnect()

    async with server(refuse_once) as url:
        client = connect(url, timings=QUICK)
        client.on("state", again)
        async with client:
            async with asyncio.timeout(5):
                await closed.wait()
            await reached(client, "connected")
            assert connections == 2


async def test_a_token_that_is_not_taken_is_asked_for_once_more() -> None:
    asked = []

    async def refuse(socket: ServerConnection) -> None:
        asked.append(json.loads(await socket.recv())["payload"]["token"])
        await socket.close(4401, "no")

    async def token() -> str:
        return f"token {len(asked)}"

    async with server(refuse) as url:
        with pytest.raises(Unauthorized):
            await connect(url, token=token, timings=QUICK)
        with pytest.raises(Unauthorized):
            await connect(url, token="fixed", timings=QUICK)
    assert asked == ["token 0", "token 1", "fixed"]


async def test_a_token_that_cannot_be_had_is_asked_for_again() -> None:
    asked = 0

    def token() -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise OSError("the identity provider is away")
        return "good"

    async with server(stay) as url, connect(url, token=token, timings=QUICK) as client:
        assert client.state.name == "connected"
    assert asked == 3


async def test_a_newer_token_that_is_refused_is_replaced_by_another() -> None:
    brought: asyncio.Queue[str] = asyncio.Queue()

    async def refuse(socket: ServerConnection) -> None:
        await welcome(socket, {"action": "token_expiring", "payload": {"expires_at": "2026-01-01T00:00:00Z"}})
        async for message in socket:
            frame = json.loads(message)
            await brought.put(frame["payload"]["token"])
            item = {"type": "keys_unavailable", "loc": [], "msg": "later"}
            await socket.send(json.dumps({"action": "error", "payload": [item], "ref": frame["ref"]}))

    tokens = iter(range(100))
    async with server(refuse) as url, connect(url, token=lambda: f"token {next(tokens)}", timings=QUICK):
        async with asyncio.timeout(10):
            assert [await brought.get() for _ in range(2)] == ["token 1", "token 2"]


async def test_what_is_no_frame_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def odd(socket: ServerConnection) -> None:
        await welcome(socket)
        for message in ("no json", "[]", '{"payload": 1}', b"\x00\xff", '{"action": "of_later_versions"}'):
            await socket.send(message)
        await socket.send('{"action": "system_notification", "payload": "hello"}')
        await socket.wait_closed()

    async with server(odd) as url:
        client = connect(url, timings=QUICK)
        events = client.events("system_notification")  # from before it is connected
        async with client:
            assert (await anext(events)).payload == "hello"
    assert caplog.text.count("passed over") == 4


async def test_a_message_that_is_too_big_ends_it_and_says_so() -> None:
    async def big(socket: ServerConnection) -> None:
        await welcome(socket)
        await socket.send(json.dumps({"action": "x", "payload": "x" * 5000}))
        await socket.wait_closed()

    async with server(big) as url, connect(url, timings=QUICK, limits=Limits(message_bytes=4000)) as client:
        state = await reached(client, "closed")
        assert state.code == 1009
        assert "4,000 bytes" in state.reason


async def test_what_is_too_big_for_the_server_is_not_sent_again_by_itself() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def small(socket: ServerConnection) -> None:
        await welcome(socket)
        async for message in socket:
            frame = json.loads(message)
            await heard.put(frame["key"])
            about = {"job_id": frame["key"], "ref": frame["ref"], "task_type": "t", "content": "c"}
            await socket.send(json.dumps({"action": "job_queued", "payload": "", **about}))

    async with server(small, max_size=8000) as url, connect(url, timings=QUICK) as client:
        big, behind = client.submit("t", "x" * 9000, key="big"), client.submit("t", "c", key="behind")
        for job in (big, behind):
            with pytest.raises(ConnectionClosed, match="1009"):
                await job.accepted(timeout=5)
            assert job.state == "unsent"
        client.reconnect()
        await client.submit("t", "c", key="next").accepted(timeout=5)
        assert (await behind.retry(timeout=5)) is behind
        assert [heard.get_nowait() for _ in range(2)] == ["next", "behind"]
        assert (big.state, behind.state, client.state.name) == ("unsent", "queued", "connected")


async def test_a_server_that_answers_no_ping_is_left() -> None:
    connections = 0

    async def freeze(socket: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await welcome(socket)
        if connections == 1:
            socket.transport.pause_reading()
        await socket.wait_closed()

    async with server(freeze) as url, connect(url, timings=QUICK) as client:
        state = await reached(client, "waiting")
        assert (state.code, state.reason) == (1006, "the server did not answer a ping in time")
        await reached(client, "connected")
        assert connections == 2


@asynccontextmanager
async def frozen_server() -> AsyncIterator[str]:
    """One that welcomes, and then reads nothing until the end of the block."""
    over = asyncio.Event()

    async def freeze(socket: ServerConnection) -> None:
        await welcome(socket)
        socket.transport.pause_reading()
        await over.wait()

    async with server(freeze) as url:
        try:
            yield url
        finally:
            over.set()


async def test_to_close_takes_no_longer_than_it_may_whatever_the_server_does() -> None:
    async with frozen_server() as url:
        client = await connect(url, timings=Timings(close=0.2))
        job = client.submit("t", "x" * 60_000)
        waiting = asyncio.create_task(job.result())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await client.close()
            await client.close()
        with pytest.raises(ClientClosed):
            await waiting
        with pytest.raises(ClientClosed):
            client.reconnect()


async def test_it_closes_also_when_whoever_closes_it_is_cancelled() -> None:
    async with frozen_server() as url:
        before = asyncio.all_tasks()
        client = await connect(url, timings=Timings(close=0.2))
        states: list[State] = []
        client.on("state", states.append)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        async with asyncio.timeout(5):
            await asyncio.gather(client.close(), client.close())
        assert states == [client.state] == [State("closed", None, 1000, "the client was closed")]
    assert asyncio.all_tasks() <= before


async def test_who_waits_for_a_connection_can_be_cancelled_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with server(stay) as url:
        pass
    opening = asyncio.create_task(connect(url, timings=QUICK).open())
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert asyncio.all_tasks() == before


async def test_a_wait_that_is_cancelled_harms_no_other() -> None:
    async def fail(socket: ServerConnection) -> None:
        await welcome(socket)
        frame = json.loads(await socket.recv())
        about = {"job_id": "j", "ref": frame["ref"]}
        await socket.send(json.dumps({"action": "job_failed", "payload": "", "reason": "no ink", **about}))
        await socket.wait_closed()

    async with server(fail) as url, connect(url, timings=QUICK) as client:
        job = client.submit("t", "c")
        one, other = asyncio.create_task(job.result()), asyncio.create_task(job.result())
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(JobFailed, match="no ink"):
            await other
        assert one.cancelled()


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws/system"),
        ("https://jobs.example/", "wss://jobs.example/ws/system"),
        ("wss://jobs.example/bus/ws/system", "wss://jobs.example/bus/ws/system"),
        ("ws://[::1]:8000/ws/rooms", "ws://[::1]:8000/ws/rooms"),
    ],
)
def test_addresses(url: str, means: str) -> None:
    assert websocket_url(url) == means


@pytest.mark.parametrize(
    "url",
    ["", "jobs.example", "ftp://jobs.example", "http://", "http://x:0", "http://a:b@x", "ws://x/#y", "http://x:99999"],
)
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        connect(url)
