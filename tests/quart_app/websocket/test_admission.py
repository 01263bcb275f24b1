"""Admission: as many WebSockets as there is room for, the rest is told to come later."""

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from testbed.servers import Web
from testbed.system import System
from tests.clients import client
from tests.http import get


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_MAX_CONNECTIONS="2")


async def refused(url: str) -> bool:
    try:
        async with connect(url, proxy=None, open_timeout=15):
            return False
    except InvalidStatus as error:
        response = error.response
    return (
        response.status_code == 503
        and int(response.headers["Retry-After"]) > 0
        and b"no room" in (response.body or b"")
    )


async def test_past_the_cap_a_handshake_is_refused_until_one_leaves(web: Web) -> None:
    async with client(web.ws_url) as first:
        async with client(web.ws_url, subprotocols=["bus.v1"]):
            assert await refused(web.ws_url)
            assert (await asyncio.to_thread(get, f"{web.url}/readyz"))[0] == 200
            await first.ping()
        async with asyncio.timeout(15):
            while await refused(web.ws_url):
                await asyncio.sleep(0.02)
        await first.ping()


async def test_a_refused_origin_takes_no_room(web: Web) -> None:
    for _ in range(5):
        with pytest.raises(InvalidStatus) as error:
            await connect(web.ws_url, proxy=None, origin="https://elsewhere.example")  # type: ignore[arg-type]
        assert error.value.response.status_code == 403
        assert error.value.response.headers["X-Content-Type-Options"] == "nosniff"
    async with client(web.ws_url) as connected:
        await connected.ping()
