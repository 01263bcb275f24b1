"""Server-Sent Events: who reads, from where, what comes again, and who is refused or sent away."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from bus import Bus, Settings, SystemNotification
from quart_app import create_app
from quart_app.websocket.reception import Reception
from testbed.servers import Web, wait_until
from testbed.system import System
from tests.in_process import serving
from tests.metrics_page import counted
from tests.quart_app.test_identity import COOKIE, JWT
from tests.sse import Follower, ask, reading
from tests.tokens import token

SECRET = "s" * 64


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_SECRET=SECRET, BUS_MAX_CONNECTIONS="3")


@pytest.fixture(scope="module")
def of_users(system: System) -> Web:
    """A web process where everybody has to be somebody."""
    return system.web(**JWT)


async def announce(system: System, *texts: str) -> None:
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        for text in texts:
            await bus.broadcast_event(SystemNotification(payload=text))


async def test_who_brings_its_position_back_gets_what_it_missed_once(system: System, web: Web) -> None:
    follower = Follower()
    async with follower.reading(web) as reader:
        await announce(system, "0")
        await follower.see(reader, "system_notification")
    for missed in range(1, 4):
        await announce(system, *map(str, range(100 * missed, 100 * missed + missed)))
        async with follower.reading(web) as reader:
            for _ in range(missed):
                await follower.see(reader, "system_notification")
    assert [event["payload"] for event in follower.events] == ["0", "100", "200", "201", "300", "301", "302"]


async def test_who_is_lost_at_random_in_replays_and_live_gets_all_of_both_scopes_once(system: System, web: Web) -> None:
    follower, dice = Follower(), random.Random(7)
    async with follower.reading(web) as reader:
        client_id = follower.client_id
    total = 300
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:

        async def write(numbers: range) -> None:
            for number in numbers:
                event = SystemNotification(payload=str(number))
                await (bus.send_event(event, client_id) if number % 3 else bus.broadcast_event(event))

        await write(range(total // 2))
        writing = asyncio.create_task(write(range(total // 2, total)))
        while len(follower.events) < total:
            async with follower.reading(web) as reader:
                for _ in range(min(dice.randrange(25), total - len(follower.events))):
                    await follower.see(reader, "system_notification")
        await writing
    for in_group in (True, False):
        seen = [int(event["payload"]) for event in follower.events if ("group" in event) is in_group]
        assert seen == [number for number in range(total) if (number % 3 == 0) is in_group]


async def test_who_cannot_show_that_it_was_here_is_not_told_that_nothing_is_missing(web: Web) -> None:
    async with reading(web) as reader:
        await reader.until("welcome")
        cookie, position = reader.cookie, reader.last_id
    for headers in (
        {"Last-Event-ID": position},
        {"Last-Event-ID": position, "Cookie": cookie[:-4] + "AAAA"},
        {"Last-Event-ID": "17", "Cookie": cookie},
        {"Last-Event-ID": position.partition("@")[0] + "@2020-01-01T00:00:00Z", "Cookie": cookie},
    ):
        async with reading(web, **headers) as reader:
            [welcome] = await reader.until("welcome")
            assert welcome.data["payload"]["recovered"] is False, headers


async def test_there_is_room_for_so_many(web: Web) -> None:
    async with AsyncExitStack() as stack:  # who come at once do not all find room for one
        at_once = await asyncio.gather(*(stack.enter_async_context(reading(web)) for _ in range(10)))
        assert sorted(reader.status for reader in at_once) == [200] * 3 + [503] * 7
    metrics = f"{web.url}/metrics"
    await asyncio.to_thread(wait_until, lambda: counted(metrics)["busctl_connections"] == 0, "room")
    async with reading(web) as first, reading(web) as second, reading(web) as third:
        for reader in (first, second, third):
            await reader.until("welcome")
        refused = await ask(web, "GET", "/api/events")
        assert (refused.status, refused.body["error"]["type"]) == (503, "no_room")
        assert refused.headers["retry-after"]
        async with reading(web, Accept="text/event-stream") as told:
            record = await told.record()
            assert told.status == 200
            assert record is not None
            assert record.retry is not None
        count = await asyncio.to_thread(counted, metrics)
    assert count["busctl_connections"] == 3
    assert count["busctl_opened_total sse"] >= 3
    assert count["busctl_refused_total 503"] == 7 + 2


async def test_a_user_reads_what_is_the_users_until_the_token_expires(system: System, of_users: Web) -> None:
    assert (await ask(of_users, "GET", "/api/events")).status == 401
    assert (await ask(of_users, "GET", "/api/events", Authorization="Bearer nonsense")).status == 401
    expires = int(time.time()) + 2
    ann, bob = {"Authorization": f"Bearer {token(exp=expires)}"}, {"Cookie": f"{COOKIE}={token(sub='bob')}"}
    async with reading(of_users, **ann) as reader, reading(of_users, **bob) as other:
        assert "set-cookie" not in reader.headers
        await other.until("welcome")
        job = {"task_type": "default", "content": "x"}
        done = await ask(of_users, "POST", "/api/jobs", job, **ann)
        assert done.status == 202
        assert "resume" not in done.body
        assert (await ask(of_users, "GET", done.headers["location"], **bob)).status == 404
        await reader.until("job_queued")
        closed = (await reader.until("close"))[-1].data["payload"]
        assert closed["code"] == 4401
        assert time.time() >= expires
        await announce(system, "to all")
        assert [record.event for record in await other.until("system_notification")] == ["system_notification"]
    # With another token the user goes on at the same place.
    async with reading(of_users, Authorization=f"Bearer {token()}", Last_Event_ID=reader.last_id) as again:
        [welcome] = await again.until("welcome")
        assert welcome.data["payload"]["recovered"] is True
        assert [record.event for record in await again.until("system_notification")] == ["system_notification"]


async def test_a_reader_is_told_when_the_server_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: object) -> None:
        await asyncio.sleep(0)
        raise LookupError("what it missed")

    monkeypatch.setattr(Reception, "open", failing)
    app = create_app(settings)
    async with serving(app, wired=True, settings=settings) as port, reading(SimpleNamespace(port=port)) as reader:
        [closed] = await reader.until("close")
        assert closed.data["payload"] == {"code": 1011, "reason": "the server failed; reconnect"}
        assert await reader.record() is None


async def test_who_is_known_by_a_cookie_comes_again_for_a_newer_one(system: System) -> None:
    web = await asyncio.to_thread(lambda: system.web(BUS_SECRET=SECRET, BUS_RESUME_MAX_AGE="2"))
    follower = Follower()
    for _ in range(2):
        async with follower.reading(web) as reader:
            await follower.see(reader)
            assert follower.closed["code"] == 1000
