"""Health: alive is not ready, and not ready says why."""

import asyncio
import urllib.error
import urllib.request

import pytest

from tests.clients import client
from tests.servers import System, wait_until


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_ready_when_bus_and_broker_answer(fresh: System) -> None:
    web = fresh.web()
    assert await asyncio.to_thread(get, f"{web.url}/livez") == (200, "ok\n")
    assert await asyncio.to_thread(get, f"{web.url}/readyz") == (200, "bus: ok\nbroker: ok\n")
    fresh.valkey.pause()
    status, text = await asyncio.to_thread(get, f"{web.url}/readyz")
    assert status == 503
    assert "bus: ok\nbroker: Redis does not answer" in text
    fresh.valkey.resume()
    fresh.nats.pause()
    status, text = await asyncio.to_thread(get, f"{web.url}/readyz")
    assert status == 503
    assert "bus: NATS" in text
    assert await asyncio.to_thread(get, f"{web.url}/livez") == (200, "ok\n")
    fresh.nats.resume()


def test_without_nats_the_web_process_ends_with_one_clear_line(fresh: System) -> None:
    fresh.nats.kill()
    with pytest.raises(AssertionError, match="NATS_URL") as caught:
        fresh.web(BUS_CONNECT_TIMEOUT="0.5")
    assert "ended with 1" in str(caught.value)
    assert "Traceback" not in str(caught.value)


async def test_it_ends_in_order_while_nats_is_away(fresh: System) -> None:
    web = fresh.web()
    async with client(web.ws_url) as connected:
        await connected.ping()
        fresh.nats.kill()
        await asyncio.to_thread(wait_until, lambda: "lost NATS" in web.output(), "loss of NATS")
        assert await asyncio.to_thread(web.stop) == 0
        async with asyncio.timeout(10):
            await connected.socket.wait_closed()
        assert connected.socket.close_code == 1012
    assert "Traceback" not in web.output()
