"""What is counted, and that several web processes count together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus

from testbed.servers import SERVE, Web
from testbed.system import System
from tests.clients import client
from tests.http import get
from tests.quart_app.delivery.test_hub import publish

HELLO = b'{"action":"system_notification","payload":"hello"}'


def counted(web: Web) -> dict[str, float]:
    """Every sample, by name and label value."""
    status, text = get(f"{web.url}/metrics")
    assert status == 200
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


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
    await until(web, "busctl_closed_total 4429", 1)
    await until(web, "busctl_refused_total 503", 1)


async def test_several_web_processes_answer_for_all(system: System) -> None:
    web = system.web(*SERVE, "--workers", "2")
    async with AsyncExitStack() as stack:
        for _ in range(20):
            connected = await stack.enter_async_context(client(web.ws_url))
            await connected.ping()
        await until(web, "busctl_connections", 20)
    await until(web, "busctl_connections", 0)


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
