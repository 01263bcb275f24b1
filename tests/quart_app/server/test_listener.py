"""How many connections a process has, which go first when there are too many, and what happens without descriptors."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from bus import Settings
from quart_app.errors import CannotListen
from quart_app.server.listener import AT_ONCE, MOST_LEAVING, UNTOUCHED, Listener
from quart_app.server.serve import OTHER_FILES, fitted
from testbed.ports import NO_IPV6, has_ipv6
from testbed.raw import DEADLINE, dial, raw, upgrade
from testbed.servers import Web, wait_until
from testbed.system import System
from tests.http import get

FILES = 200
SERVE = (
    f"import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}));"
    "from quart_app.__main__ import main; sys.exit(main())"
)


def open_files(web: Web) -> int:
    return len(os.listdir(f"/proc/{web.pid}/fd"))


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def ended(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection on which it has sent nothing."""
    connection.setblocking(False)
    with suppress(BlockingIOError):
        return connection.recv(1) == b""
    return False


async def test_idle_connections_do_not_keep_others_out_when_descriptors_are_few(fresh: System) -> None:
    web = await asyncio.to_thread(fresh.web, "python", "-c", SERVE)
    with ExitStack() as stack:
        async with raw(web.port) as bystander:
            idle = [stack.enter_context(connect(web.port)) for _ in range(FILES + 60)]
            async with asyncio.timeout(DEADLINE):
                await bystander.ping()
                async with raw(web.port) as newcomer:
                    await newcomer.ping()
            assert (await asyncio.to_thread(get, f"{web.url}/livez"))[0] == 200
            await asyncio.to_thread(wait_until, lambda: sum(map(ended, idle)) > FILES // 2, "end of the oldest")
            assert not ended(idle[-1])
            assert open_files(web) < FILES - OTHER_FILES + MOST_LEAVING
            await asyncio.to_thread(fresh.nats.stop)
            await asyncio.to_thread(fresh.nats.start)
            ready = f"{web.url}/readyz"
            await asyncio.to_thread(wait_until, lambda: get(ready)[0] == 200, "new connection to NATS")
            await bystander.ping()
    assert web.output().count("\n") < 20
    assert "fewer files may be open" in web.output()


async def test_idle_http_connections_are_bounded_and_the_oldest_go_first(system: System) -> None:
    web = await asyncio.to_thread(system.web, BUS_MAX_HTTP_CONNECTIONS="5", BUS_KEEP_ALIVE_TIMEOUT="3600")
    with ExitStack() as stack:
        async with raw(web.port) as first, raw(web.port) as second:
            idle = [stack.enter_context(connect(web.port)) for _ in range(20)]
            await asyncio.to_thread(wait_until, lambda: sum(map(ended, idle)) == 15, "end of all but five")
            assert [ended(connection) for connection in idle] == [True] * 15 + [False] * 5
            await first.ping()
            await second.ping()


async def test_what_a_peer_closes_is_closed_at_once(system: System) -> None:
    web = await asyncio.to_thread(system.web, BUS_KEEP_ALIVE_TIMEOUT="3600")
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connect(web.port))
        await asyncio.to_thread(wait_until, lambda: web.connections() == 20, "connection of each")
    await asyncio.to_thread(wait_until, lambda: web.connections() == 0, "end of them")


