"""The hub: events reach the right connections once; garbage from other programs reaches nobody."""

import asyncio
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import nats as nats_py
import pytest

from bus import Bus, Settings, SystemNotification
from bus.messages import JobProgress
from testbed.servers import Nats, Web
from testbed.system import System
from tests.clients import client
from tests.http import get
from tests.raw_jetstream import settle

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


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    servers.worker()
    return servers


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
            assert abs(datetime.now(UTC) - datetime.fromisoformat(frame.pop("at"))) < timedelta(minutes=1)
            assert frame == {"action": "system_notification", "payload": "hi", "group": "system"}


async def test_garbage_is_dropped_and_disturbs_nobody(system: System, web: Web) -> None:
    async with client(web.ws_url) as receiver:
        await publish(system, "bus.group.system", *GARBAGE)
        await publish(system, "bus.group.system", b'{"action":"system_notification","payload":"after"}')
        assert (await receiver.receive())["payload"] == "after"
        await receiver.ping()
    assert "dropped a bus message that is not an event" in web.output()


NOTICE = b'{"action":"system_notification","payload":"forged"}'


@pytest.mark.parametrize("seq", ["4611686018427387904", "9" * 5000])
async def test_an_absurd_sequence_on_a_live_subject_makes_nobody_deaf(system: System, seq: str) -> None:
    web = system.web()
    told = {"Nats-Stream": "EVENTS", "Nats-Subject": "bus.group.system", "Nats-Time-Stamp": "2026-01-02T03:04:05Z"}
    connection = await nats_py.connect(system.nats.url)
    async with client(web.ws_url) as here:
        await here.ping()
        await connection.publish("live.group.system", NOTICE, headers=told | {"Nats-Sequence": seq})
        await settle(connection)
        async with client(web.ws_url) as new:
            await new.ping()
            await publish(system, "bus.group.system", b'{"action":"system_notification","payload":"real"}')
            assert [(await receiver.receive())["payload"] for receiver in (here, new)] == ["real", "real"]
    await connection.close()
    _, text = await asyncio.to_thread(get, f"{web.url}/metrics")
    assert re.search(r"^busctl_dropped_total [1-9]", text, re.MULTILINE)


@pytest.mark.parametrize("ahead", [1, 5, 2**40])
async def test_a_forged_event_of_a_client_hides_none_of_its_jobs(system: System, web: Web, ahead: int) -> None:
    connection = await nats_py.connect(system.nats.url)
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect"})
        welcome = (await connected.receive())["payload"]
        subject = f"client.{welcome['client_id']}.event"
        told = {"Nats-Stream": "EVENTS", "Nats-Subject": f"bus.{subject}", "Nats-Time-Stamp": "2026-01-02T03:04:05Z"}
        told["Nats-Sequence"] = str(welcome["cursors"]["client"] + ahead)
        await connection.publish(f"live.{subject}", NOTICE, headers=told)
        await settle(connection)
        for content in ("one", "two"):
            await connected.submit("default", content)
            frames = await connected.receive_until("job_result")
            shown = [frame["action"] for frame in frames if frame["action"].startswith("job_") and "seq" in frame]
            assert shown == ["job_queued", "job_started", "job_result"]
    await connection.close()


@pytest.mark.parametrize(
    ("subject", "headers"),
    [
        (b"live.client.x.\xff", b"NATS/1.0\r\n\r\n"),
        (b"live.group.system", b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
        (b"live.group.system", b"NATS/1.0 200 \xff\r\n\r\n"),
        (b"live.group.system", b"NATS/1.0\r\n\xff: \xff\r\n: \r\nNats-Sequence\r\n\r\n"),
        (b"bus.group.system", b"NATS/1.0\r\nNats-Sequence: 9\r\nStatus: 500\r\nNats-Subject: \xff\r\n\r\n"),
    ],
)
async def test_bytes_that_are_no_text_cost_only_their_own_message(
    settings: Settings, nats: Nats, subject: bytes, headers: bytes
) -> None:
    """NATS takes any bytes for a subject and for headers, the client library does not."""
    heard: list[bytes] = []
    async with Bus(settings) as bus:
        before = (await bus.stream.state()).last_seq
        await bus.subscribe("bus.client.x.>", lambda stored: heard.append(stored.data))
        await bus.subscribe("bus.group.system", lambda stored: heard.append(stored.data))
        await bus.confirm_subscriptions()
        await asyncio.to_thread(raw_publish, nats.port, subject, headers, b"x")
        await bus.broadcast_event(SystemNotification(payload="after"))
        async with asyncio.timeout(5):
            while not heard or b"after" not in heard[-1]:
                await asyncio.sleep(0.01)
        read = [stored.data async for stored in bus.stream.replay("bus.group.system", after=before)]
        assert b"after" in read[-1]


def raw_publish(port: int, subject: bytes, headers: bytes, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as nats:
        nats.sendall(b'CONNECT {"verbose":false,"headers":true,"protocol":1}\r\n')
        nats.sendall(b"HPUB %s %d %d\r\n" % (subject, len(headers), len(headers) + len(data)) + headers + data)
        nats.sendall(b"\r\nPING\r\n")
        answer = b""
        while b"PONG" not in answer:
            answer += (got := nats.recv(4096))
            assert got, answer


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


async def test_progress_is_subscribed_by_those_alone_who_may_see_some(system: System, web: Web) -> None:
    """A newcomer without a job, and a client of the plain protocol, cost NATS one subscription and not two."""

    def subscribed() -> list[str]:
        return [entry["subject"] for entry in system.nats.monitored("subsz?subs=1")["subscriptions_list"]]

    async def wait_for(count: int) -> None:
        async with asyncio.timeout(10):
            while (
                sum(subject.startswith("progress.client.") for subject in await asyncio.to_thread(subscribed)) != count
            ):
                await asyncio.sleep(0.02)

    async with client(web.ws_url) as plain, client(web.ws_url, subprotocols=["bus.v1"]) as modern:
        await plain.submit("default", "x")
        await plain.receive_until("job_result", 60)
        await modern.send({"action": "connect"})
        welcome = (await modern.receive())["payload"]
        await modern.ping()
        await wait_for(0)
        await modern.submit("default", "x")
        await modern.receive_until("job_result", 60)
        await wait_for(1)
        async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
            await bus.publish_progress(JobProgress(payload=0.5), welcome["client_id"], "j")
        assert await modern.receive() == {"action": "job_progress", "payload": 0.5, "job_id": "j"}
        async with client(web.ws_url, subprotocols=["bus.v1"]) as again:
            await again.send({"action": "connect", "payload": {"resume": welcome["resume"]}})
            await again.receive()
            await wait_for(1)
    await wait_for(0)
    async with client(web.ws_url, subprotocols=["bus.v1"]) as again:
        await again.send({"action": "connect", "payload": {"resume": welcome["resume"]}})
        await again.receive()
        await wait_for(1)
