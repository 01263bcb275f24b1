"""The hub: events reach the right connections once; garbage from other programs reaches nobody."""

import asyncio
import json
from urllib.request import urlopen

import nats as nats_py

from tests.clients import client
from tests.servers import System, Web

GARBAGE = [
    b"",
    b"\xff\xfe",
    b"not json",
    b"null",
    b"[]",
    b"5",
    b"[" * 100_000,
    b'{"action":5}',
    b'{"action":["system_notification"]}',
    b'{"action":"unknown","payload":"x"}',
    b'{"action":"system_notification"}',
    b'{"action":"system_notification","payload":5}',
    b'{"action":"system_notification","payload":"\\ud800"}',
    b'{"action":"system_notification","payload":NaN}',
    b'{"action":"job_result","payload":"a job event has no place in a group"}',
]


async def publish(system: System, subject: str, *messages: bytes) -> None:
    connection = await nats_py.connect(system.nats.url)
    for message in messages:
        await connection.jetstream().publish(subject, message)
    await connection.drain()


async def test_any_nats_client_can_broadcast(system: System, web: Web) -> None:
    async with client(web.ws_url) as one, client(web.ws_url) as two:
        await publish(system, "bus.group.system", b'{"action":"system_notification","payload":"hi"}')
        for receiver in (one, two):
            frame = await receiver.receive()
            assert list(frame)[:2] == ["action", "payload"]
            assert frame.pop("seq") > 0
            assert frame == {"action": "system_notification", "payload": "hi", "group": "system"}


async def test_garbage_is_dropped_and_disturbs_nobody(system: System, web: Web) -> None:
    async with client(web.ws_url) as receiver:
        await publish(system, "bus.group.system", *GARBAGE)
        await publish(system, "bus.group.system", b'{"action":"system_notification","payload":"after"}')
        assert (await receiver.receive())["payload"] == "after"
        await receiver.ping()
    assert "dropped a bus message that is no event" in web.output()


async def test_a_client_hears_only_its_own_jobs(web: Web) -> None:
    async with client(web.ws_url) as one, client(web.ws_url) as two:
        await one.submit("default", "mine")
        assert (await one.receive_until("job_result"))[-1]["payload"] == "✅ Processed: MINE"
        await two.send({"action": "ping"})
        assert (await two.receive())["action"] == "pong"


async def test_monitoring_shows_a_clients_subject_while_it_is_connected(system: System, web: Web) -> None:
    def subjects() -> set[str]:
        with urlopen(f"{system.nats.monitor_url}/subsz?subs=1", timeout=10) as answer:  # noqa: S310
            listed = json.load(answer)["subscriptions_list"]
        return {entry["subject"] for entry in listed if entry["subject"].startswith("live.client.")}

    before = await asyncio.to_thread(subjects)
    async with client(web.ws_url) as connected:
        await connected.ping()
        new = await asyncio.to_thread(subjects) - before
        assert len(new) == 1
        assert new.pop().endswith(".>")
    async with asyncio.timeout(10):
        while await asyncio.to_thread(subjects) - before:
            await asyncio.sleep(0.05)
