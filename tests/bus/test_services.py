"""Processes that tell who they are, as NATS services do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import nats as nats_py
import pytest
from nats.aio.client import Client

from bus import Bus, NotPermitted, Settings, subjects
from bus.services import BURST, Endpoint, Service, find
from testbed.servers import ConfiguredNats, Nats


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


def a_service(name: str, instance: str = "one") -> Service:
    endpoint = Endpoint(
        "echo", f"{name}.{instance}.echo", lambda request: {"said": request.decode()}, lambda: {"busy": 3}
    )
    return Service(
        name, instance=instance, version="1.2.3", description="tries", metadata={"host": "h"}, endpoints=[endpoint]
    )


async def asked(nats: Nats, subject: str, data: bytes = b"") -> dict[str, Any]:
    client = await nats_py.connect(nats.url)
    try:
        answer: dict[str, Any] = json.loads((await client.request(subject, data, 5)).data)
        return answer
    finally:
        await client.close()


@pytest.mark.parametrize("whom", [("s-forms",), ("s-forms", "one")], ids=["by name", "by instance"])
async def test_each_verb_is_answered_as_adr_32_has_it(nats: Nats, bus: Bus, whom: tuple[str, ...]) -> None:
    subscriptions = await a_service("s-forms").start(bus)
    await bus.confirm_subscriptions()
    identity = {"name": "s-forms", "id": "one", "version": "1.2.3", "metadata": {"host": "h"}}
    ping, info, stats = [await asked(nats, subjects.service(verb, *whom)) for verb in ("PING", "INFO", "STATS")]
    assert ping == {"type": "io.nats.micro.v1.ping_response", **identity}
    assert info == info | {"type": "io.nats.micro.v1.info_response", "description": "tries", **identity}
    assert [endpoint["subject"] for endpoint in info["endpoints"]] == ["s-forms.one.echo"]
    assert stats == stats | {"type": "io.nats.micro.v1.stats_response", **identity}
    assert stats["endpoints"][0]["data"] == {"busy": 3}
    for subscription in subscriptions:
        await subscription.close()


async def test_an_endpoint_is_asked_on_its_own_subject_and_counts(nats: Nats, bus: Bus) -> None:
    await a_service("s-echo").start(bus)
    await bus.confirm_subscriptions()
    assert await asked(nats, "s-echo.one.echo", b"hello") == {"said": "hello"}
    stats = await asked(nats, subjects.service("STATS", "s-echo"))
    assert stats["endpoints"][0]["num_requests"] == 1


async def test_all_of_a_name_are_found_and_what_is_no_answer_is_passed_over(nats: Nats, bus: Bus) -> None:
    for instance in ("a", "b", "c"):
        await a_service("s-many", instance).start(bus)
    liar = await nats_py.connect(nats.url)
    for answer in (b"no json", b'{"name": "s-many"}', b'{"name": "another", "id": "x", "version": "1"}'):
        await liar.subscribe(subjects.service("STATS", "s-many"), cb=_answering(liar, answer))
    await liar.flush()
    await bus.confirm_subscriptions()
    found = await find(bus, "s-many", within=5)
    assert sorted(one.id for one in found) == ["a", "b", "c"]
    assert found[0].data == {"busy": 3}
    assert await find(bus, "s-nobody", within=5) == []
    await liar.close()


def _answering(client: Client, answer: bytes) -> Any:
    async def answering(message: Any) -> None:
        await client.publish(message.reply, answer)

    return answering


async def test_whoever_asks_too_often_is_not_answered(nats: Nats, bus: Bus) -> None:
    await a_service("s-busy").start(bus)
    await bus.confirm_subscriptions()
    client = await nats_py.connect(nats.url)
    answers = 0

    async def on_answer(_: Any) -> None:
        nonlocal answers
        answers += 1

    await client.subscribe("answers", cb=on_answer)
    for _ in range(1000):
        await client.publish(subjects.service("PING", "s-busy"), reply="answers")
    await client.flush()
    async with asyncio.timeout(20):
        while not await bus.gather(subjects.service("PING", "s-busy"), within=1, quiet=0.1, most=1):
            pass  # it answers again, and so all that came before was looked at
    assert BURST // 2 <= answers < 500
    await client.close()


async def test_a_process_that_may_not_be_asked_works_all_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = ConfiguredNats(
        tmp_path_factory.mktemp("denied"),
        'accounts { A { jetstream: enabled, users: [{ user: u, password: p, permissions: { publish: ">", '
        'subscribe: { deny: "$SRV.>" } } }, { user: asks, password: p, permissions: { publish: '
        '{ deny: "$SRV.>" } } }] } }',
    )
    server.start()
    try:
        url = server.url.removeprefix("nats://")
        async with Bus(Settings.load(nats_url=f"nats://u:p@{url}")) as bus:
            await a_service("s-denied").start(bus)
            await bus.confirm_subscriptions()
            await bus.ping()
        async with Bus(Settings.load(nats_url=f"nats://asks:p@{url}"), declare=False) as bus:
            with pytest.raises(NotPermitted, match=r'publish "\$SRV\.STATS\.s-denied"'):
                await find(bus, "s-denied", within=5)
    finally:
        server.kill()
