"""busctl conns: the WebSockets that are open."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bus import Bus, Settings, subjects
from quart_app.services import Services
from quart_app.web_service import PAGE, web_service
from testbed.servers import Nats
from testbed.system import System
from tests.cli.command import busctl
from tests.clients import client


def listed(system: System, *arguments: str) -> list[dict[str, Any]]:
    shown = busctl("conns", "--json", *arguments, **system.env)
    assert (shown.returncode, shown.stderr) == (0, "")
    return [json.loads(line) for line in shown.stdout.splitlines()]


async def test_each_connection_is_one_object_whatever_web_process_has_it(servers: System) -> None:
    one, two = await asyncio.to_thread(servers.web), await asyncio.to_thread(servers.web)
    async with client(one.ws_url) as first, client(two.ws_url) as second, client(two.ws_url) as third:
        for each in (first, second, third):
            await each.ping()
        found = await asyncio.to_thread(listed, servers)
        assert len({conn["web"] for conn in found}) == 2
        assert len({conn["client_id"] for conn in found}) == len(found) == 3
        assert {conn["protocol"] for conn in found} == {"plain"}
        assert {conn["waiting"] for conn in found} == {0}
        assert all(conn["address"].startswith("127.0.0.1:") for conn in found)
        name = found[-1]["client_id"]
        assert [conn["client_id"] for conn in await asyncio.to_thread(listed, servers, "--client", name)] == [name]
        assert len(await asyncio.to_thread(listed, servers, "--limit", "2")) == 2
        shown = await asyncio.to_thread(busctl, "conns", "--limit", "1", **servers.env)
        assert shown.stdout.splitlines()[0].split() == ["WEB", "CLIENT", "PROTOCOL", "OPEN", "WAITING", "ADDRESS"]
        assert shown.stderr == "1 of 3 connections; --limit shows more.\n"
        for arguments in (("--limit", "3"), ("--limit", "1", "--client", name)):
            assert (await asyncio.to_thread(busctl, "conns", *arguments, **servers.env)).stderr == ""


def test_without_a_web_process_it_says_so(nats: Nats) -> None:
    failed = busctl("conns", NATS_URL=nats.url)
    assert failed.returncode == 1
    assert "busctl serve" in failed.stderr


class Open:
    """As much of a connection as is told of."""

    since, address, protocol, waiting = 1.0, "here", "bus.v1", 7

    def __init__(self, number: int) -> None:
        self.number = number
        self.client_id = f"client-{number % 3}"


@pytest.mark.parametrize("request_", [b"", b"[]", b"{", b'{"after": "x"}', b"[" * 100_000])
async def test_many_are_told_of_a_page_at_a_time_whatever_is_asked(settings: Settings, request_: bytes) -> None:
    connections = [Open(number) for number in range(2 * PAGE, 0, -1)]
    async with Bus(settings) as bus:
        service = web_service(Services.of(settings, {}), connections)
        await service.start(bus)
        await bus.confirm_subscriptions()
        subject = subjects.connections(service.instance)
        page = json.loads(await bus.request(subject, request_, timeout=5) or b"")
        assert [conn["number"] for conn in page["connections"]] == list(range(1, PAGE + 1))
        assert page["more"]
        rest = json.loads(await bus.request(subject, b'{"after": %d}' % (PAGE + 1), timeout=5) or b"")
        assert (len(rest["connections"]), rest["more"]) == (PAGE - 1, False)
        only = json.loads(await bus.request(subject, b'{"client_id": "client-1"}', timeout=5) or b"")
        assert {conn["client_id"] for conn in only["connections"]} == {"client-1"}


async def test_all_pages_are_read(nats: Nats, settings: Settings) -> None:
    async with Bus(settings) as bus:
        await web_service(Services.of(settings, {}), [Open(number) for number in range(1, 2 * PAGE + 2)]).start(bus)
        await bus.confirm_subscriptions()
        shown = await asyncio.to_thread(busctl, "conns", "--json", "--limit", "100000", NATS_URL=nats.url)
        assert shown.stdout.count("\n") == 2 * PAGE + 1
        of_one = ("conns", "--client", "client-1", "--limit", str(PAGE // 2))
        shown = await asyncio.to_thread(busctl, *of_one, NATS_URL=nats.url)
        assert shown.stderr == f"The first {PAGE // 2:,} of this client; --limit shows more.\n"
