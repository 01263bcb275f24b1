"""Which host names a process answers for, over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import http.client

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from testbed.servers import Web
from testbed.system import System

ALLOWED = ("localhost", "LOCALHOST:1", "localhost.", "a.example.com", "a.b.Example.com:443", "[::1]:8000", "[0::1]")
REFUSED = ("rebind.evil", "example.com", "notexample.com", "localhost.evil", "[::2]", "127.0.0.1", "a b", "a@localhost")


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_ALLOWED_HOSTS="Localhost, *.example.com, ::1")


def get(web: Web, path: str, *hosts: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


async def handshake(web: Web, host: str) -> int:
    """The status of a handshake that has this Host, and the Origin of that page."""
    address = {"host": "127.0.0.1", "port": web.port}
    try:
        async with connect(
            f"ws://{host}/ws/system", proxy=None, origin=Origin(f"http://{host}"), open_timeout=20, **address
        ):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize("host", ALLOWED)
def test_a_listed_host_is_answered(web: Web, host: str) -> None:
    assert get(web, "/system/", host)[0] == 200


@pytest.mark.parametrize("host", REFUSED)
@pytest.mark.parametrize("path", ["/system/", "/system", "/asyncapi.json", "/static/style.css", "/nowhere"])
def test_another_host_is_refused_whatever_it_asks_for(web: Web, host: str, path: str) -> None:
    status, body = get(web, path, host)
    assert (status, "BUS_ALLOWED_HOSTS" in body) in ((421, True), (400, False))


async def test_handshakes_are_told_apart_in_the_same_way(web: Web) -> None:
    assert await handshake(web, "rebind.evil") == 421
    assert await handshake(web, f"rebind.evil:{web.port}") == 421
    assert await handshake(web, "[::2]:8000") == 421
    for host in ("localhost:8000", "[::1]:8000", "a.example.com"):
        assert await handshake(web, host) == 101


def test_health_checks_are_answered_under_every_name(web: Web) -> None:
    for host in ("10.0.0.7:8000", "web.default.svc.cluster.local", ""):
        assert get(web, "/livez", host)[0] == 200
        assert get(web, "/readyz", host)[0] == 200


def test_without_a_list_every_host_is_answered(system: System) -> None:
    web = system.web()
    assert get(web, "/system/", "whatever.example")[0] == 200
    assert asyncio.run(handshake(web, "whatever.example")) == 101
