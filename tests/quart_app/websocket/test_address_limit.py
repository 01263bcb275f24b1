"""How much of a web process one address may take."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from bus import Settings
from quart_app import rate_by_key
from quart_app.websocket.address_limit import AddressLimit
from testbed.servers import Web
from testbed.system import System
from tests.http import get

SLOW = 0.001
"""Handshakes a second: none comes back while a test runs."""


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(
        BUS_TRUSTED_PROXIES="127.0.0.1",
        BUS_MAX_CONNECTIONS_PER_ADDRESS="2",
        BUS_HANDSHAKE_RATE_PER_ADDRESS=str(SLOW),
        BUS_HANDSHAKE_BURST_PER_ADDRESS="4",
    )


def of(web: Web, client: str) -> connect:
    return connect(web.ws_url, proxy=None, open_timeout=20, additional_headers={"X-Forwarded-For": client})


async def refused(web: Web, client: str) -> str:
    """The variable that the text of a 429 names; empty when the client came in."""
    try:
        async with of(web, client):
            return ""
    except InvalidStatus as error:
        response = error.response
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    return (response.body or b"").decode().split()[-1]


async def test_one_address_has_so_many_open_and_others_come_in(web: Web) -> None:
    async with of(web, "192.0.2.1"), of(web, "192.0.2.1"):
        assert await refused(web, "192.0.2.1") == "BUS_MAX_CONNECTIONS_PER_ADDRESS"
        assert await refused(web, "192.0.2.2") == ""
    async with asyncio.timeout(20):
        while await refused(web, "192.0.2.1"):
            await asyncio.sleep(0.02)
    assert 'busctl_refused_total{status="429"}' in (await asyncio.to_thread(get, f"{web.url}/metrics"))[1]


async def test_one_network_of_ipv6_is_one_address(web: Web) -> None:
    async with of(web, "2001:db8::1"), of(web, "2001:db8::2"):
        assert await refused(web, "2001:db8::3") == "BUS_MAX_CONNECTIONS_PER_ADDRESS"
        assert await refused(web, "2001:db8:0:1::3") == ""


async def test_one_address_connects_so_often(web: Web) -> None:
    for _ in range(4):
        async with asyncio.timeout(20):
            while (why := await refused(web, "192.0.2.9")) == "BUS_MAX_CONNECTIONS_PER_ADDRESS":
                await asyncio.sleep(0.02)
        assert why == ""
    assert await refused(web, "192.0.2.9") == "BUS_HANDSHAKE_RATE_PER_ADDRESS"
    assert await refused(web, "192.0.2.10") == ""


def limit(**values: object) -> AddressLimit:
    return AddressLimit(Settings.load(**values))


def test_handshakes_come_back_with_time_and_refused_ones_take_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(rate_by_key.time, "monotonic", lambda: now)
    limited = limit(handshake_rate_per_address=2, handshake_burst_per_address=3)
    assert [limited.refusal("192.0.2.1") is None for _ in range(9)] == [True] * 3 + [False] * 6
    now += 0.5
    assert [limited.refusal("192.0.2.1") is None for _ in range(2)] == [True, False]
    now += 3600
    assert [limited.refusal("192.0.2.1") is None for _ in range(4)] == [True] * 3 + [False]


def test_no_number_of_addresses_takes_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_by_key, "MOST_REMEMBERED", 100)
    limited = limit(handshake_rate_per_address=SLOW, max_connections_per_address=1)
    for number in range(1000):
        peer = f"10.0.{number // 250}.{number % 250}"
        assert limited.refusal(peer) is None
        with limited.opened(peer):
            assert limited.refusal(peer) is not None
    assert limited._handshakes is not None
    assert len(limited._handshakes) == 100
    assert not limited._open


def test_without_settings_and_without_an_address_there_is_no_limit() -> None:
    for limited, peer in ((limit(), "192.0.2.1"), (limit(handshake_rate_per_address=SLOW), None)):
        for _ in range(1000):
            assert limited.refusal(peer) is None