async def test_without_descriptors_one_line_a_second_is_logged_and_connections_live_on(system: System) -> None:
    web = await asyncio.to_thread(system.web)
    with ExitStack() as stack:
        async with raw(web.port) as bystander:
            await bystander.ping()
            before = resource.prlimit(web.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(web.pid, resource.RLIMIT_NOFILE, (open_files(web) + 3, before[1]))
            began = time.monotonic()
            waiting = [stack.enter_context(connect(web.port)) for _ in range(20)]
            while web.output().count("new clients have to wait") < 2:
                await bystander.ping()
                await asyncio.sleep(0.01)
            assert web.output().count("\n") < 10 + time.monotonic() - began
            resource.prlimit(web.pid, resource.RLIMIT_NOFILE, before)
            waiting[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await asyncio.to_thread(waiting[-1].recv, 4096)).startswith(b"HTTP/1.1 200")
            await bystander.ping()
    assert "Traceback" not in web.output()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener.bound("127.0.0.1:0") as listening:
        listening.limit = listening.idle_limit = 2
        listening.listen()
        listening.setblocking(False)
        yield listening


def test_when_no_connection_is_idle_a_new_one_is_answered_with_503(listener: Listener) -> None:
    port = listener.getsockname()[1]
    with connect(port), connect(port), connect(port) as late:
        busy = [listener.accept()[0] for _ in range(2)]
        for connection in busy:
            listener.mark(connection.fileno(), idle=False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert late.recv(4096).startswith(b"HTTP/1.1 503 ")
        busy[0].close()
        with connect(port) as last:
            last.sendall(b"x")
            accepted, _ = listener.accept()
            assert accepted.recv(1) == b"x"
            accepted.close()
        busy[1].close()


def test_one_that_has_just_come_is_not_closed_for_another(listener: Listener) -> None:
    port = listener.getsockname()[1]
    with connect(port) as first, connect(port), connect(port):
        accepted = [listener.accept()[0] for _ in range(2)]
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert not ended(first)
        time.sleep(UNTOUCHED)
        accepted.append(listener.accept()[0])
        assert ended(first)
        for connection in accepted:
            connection.close()


def test_one_whose_request_waits_to_be_read_is_not_closed_for_another(listener: Listener) -> None:
    port = listener.getsockname()[1]
    with connect(port) as first, connect(port), connect(port):
        accepted = [listener.accept()[0] for _ in range(2)]
        first.sendall(b"GET")
        time.sleep(UNTOUCHED)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert not ended(first)
        assert accepted[0].recv(3) == b"GET"
        accepted.append(listener.accept()[0])
        assert ended(first)
        for connection in accepted:
            connection.close()


def test_of_many_that_come_at_once_a_few_are_accepted_in_a_turn_of_the_loop() -> None:
    with ExitStack() as stack, Listener.bound("127.0.0.1:0") as listener:
        listener.listen(100)
        listener.setblocking(False)
        for _ in range(2 * AT_ONCE + 1):
            stack.enter_context(connect(listener.getsockname()[1]))
        turns = []
        for _ in range(4):
            taken = 0
            with suppress(BlockingIOError):
                while True:  # as asyncio does
                    stack.enter_context(listener.accept()[0])
                    taken += 1
            turns.append(taken)
    assert turns == [AT_ONCE, AT_ONCE, 1, 0]


async def test_requests_that_came_while_a_process_was_busy_are_answered_though_few_may_be_idle(system: System) -> None:
    web = await asyncio.to_thread(system.web, BUS_MAX_HTTP_CONNECTIONS="5")
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(web.port)) for _ in range(5)]
        await asyncio.to_thread(wait_until, lambda: web.connections() == 5, "connection of each")
        web.pause()
        crowd += [stack.enter_context(connect(web.port)) for _ in range(5)]
        for one in crowd:
            one.sendall(upgrade())
        await asyncio.sleep(UNTOUCHED)
        web.resume()
        answers = [await asyncio.to_thread(one.recv, 4096) for one in crowd]
    assert [answer for answer in answers if not answer.startswith(b"HTTP/1.1 101")] == []


def test_a_connection_that_was_answered_is_idle_for_as_long_as_since_then(listener: Listener) -> None:
    port = listener.getsockname()[1]
    with connect(port) as first, connect(port) as second, connect(port):
        accepted = [listener.accept()[0] for _ in range(2)]
        time.sleep(UNTOUCHED)
        for idle in (False, True):
            listener.mark(accepted[0].fileno(), idle=idle)
        accepted.append(listener.accept()[0])
        assert (ended(first), ended(second)) == (False, True)
        for connection in accepted:
            connection.close()


@pytest.mark.parametrize("files", [1, 10, 100, 200, 1024, 12_000, 1 << 20])
def test_clients_never_get_the_last_descriptors(files: int) -> None:
    settings = fitted(Settings.load(), files)
    assert settings.max_connections > 0
    assert settings.max_http_connections > 0
    if files >= 10:
        assert settings.max_connections + settings.max_http_connections <= files - min(OTHER_FILES, files // 2)
    assert (settings == Settings.load()) == (files >= 11_100)


async def test_as_many_websockets_as_there_is_room_for_and_a_503_for_the_next(system: System) -> None:
    web = await asyncio.to_thread(system.web, "python", "-c", SERVE)
    room = fitted(Settings.load(), FILES).max_connections
    peers = [await dial(web.port) for _ in range(room + 1)]
    assert [peer.status for peer in peers] == [101] * room + [503]
    assert (await asyncio.to_thread(get, f"{web.url}/livez"))[0] == 200
    for peer in peers:
        peer.transport.abort()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_several_processes_have_sockets_of_one_address_and_nobody_else_has(address: str) -> None:
    if "::1" in address and not has_ipv6():
        pytest.skip(NO_IPV6)
    listeners = Listener.several(address, 3)
    for listener in listeners:
        listener.listen()
    name = listeners[0].getsockname()
    bound = address.replace(":0", f":{name[1]}")
    with pytest.raises(CannotListen, match="Address already in use"):
        Listener.several(bound, 1)
    assert {listener.getsockname() for listener in listeners} == {name}
    for listener in listeners:
        listener.end()
    with Listener.bound(bound):
        pass
