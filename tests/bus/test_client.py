"""Bus: what one process stores, others hear, once, in order."""

import asyncio
import json
from urllib.request import urlopen

import nats as nats_py
import pytest

from bus import Bus, BusUnavailable, InvalidName, Settings, Stored, SystemNotification, subjects
from bus.messages import JobResult
from testbed.system import System
from tests.deadlines import impatient_bus


async def test_what_is_stored_is_heard_once_and_in_order(settings: Settings) -> None:
    heard: list[Stored] = []
    done = asyncio.Event()

    def on_event(stored: Stored) -> None:
        heard.append(stored)
        if len(heard) == 100:
            done.set()

    async with Bus(settings) as bus, Bus(settings) as other:
        await bus.subscribe(subjects.group("heard"), on_event)
        await bus.confirm_subscriptions()
        sent = [
            (await other.broadcast_event(SystemNotification(payload=str(n)), groups=["heard"]))[0] for n in range(100)
        ]
        async with asyncio.timeout(10):
            await done.wait()
    assert [stored.seq for stored in heard] == sent
    assert heard[7].data == b'{"action":"system_notification","payload":"7"}'
    assert heard[7].subject == "bus.group.heard"


async def test_a_message_that_only_pretends_to_be_republished_is_not_heard(settings: Settings) -> None:
    heard: list[Stored] = []
    async with Bus(settings) as bus:
        await bus.subscribe(subjects.group("forged"), heard.append)
        await bus.confirm_subscriptions()
        connection = await nats_py.connect(settings.nats_url)
        await connection.publish("live.group.forged", b"{}")
        await connection.publish("live.group.forged", b"{}", headers={"Nats-Sequence": "-1"})
        await connection.drain()
        await bus.broadcast_event(SystemNotification(payload="real"), groups=["forged"])
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
    assert [b"real" in stored.data for stored in heard] == [True]


async def test_events_for_one_client_and_for_groups(settings: Settings) -> None:
    async with Bus(settings) as bus:
        event = SystemNotification(payload="x")
        seq = await bus.send_event(event, "client-1")
        stored = await bus.stream.last(subjects.client_event("client-1"))
        assert stored is not None
        assert stored.seq == seq
        assert len(await bus.broadcast_event(event, groups=["g1", "g2"])) == 2


async def test_a_bad_group_stores_nothing(settings: Settings) -> None:
    async with Bus(settings) as bus:
        with pytest.raises(InvalidName):
            await bus.broadcast_event(SystemNotification(payload="x"), groups=["never", "a.b"])
        assert await bus.stream.last(subjects.group("never")) is None
        with pytest.raises(TypeError, match="groups=\\[name\\]"):
            await bus.broadcast_event(SystemNotification(payload="x"), groups="system")


async def test_steps_of_a_job_are_refused(settings: Settings) -> None:
    async with Bus(settings) as bus:
        with pytest.raises(TypeError, match="job_log"):
            await bus.send_event(JobResult(payload="forged"), "client-1")


async def test_subscriptions_come_back_with_the_server(fresh: System) -> None:
    gaps = asyncio.Event()
    heard = asyncio.Event()
    async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus:
        bus.add_gap_callback(gaps.set)
        await bus.subscribe(subjects.group("system"), lambda stored: heard.set())
        await bus.confirm_subscriptions()
        fresh.nats.kill()
        async with asyncio.timeout(10):
            while bus.connected:
                await asyncio.sleep(0.01)
        with pytest.raises(BusUnavailable, match="away"):
            await bus.broadcast_event(SystemNotification(payload="lost"))
        async with asyncio.timeout(10):
            await gaps.wait()
        gaps.clear()
        await asyncio.to_thread(fresh.nats.start)
        async with asyncio.timeout(20):
            await gaps.wait()
        await bus.broadcast_event(SystemNotification(payload="back"))
        async with asyncio.timeout(10):
            await heard.wait()


async def test_a_frozen_server_does_not_hang_an_append(fresh: System) -> None:
    async with impatient_bus(Settings.load(nats_url=fresh.nats.url), append_timeout=0.3) as bus:
        fresh.nats.pause()
        with pytest.raises(BusUnavailable, match="did not answer") as caught:
            await bus.broadcast_event(SystemNotification(payload="?"))
        assert caught.value.maybe_done
        fresh.nats.resume()


async def test_a_subscription_closed_while_nats_is_away_does_not_come_back(fresh: System) -> None:
    async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus:
        kept = await bus.subscribe(subjects.group("kept"), lambda stored: None)
        fresh.nats.kill()
        async with asyncio.timeout(10):
            while bus.connected:
                await asyncio.sleep(0.01)
        late = await bus.subscribe(subjects.group("late"), lambda stored: None)
        await late.close()
        await asyncio.to_thread(fresh.nats.start)
        async with asyncio.timeout(20):
            while not bus.connected:
                await asyncio.sleep(0.01)
        await bus.confirm_subscriptions()
        with await asyncio.to_thread(urlopen, f"{fresh.nats.monitor_url}/subsz?subs=1", timeout=10) as answer:
            listed = {entry["subject"] for entry in json.load(answer)["subscriptions_list"]}
        assert "live.group.kept" in listed
        assert "live.group.late" not in listed
        await kept.close()
