"""Health: alive is not ready, and not ready says why."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bus import BusUnavailable
from quart_app.web.health import Readiness
from testbed.servers import ConfiguredNats, Web, wait_until
from testbed.system import System
from tests.clients import client
from tests.http import get


def unready(web: Web) -> str:
    """What it says as soon as it is not ready."""
    wait_until(lambda: get(f"{web.url}/readyz")[0] == 503, "unready web process")
    return get(f"{web.url}/readyz")[1]


async def test_ready_when_bus_and_broker_answer(fresh: System) -> None:
    web = fresh.web()
    assert await asyncio.to_thread(get, f"{web.url}/livez") == (200, "ok\n")
    assert await asyncio.to_thread(get, f"{web.url}/readyz") == (200, "bus: ok\nbroker: ok\n")
    fresh.valkey.pause()
    assert "bus: ok\nbroker: Redis does not answer" in await asyncio.to_thread(unready, web)
    fresh.valkey.resume()
    await asyncio.to_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "ready web process")
    fresh.nats.pause()
    assert "bus: NATS" in await asyncio.to_thread(unready, web)
    assert await asyncio.to_thread(get, f"{web.url}/livez") == (200, "ok\n")
    fresh.nats.resume()


async def test_all_who_ask_within_a_second_share_one_look() -> None:
    looks, release = [], asyncio.Event()

    async def check() -> None:
        looks.append(asyncio.get_running_loop().time())
        await release.wait()
        raise BusUnavailable("no")

    readiness = Readiness(bus=check)
    asking = [asyncio.create_task(readiness.look()) for _ in range(200)]
    await asyncio.sleep(0)
    asking[0].cancel()
    release.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[1:] == [{"bus": "no"}] * 199
    assert len(looks) == 1
    async with asyncio.timeout(5):
        while len(looks) == 1:
            await readiness.look()
            await asyncio.sleep(0.01)
    assert looks[1] - looks[0] > 0.9


async def test_many_load_balancers_at_once_cost_nats_one_look(fresh: System) -> None:
    web = fresh.web()

    def asked() -> int:
        [connection] = fresh.nats.monitored("connz")["connections"]
        return int(connection["in_msgs"])

    before = asked()
    with ThreadPoolExecutor(50) as pool:
        answers = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(pool, get, f"{web.url}/readyz") for _ in range(200))
        )
    assert {status for status, _ in answers} == {200}
    assert asked() - before < 20  # looks of its own, and those of as many seconds as that takes


async def test_a_web_process_that_may_not_hear_its_clients_says_so(tmp_path: Path) -> None:
    def login(permissions: str = "") -> str:
        return f'authorization {{ users: [ {{ user: "u", password: "p"\n{permissions} }} ] }}'

    system = System(tmp_path)
    system.nats = nats = ConfiguredNats(tmp_path, login())
    nats.url = nats.url.replace("//", "//u:p@")
    reason = 'bus: the NATS user "u" may not subscribe "live.client.'
    try:
        system.start()
        web = system.web()
        nats.configure(login('permissions: { subscribe: { deny: ["live.client.>"] } }'))
        await asyncio.to_thread(wait_until, lambda: reason in get(f"{web.url}/readyz")[1], "reason")
        with pytest.raises(AssertionError, match=r'may not subscribe "live.client.*add "live.client'):
            await asyncio.to_thread(system.web)
        nats.configure(login())
        await asyncio.to_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "ready web process", 10)
    finally:
        system.stop()


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
