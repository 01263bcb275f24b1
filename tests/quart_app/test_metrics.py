"""What is counted, and that several web processes count together."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from testbed.ports import free_port
from testbed.servers import SERVE, Web
from testbed.system import System, running
from tests import metrics_page
from tests.clients import client
from tests.http import get
from tests.quart_app.delivery.test_hub import publish

V1 = Subprotocol("bus.v1")
HELLO = b'{"action":"system_notification","payload":"hello"}'


def counted(web: Web) -> dict[str, float]:
    """Every sample, by name and label values."""
    return metrics_page.counted(f"{web.url}/metrics")


async def until(web: Web, name: str, value: float) -> None:
    async with asyncio.timeout(15):
        while (await asyncio.to_thread(counted, web)).get(name, 0) != value:
            await asyncio.sleep(0.05)


async def test_connections_events_and_what_was_dropped_are_counted(system: System) -> None:
    web = system.web()
    async with client(web.ws_url) as one, client(web.ws_url) as two:
        await one.ping()
        await two.ping()
        await publish(system, "bus.group.system", b"garbage", HELLO)
        await one.receive_until("system_notification")
        await two.send({"action": "nonsense"})
        await two.receive_until("error")
        now = await asyncio.to_thread(counted, web)
        assert now["busctl_connections"] == 2
        assert now["busctl_events_total"] == 1
        assert now["busctl_deliveries_total"] == 2
        assert now["busctl_dropped_total"] == 1
        assert now["busctl_errors_total bad_frame"] == 1
    await until(web, "busctl_connections", 0)


async def test_what_is_shown_is_what_the_page_says(web: Web) -> None:
    shown = await asyncio.to_thread(metrics_page.shown, f"{web.url}/metrics")
    documented = {name.removesuffix("_total") for name in metrics_page.documented("web")}
    assert {name.removesuffix("_total") for name in shown} == documented


async def test_closing_and_refusing_is_counted_by_code(system: System) -> None:
    web = system.web(BUS_MAX_CONNECTIONS="1", BUS_FRAME_BURST="1", BUS_FRAME_RATE="0.001")
    async with client(web.ws_url) as talker:
        await talker.ping()
        with pytest.raises(InvalidStatus):
            async with client(web.ws_url):
                pass
        await talker.send({"action": "ping"})
        with pytest.raises(ConnectionClosed):
            await talker.receive()
    await until(web, "busctl_closed_total 4429 too_many_requests", 1)
    await until(web, "busctl_refused_total 503", 1)


async def test_what_comes_goes_and_comes_back_is_counted(system: System) -> None:
    web = system.web()
    async with connect(web.ws_url, subprotocols=[V1], proxy=None) as one:
        token, cursors = await welcomed(one, {})
        one.transport.abort()
    await publish(system, "bus.group.system", HELLO)
    for resume, outcome in ((token, "recovered"), ("forged", "cut")):
        async with connect(web.ws_url, subprotocols=[V1], proxy=None) as again:
            await welcomed(again, {"resume": resume, "cursors": cursors})
            await until(web, f"busctl_resumes_total {outcome}", 1)
    async with client(web.ws_url) as plain:
        await plain.ping()
        await plain.socket.close(3000)
    await until(web, "busctl_closed_total other client", 1)
    now = await asyncio.to_thread(counted, web)
    assert (now["busctl_opened_total plain"], now["busctl_opened_total bus.v1"]) == (1, 3)
    assert now["busctl_closed_total 1006 client"] == 1
    assert now["busctl_closed_total 1000 client"] == 2
    assert now["busctl_resumes_total new"] == 1
    assert now["busctl_replayed_events_total"] == 2
    assert now["busctl_frames_total"] == 1
    assert now["busctl_received_bytes_total"] == len('{"action": "ping"}')
    assert now["busctl_nats_up"] == 1


async def welcomed(socket: ClientConnection, payload: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """Connect; the resume token, and where the stream ends."""
    await socket.send(json.dumps({"action": "connect", "payload": payload}))
    async with asyncio.timeout(15):
        welcome = json.loads(await socket.recv())["payload"]
    return welcome["resume"], welcome["cursors"]


async def test_bytes_and_the_age_of_events_are_measured(system: System) -> None:
    web = system.web()
    async with client(web.ws_url) as one, client(web.ws_url) as two:
        for connected in (one, two):
            await connected.ping()
        await publish(system, "bus.group.system", HELLO.replace(b"hello", "héllo".encode()))
        sizes = [len(await connected.socket.recv(decode=False)) for connected in (one, two)]
        now = await asyncio.to_thread(counted, web)
    assert now["busctl_delivered_bytes_total"] == sum(sizes)
    assert now["busctl_bus_lag_seconds_count"] == 1
    assert now["busctl_bus_lag_seconds_sum"] < 15


async def test_an_outage_of_nats_is_counted(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        web = system.web()
        async with client(web.ws_url) as connected:
            await connected.ping()
            await until(web, "busctl_nats_up", 1)
            system.nats.kill()
            await until(web, "busctl_nats_outages_total", 1)
            assert (await asyncio.to_thread(counted, web))["busctl_nats_up"] == 0
            system.nats.start()
            await until(web, "busctl_nats_up", 1)
            await until(web, "busctl_refilled_feeds_total", 2)
        assert (await asyncio.to_thread(counted, web))["busctl_nats_outages_total"] == 1


async def test_several_web_processes_answer_for_all(system: System) -> None:
    web = system.web(*SERVE, "--workers", "2")
    async with AsyncExitStack() as stack:
        for _ in range(20):
            connected = await stack.enter_async_context(client(web.ws_url))
            await connected.ping()
        await until(web, "busctl_connections", 20)
    await until(web, "busctl_connections", 0)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_prometheus_has_an_address_of_its_own_and_browsers_are_shown_nothing(
    system: System, workers: str
) -> None:
    bind = f"127.0.0.1:{free_port()}"
    web = system.web(*SERVE, "--workers", workers, BUS_METRICS_TOKEN="", BUS_METRICS_BIND=bind)
    async with client(web.ws_url) as one, client(web.ws_url) as two:
        await one.ping()
        await two.ping()
        status, text = await asyncio.to_thread(get, f"{web.url}/metrics")
        assert (status, "busctl_" in text) == (403, False)
        assert "BUS_METRICS_BIND" in text
        there = await asyncio.to_thread(metrics_page.counted, f"http://{bind}/metrics")
        assert there["busctl_connections"] == 2
    assert await asyncio.to_thread(web.stop) == 0
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(get, f"http://{bind}/metrics")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_with_a_token_metrics_are_for_who_brings_it(system: System, workers: str) -> None:
    web = system.web(*SERVE, "--workers", workers, BUS_METRICS_TOKEN="sésame")

    def asked(*authorization: str) -> tuple[int, str, str | None]:
        request = Request(f"{web.url}/metrics")  # noqa: S310 - always http
        for value in authorization:
            request.add_header("Authorization", value.encode().decode("latin-1"))
        try:
            with urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, answer.read().decode(), None
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode(), refused.headers["WWW-Authenticate"]

    for wrong in ((), ("Bearer",), ("Bearer open",), ("Basic sésame",), ("sésame",), ("Bearer sésame2",)):
        status, text, scheme = await asyncio.to_thread(asked, *wrong)
        assert (status, "busctl_connections" in text, scheme) == (401, False, "Bearer")
    status, text, _ = await asyncio.to_thread(asked, "Bearer sésame")
    assert (status, "busctl_connections" in text) == (200, True)
    assert "sésame" not in web.output()
