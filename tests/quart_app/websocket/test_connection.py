"""One WebSocket: what comes in is answered in order, what is wrong leaves it open, what is too much closes it."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from testbed.servers import SERVE, Web
from testbed.system import System
from tests.clients import client

SUBMIT = '{"action":"system_message","payload":{"task_type":"translate","content":"hello"}}'


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    servers.worker()
    return servers


async def test_the_address_works_with_and_without_a_trailing_slash(web: Web) -> None:
    for url in (web.ws_url, web.ws_url + "/"):
        async with client(url) as connected:
            await connected.send({"action": "ping"})
            assert await connected.socket.recv() == '{"action":"pong","payload":null}'


async def test_nothing_is_sent_before_the_client_has_sent_something(web: Web) -> None:
    async with client(web.ws_url) as connected:
        await connected.ping()
        assert connected.socket.latency == 0
        await connected.send({"action": "ping", "ref": "first"})
        assert (await connected.receive())["ref"] == "first"


async def test_frames_are_answered_in_order(web: Web) -> None:
    async with client(web.ws_url) as connected:
        for number in range(300):
            await connected.send({"action": "ping" if number % 3 else "nonsense", "ref": str(number)})
        assert [(await connected.receive())["ref"] for _ in range(300)] == [str(n) for n in range(300)]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "no json",
        b"",
        b"\x00\xff",
        b'{"action":"ping"}',
        "null",
        "[]",
        "17",
        "{}",
        '{"action":"unknown"}',
        '{"action":{}}',
        '{"action":"job_result","payload":"x"}',
        '{"action":"system_message"}',
        '{"action":"system_message","payload":null}',
        '{"action":"system_message","payload":{"task_type":"translate"}}',
        '{"action":"system_message","payload":{"task_type":1,"content":2}}',
        '{"action":"ping","payload":1}',
        '{"action":"ping","ref":1}',
        '{"action":"ping","x":"\\udfff"}',
        '{"action":"ping","x":NaN}',
        "[" * 60_000,
    ],
)
async def test_bad_input_gets_an_error_and_leaves_the_socket_open(web: Web, frame: str | bytes) -> None:
    async with client(web.ws_url) as connected:
        await connected.send(frame)
        answer = await connected.receive()
        assert answer["action"] == "error"
        assert answer["payload"]
        await connected.send({"action": "ping"})
        assert (await connected.receive())["action"] == "pong"


async def test_nesting_a_hundred_thousand_deep_is_only_an_error(system: System) -> None:
    roomy = system.web(BUS_MAX_FRAME_BYTES="1000000")
    async with client(roomy.ws_url) as connected:
        await connected.send("[" * 100_000)
        assert (await connected.receive())["payload"][0]["type"] == "json_invalid"
        await connected.ping()


@pytest.mark.parametrize("command", [SERVE, ("hypercorn", "quart_app:app")])
async def test_over_the_size_limit_the_close_code_is_1009(system: System, command: tuple[str, ...]) -> None:
    small = system.web(*command, BUS_MAX_FRAME_BYTES="1000")
    fits = json.dumps({"action": "ping", "x": "é" * 100}, ensure_ascii=False)
    async with client(small.ws_url) as connected:
        await connected.send(fits + " " * (1000 - len(fits.encode())))
        assert (await connected.receive())["action"] == "pong"
        await connected.send('{"action":"ping","x":"' + "é" * 490 + '"}')
        with pytest.raises(ConnectionClosed) as caught:
            await connected.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "file://"])
async def test_a_foreign_origin_is_refused_before_accept(web: Web, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with client(web.ws_url, origin=origin):
            pass
    assert caught.value.response.status_code == 403


async def test_own_and_allowed_origins_may_connect(system: System, web: Web) -> None:
    async with client(web.ws_url, origin=web.url) as connected:
        await connected.ping()
    listed = system.web(BUS_ALLOWED_ORIGINS="https://app.example,https://other.example")
    async with client(listed.ws_url, origin="https://other.example") as connected:
        await connected.ping()


async def test_job_ids_are_unique_and_job_queued_comes_first(web: Web) -> None:
    async with client(web.ws_url) as connected:
        for number in range(100):
            await connected.submit("default", str(number), ref=str(number))
        life: dict[str, list[str]] = {}
        while sum(actions[-1] == "job_result" for actions in life.values()) < 100:
            frame = await connected.receive(60)
            life.setdefault(frame["job_id"], []).append(frame["action"])
        assert list(life.values()) == [["job_queued", "job_result"]] * 100


async def test_a_frozen_redis_delays_no_ping_of_anybody(fresh: System) -> None:
    """The promise is 100 ms on an idle machine; a ping that waited for Redis would take its timeouts, 1 s and more."""
    fresh.worker()
    web = fresh.web()
    async with client(web.ws_url) as busy, client(web.ws_url) as other:
        await busy.ping()
        fresh.valkey.pause()
        for _ in range(20):
            await busy.submit("default", "later")
        queued = [await busy.receive() for _ in range(20)]
        assert {frame["action"] for frame in queued} == {"job_queued"}
        loop = asyncio.get_running_loop()
        slowest = 0.0
        for _ in range(50):
            begin = loop.time()
            await other.ping(5)
            await busy.ping(5)
            slowest = max(slowest, loop.time() - begin)
            await asyncio.sleep(0.05)
        assert slowest < 0.5
        fresh.valkey.resume()
        results = [await busy.receive(60) for _ in range(20)]
        assert {frame["action"] for frame in results} == {"job_result"}
        assert {frame["job_id"] for frame in results} == {frame["job_id"] for frame in queued}
