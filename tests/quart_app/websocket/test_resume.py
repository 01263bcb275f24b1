"""bus.v1: connect, welcome, resume. Nothing is missing and nothing comes twice, and a cut history is called cut."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import nats as nats_py
import pytest
from nats.js.client import JetStreamContext
from websockets.exceptions import ConnectionClosed

from bus import Bus, Settings, SyncBus, SystemNotification, subjects, times
from testbed.planted import CONTENT, SECRET
from testbed.servers import Web, wait_until
from testbed.system import System
from tests.clients import Client, Frame, client
from tests.sse import ask, reading


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    servers.worker()
    return servers


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_SECRET=SECRET)


@asynccontextmanager
async def v1(url: str, **payload: Any) -> AsyncIterator[tuple[Client, Frame]]:
    """A welcomed bus.v1 connection, and the payload of its welcome."""
    async with client(url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": payload})
        welcome = await connected.receive()
        assert welcome["action"] == "welcome", welcome
        yield connected, welcome["payload"]


async def job(connected: Client, content: str = "x") -> list[Frame]:
    """Submit a job and return its stored events."""
    await connected.submit("default", content)
    return [frame for frame in await connected.receive_until("job_result", 60) if "seq" in frame]


def broadcast(system: System, *texts: str) -> list[int]:
    with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
        return [bus.broadcast_event(SystemNotification(payload=text))[0] for text in texts]


async def test_a_new_client_is_welcomed_whole(web: Web) -> None:
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        assert connected.socket.subprotocol == "bus.v1"
        await connected.send({"action": "connect", "ref": "hello"})
        welcome = await connected.receive()
        assert welcome["ref"] == "hello"
        assert welcome["payload"]["recovered"] is True
        assert welcome["payload"]["replayed"] == 0
        assert set(welcome["payload"]["cursors"]) == {"client", "system"}
        await connected.ping()


async def test_v1_shows_the_whole_life_of_a_job(web: Web) -> None:
    async with v1(web.ws_url) as (connected, _):
        assert [event["action"] for event in await job(connected)] == ["job_queued", "job_started", "job_result"]


async def test_a_resume_replays_what_was_missed_and_nothing_else(system: System, web: Web) -> None:
    async with v1(web.ws_url) as (connected, welcome):
        seen = await job(connected)
        last = {"client": seen[-1]["seq"], "system": welcome["cursors"]["system"]}
        await connected.submit("default", "missed")
    missed = await asyncio.to_thread(broadcast, system, "one", "two")
    cursors = last
    for _ in range(3):  # also after repeated resumes from the same place
        async with v1(web.ws_url, resume=welcome["resume"], cursors=cursors) as (connected, again):
            assert again["client_id"] == welcome["client_id"]
            assert again["recovered"] is True
            frames = [await connected.receive() for _ in range(again["replayed"])]
            while not any(frame["action"] == "job_result" for frame in frames):
                frames += [await connected.receive(60)]
            seqs = [frame["seq"] for frame in frames if "seq" in frame]
            assert seqs == sorted(set(seqs))
            assert min(seqs) > min(last.values())
            assert [f["payload"] for f in frames if f["action"] == "system_notification"] == ["one", "two"]
            assert set(missed) <= set(seqs)
            await connected.ping()


async def test_an_announcement_is_live_and_replayed_until_it_expires_and_history_stays_whole(
    system: System, web: Web
) -> None:
    async with v1(web.ws_url) as (connected, welcome):
        now = datetime.now(UTC)
        soon = now + timedelta(seconds=3)
        announced = [
            SystemNotification(payload="over", expires_at=times.written(now)),
            SystemNotification(payload="soon over", level="critical", expires_at=times.written(soon)),
            SystemNotification(payload="for long", expires_at=times.written(now + timedelta(hours=1))),
            SystemNotification(payload="over", expires_at=times.written(now)),
        ]
        async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
            *_, last = [(await bus.broadcast_event(event))[0] for event in announced]
        live = [await connected.receive() for _ in range(2)]
    assert [(frame["payload"], frame.get("level")) for frame in live] == [("soon over", "critical"), ("for long", None)]
    assert live[0]["expires_at"] == times.written(soon)
    while datetime.now(UTC) <= soon:
        await asyncio.sleep(0.05)
    asked = {"cursors": {"system": welcome["cursors"]["system"]}}
    for known in ({"resume": welcome["resume"]}, {}):  # who comes back, and somebody new
        async with v1(web.ws_url, **known, **asked) as (connected, again):
            assert again["replayed"] == 1
            assert again["recovered"] or not known
            assert again["cursors"]["system"] >= last
            assert (await connected.receive())["payload"] == "for long"
            await connected.ping()


async def test_cursor_zero_rebuilds_everything_of_that_client(web: Web) -> None:
    async with v1(web.ws_url) as (connected, welcome):
        events = [await job(connected, str(number)) for number in range(3)]
    async with v1(web.ws_url, resume=welcome["resume"], cursors={"client": 0}) as (connected, again):
        assert again["replayed"] == 9
        replayed = [await connected.receive() for _ in range(9)]
        assert replayed == [event for life in events for event in life]
        assert again["cursors"]["client"] >= replayed[-1]["seq"]


async def test_a_scope_without_a_cursor_is_live_only(system: System, web: Web) -> None:
    await asyncio.to_thread(broadcast, system, "before")
    async with v1(web.ws_url) as (connected, welcome):
        assert welcome["replayed"] == 0
        await asyncio.to_thread(broadcast, system, "after")
        assert (await connected.receive())["payload"] == "after"


async def test_all_connections_of_a_client_see_everything_once(web: Web) -> None:
    async with v1(web.ws_url) as (one, welcome), v1(web.ws_url, resume=welcome["resume"]) as (two, _):
        mine = await job(one)
        theirs = [frame for frame in await two.receive_until("job_result", 60) if "seq" in frame]
        assert mine == theirs
        async with v1(web.ws_url, resume=welcome["resume"], cursors={"client": 0}) as (_, third):
            assert third["replayed"] == 3
        await job(one)
        await two.receive_until("job_result", 60)


async def test_a_resume_token_holds_at_every_process_with_the_same_secret(system: System, web: Web) -> None:
    other = system.web(BUS_SECRET=SECRET)
    stranger = system.web(BUS_SECRET="t" * 64)
    async with v1(web.ws_url) as (connected, welcome):
        await job(connected)
    asked = {"resume": welcome["resume"], "cursors": {"client": 0}}
    async with v1(other.ws_url, **asked) as (_, there):
        assert (there["client_id"], there["recovered"], there["replayed"]) == (welcome["client_id"], True, 3)
    async with v1(stranger.ws_url, **asked) as (_, there):
        assert there["client_id"] != welcome["client_id"]
        assert (there["recovered"], there["replayed"]) == (False, 0)


@pytest.mark.parametrize("resume", ["", "nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."])
async def test_a_resume_token_that_does_not_hold_is_a_new_client_and_not_recovered(web: Web, resume: str) -> None:
    async with v1(web.ws_url, resume=resume, cursors={"client": 5}) as (connected, welcome):
        assert (welcome["recovered"], welcome["replayed"]) == (False, 0)
        await connected.ping()


async def test_a_cursor_from_the_future_is_not_recovered(web: Web) -> None:
    async with v1(web.ws_url) as (_, welcome):
        pass
    async with v1(web.ws_url, resume=welcome["resume"], cursors={"client": 2**62}) as (connected, again):
        assert again["recovered"] is False
        await job(connected)


async def test_a_server_that_asks_for_no_tokens_refuses_one_and_says_so(web: Web) -> None:
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {"token": "a.b.c"}})
        assert await close_code(connected) == 4401
        assert connected.socket.close_reason == "this server takes no tokens: its BUS_AUTH is none"


async def close_code(connected: Client) -> int | None:
    async with asyncio.timeout(20):
        await connected.socket.wait_closed()
    return connected.socket.close_code


@pytest.mark.parametrize(
    "frame", ["", "nonsense", b"\x00", '{"action":"ping"}', '{"action":"connect","payload":{"cursors":{"client":-1}}}']
)
async def test_another_first_frame_closes_4400_and_says_why(web: Web, frame: str | bytes) -> None:
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send(frame)
        assert (await connected.receive())["action"] == "error"
        assert await close_code(connected) == 4400


async def test_no_first_frame_closes_4408(system: System) -> None:
    web = await asyncio.to_thread(lambda: system.web(BUS_HANDSHAKE_TIMEOUT="1"))
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        assert await close_code(connected) == 4408


async def test_too_big_a_first_frame_closes_1009(web: Web) -> None:
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send(json.dumps({"action": "connect", "x": "y" * 70_000}))
        assert await close_code(connected) == 1009


async def test_a_key_is_one_job_however_often_it_is_sent(web: Web) -> None:
    async with v1(web.ws_url) as (connected, welcome):
        for number in range(100):
            await connected.submit("default", "once", key="k", ref=str(number))
        frames: list[Frame] = []
        while sum(frame["action"] in ("job_queued", "job_status") for frame in frames) < 100 or not any(
            frame["action"] == "job_result" for frame in frames
        ):
            frames.append(await connected.receive(60))
        ids = {frame.get("job_id") or frame["payload"]["job_id"] for frame in frames}
        assert len(ids) == 1
        counts = [sum(frame["action"] == action for frame in frames) for action in ("job_queued", "job_result")]
        assert counts == [1, 1]
    async with v1(web.ws_url, resume=welcome["resume"], cursors={"client": 0}) as (_, again):
        assert again["replayed"] == 3


async def test_a_hundred_connections_that_send_one_key_at_once_make_one_job(web: Web) -> None:
    async with v1(web.ws_url) as (first, welcome):

        async def submit() -> None:
            # From the first event on: the job may have ended before the last of them is there.
            async with v1(web.ws_url, resume=welcome["resume"], cursors={"client": 0}) as (connected, _):
                await connected.submit("default", "once", key="together")
                await connected.receive_until("job_result", 60)

        results = await asyncio.gather(*(submit() for _ in range(50)), return_exceptions=True)
        assert [result for result in results if isinstance(result, AssertionError)] == []
        events = [frame for frame in await first.receive_until("job_result", 60) if "seq" in frame]
        assert [frame["action"] for frame in events] == ["job_queued", "job_started", "job_result"]


async def test_hundreds_resume_at_once(system: System, web: Web) -> None:
    async with v1(web.ws_url) as (connected, welcome):
        await job(connected)
    await asyncio.to_thread(broadcast, system, *map(str, range(20)))

    async def resume() -> int:
        cursors = {"client": 0, "system": welcome["cursors"]["system"]}
        async with v1(web.ws_url, resume=welcome["resume"], cursors=cursors) as (connected, again):
            frames = [await connected.receive(60) for _ in range(again["replayed"])]
            assert again["recovered"]
            return len({frame["seq"] for frame in frames})

    assert await asyncio.gather(*(resume() for _ in range(300))) == [23] * 300


async def test_everybody_who_missed_a_hundred_events_is_served_at_once(system: System, web: Web) -> None:
    """As after a redeploy: so many reads at one moment would be too many for NATS to answer within the deadline."""
    before = (await asyncio.to_thread(broadcast, system, "before"))[0]
    missed = await asyncio.to_thread(broadcast, system, *(f"missed {number}" for number in range(100)))

    async def resumed() -> list[int]:
        async with v1(web.ws_url, cursors={"system": before}) as (connected, welcome):
            assert welcome["replayed"] == 100
            return [(await connected.receive(60))["seq"] for _ in range(100)]

    assert await asyncio.gather(*(resumed() for _ in range(150))) == [missed] * 150


@pytest.mark.parametrize("bound", [{"BUS_REPLAY_MAX_EVENTS": "5"}, {"BUS_REPLAY_MAX_BYTES": "300"}])
async def test_a_replay_past_its_bound_is_not_called_whole(system: System, bound: dict[str, str]) -> None:
    web = system.web(BUS_SECRET=SECRET, **bound)
    before = (await asyncio.to_thread(broadcast, system, "before"))[0]
    await asyncio.to_thread(broadcast, system, *(["missed"] * 10))
    async with v1(web.ws_url, cursors={"system": before}) as (connected, welcome):
        assert welcome["recovered"] is False
        assert 0 < welcome["replayed"] < 10
        await connected.ping()


async def test_a_history_that_was_cut_is_called_cut(fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    await asyncio.to_thread(broadcast, fresh, "before anybody came")
    async with v1(web.ws_url) as (connected, welcome):
        await connected.submit("default", CONTENT)
        assert (await connected.receive())["action"] == "job_queued"
    connection = await nats_py.connect(fresh.nats.url)
    jetstream = connection.jetstream()
    asked = {"resume": welcome["resume"], "cursors": {"client": 0}}

    await jetstream.purge_stream(subjects.STREAM, seq=2)  # only what came before this client
    async with v1(web.ws_url, **asked) as (_, again):
        assert (again["recovered"], again["replayed"]) == (True, 1)

    await jetstream.purge_stream(subjects.STREAM)
    async with v1(web.ws_url, **asked) as (_, again):
        assert (again["recovered"], again["replayed"]) == (False, 0)
    await connection.close()


async def purge(jetstream: JetStreamContext, seqs: list[int]) -> None:
    await jetstream.purge_stream(subjects.STREAM, subject="bus.group.system")


async def keep_one(jetstream: JetStreamContext, seqs: list[int]) -> None:
    await jetstream.purge_stream(subjects.STREAM, subject="bus.group.system", keep=1)


async def delete_one(jetstream: JetStreamContext, seqs: list[int]) -> None:
    await jetstream.delete_msg(subjects.STREAM, seqs[2])


async def delete_the_last(jetstream: JetStreamContext, seqs: list[int]) -> None:
    await jetstream.delete_msg(subjects.STREAM, seqs[-1])


async def roll_up(jetstream: JetStreamContext, seqs: list[int]) -> None:
    config = (await jetstream.stream_info(subjects.STREAM)).config
    config.allow_rollup_hdrs = True
    await jetstream.update_stream(config)
    await jetstream.publish("bus.group.system", b"{}", headers={"Nats-Rollup": "sub"})


Removal = Callable[[JetStreamContext, list[int]], Awaitable[None]]


@pytest.mark.parametrize(
    ("removal", "left"), [(delete_one, 4), (delete_the_last, 4), (purge, 0), (keep_one, 1), (roll_up, 0)]
)
async def test_a_hole_in_the_middle_is_called_cut_whatever_made_it(
    system: System, web: Web, removal: Removal, left: int
) -> None:
    async with v1(web.ws_url) as (_, welcome):
        pass
    missed = await asyncio.to_thread(broadcast, system, *map(str, range(5)))
    last = (await asyncio.to_thread(broadcast, system, "behind"))[-1] if removal is delete_the_last else missed[-1]
    asked = {"resume": welcome["resume"], "cursors": {"client": 0, "system": missed[0] - 1}}
    async with v1(web.ws_url, **asked) as (_, again):
        assert (again["recovered"], again["replayed"]) == (True, 5 + (last != missed[-1]))
    connection = await nats_py.connect(system.nats.url)
    await removal(connection.jetstream(), missed)
    await connection.close()
    async with v1(web.ws_url, **asked) as (_, again):
        assert (again["recovered"], again["replayed"]) == (False, left + (last != missed[-1]))
    later = await asyncio.to_thread(broadcast, system, "later")
    asked["cursors"] = {"system": later[0] - 1}
    async with v1(web.ws_url, **asked) as (_, again):
        assert (again["recovered"], again["replayed"]) == (True, 1)  # who has seen past the hole missed nothing


async def test_a_replay_from_which_events_are_removed_meanwhile_is_broken_off(system: System, web: Web) -> None:
    async with v1(web.ws_url) as (_, welcome):
        pass
    sent = await asyncio.to_thread(broadcast, system, *(["x" * 300_000] * 52))
    asked = {"resume": welcome["resume"], "cursors": {"system": sent[0] - 1}}
    async with client(web.ws_url, subprotocols=["bus.v1"], max_queue=1) as slow:
        await slow.send({"action": "connect", "payload": asked})
        welcome = (await slow.receive())["payload"]
        assert (welcome["recovered"], welcome["replayed"]) == (True, len(sent))
        connection = await nats_py.connect(system.nats.url)
        await connection.jetstream().delete_msg(subjects.STREAM, sent[-2])
        await connection.close()
        got = []
        with suppress(ConnectionClosed):
            while True:
                got.append((await slow.receive(30))["seq"])
        assert got == sent[: len(got)]
        assert len(got) < len(sent)
        assert await close_code(slow) == 1013
    async with v1(web.ws_url, **asked) as (_, again):
        assert (again["recovered"], again["replayed"]) == (False, len(sent) - 1)


async def test_slow_replays_wait_for_each_other_and_all_end_whole(system: System) -> None:
    """Eight clients that take 4 MB each, a frame at a time, and room for one MB of all their replays."""
    web = system.web(BUS_SECRET=SECRET, BUS_REPLAY_MEMORY_BYTES="1000000")
    sent = await asyncio.to_thread(broadcast, system, *(["x" * 100_000] * 40))

    async def resumed() -> list[int]:
        async with client(web.ws_url, subprotocols=["bus.v1"], max_queue=1) as slow:
            await slow.send({"action": "connect", "payload": {"cursors": {"system": sent[0] - 1}}})
            assert (await slow.receive(60))["payload"]["replayed"] == 40
            seqs = []
            for _ in range(40):
                seqs.append((await slow.receive(60))["seq"])
                await asyncio.sleep(0.005)
            return seqs

    assert await asyncio.gather(*(resumed() for _ in range(8))) == [sent] * 8


async def test_who_comes_while_the_process_is_behind_is_not_taken_for_slow(system: System) -> None:
    """It hears more live events than may be held for it before anybody knows that its replay has them all."""
    web = system.web(BUS_SECRET=SECRET, BUS_SEND_BUFFER_BYTES=str(64 * 1024))
    async with v1(web.ws_url) as (_, welcome):
        pass
    cursors = {"system": (await asyncio.to_thread(broadcast, system, "before"))[0]}

    async def resumed() -> list[int]:
        async with v1(web.ws_url, resume=welcome["resume"], cursors=cursors) as (connected, again):
            assert again["recovered"] is True
            return [(await connected.receive(60))["seq"] for _ in range(60)]

    web.pause()
    sent = await asyncio.to_thread(broadcast, system, *(["x" * 50_000] * 60))
    resuming = asyncio.gather(*(resumed() for _ in range(5)))
    await asyncio.sleep(0)
    web.resume()
    assert await resuming == [sent] * 5


async def test_who_takes_nothing_of_a_replay_is_closed_and_does_not_keep_others_from_theirs(system: System) -> None:
    web = system.web(BUS_SECRET=SECRET, BUS_REPLAY_MEMORY_BYTES="300000", BUS_SEND_TIMEOUT="0.5")
    sent = await asyncio.to_thread(broadcast, system, *(["x" * 100_000] * 100))
    asked = json.dumps({"action": "connect", "payload": {"cursors": {"system": sent[0] - 1}}})
    async with AsyncExitStack() as stack:
        for _ in range(3):
            stalled = await stack.enter_async_context(client(web.ws_url, subprotocols=["bus.v1"], max_queue=1))
            stack.callback(stalled.socket.transport.abort)  # or its closing handshake would wait for an answer
            stalled.socket.transport.pause_reading()
            await stalled.send(asked)
        async with v1(web.ws_url, cursors={"system": sent[0] - 1}) as (honest, _):
            assert [(await honest.receive(60))["seq"] for _ in sent] == sent
    assert "replay too slowly" in web.output() or "stopped reading" in web.output()


async def test_a_stream_made_anew_is_another_epoch(fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    async with v1(web.ws_url) as (connected, welcome):
        await connected.submit("default", CONTENT)
        await connected.receive()
        connection = await nats_py.connect(fresh.nats.url)
        await connection.jetstream().delete_stream(subjects.STREAM)
        await connection.close()
        await asyncio.to_thread(broadcast, fresh, "declares it again")
        fresh.nats.kill()
        await asyncio.to_thread(fresh.nats.start)
        assert await close_code(connected) == 1012
    async with v1(web.ws_url, resume=welcome["resume"], cursors={"client": 0}) as (_, again):
        assert again["recovered"] is False
        assert again["epoch"] != welcome["epoch"]
        assert again["client_id"] == welcome["client_id"]


async def test_while_nats_is_away_a_connect_is_sent_back_and_a_submit_refused_at_once(fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    async with v1(web.ws_url) as (connected, welcome):
        fresh.nats.kill()
        await asyncio.to_thread(wait_until, lambda: "lost NATS" in web.output(), "loss of NATS")
        await connected.submit("default", "x", ref="r")
        answer = await connected.receive(5)
        assert (answer["action"], answer["ref"]) == ("error", "r")
        assert answer["payload"][0]["type"] == "bus_unavailable"
        async with client(web.ws_url, subprotocols=["bus.v1"]) as other:
            await other.send({"action": "connect", "payload": {"resume": welcome["resume"]}})
            assert await close_code(other) == 1013
        job = {"task_type": "default", "content": "x"}
        for headers in ({}, {"Authorization": f"Bearer {welcome['resume']}"}):
            refused = await ask(web, "POST", "/api/jobs", job, **headers)
            assert (refused.status, refused.body["error"]["type"]) == (503, "bus_unavailable")
            async with reading(web, Accept="text/event-stream", **headers) as reader:
                record = await reader.record()
                assert record is not None
                assert record.retry is not None
        await connected.ping()
        await asyncio.to_thread(fresh.nats.start)
        await asyncio.to_thread(wait_until, lambda: "NATS is back" in web.output(), "return of NATS")
        await connected.submit("default", "y")
        assert (await connected.receive())["action"] == "job_queued"


async def test_what_happened_while_nats_was_away_comes_after(fresh: System) -> None:
    """Also to plain clients, which cannot resume: their connection stayed open and is refilled."""
    web = fresh.web(BUS_SECRET=SECRET)
    async with v1(web.ws_url) as (modern, _), client(web.ws_url) as plain, reading(web) as reader:
        await plain.ping()
        await reader.until("welcome")
        web.pause()
        sent = await asyncio.to_thread(broadcast, fresh, *map(str, range(500)))
        fresh.nats.kill()
        await asyncio.to_thread(fresh.nats.start)
        web.resume()
        for receiver in (modern, plain):
            frames = [await receiver.receive(30) for _ in range(500)]
            assert [frame["seq"] for frame in frames] == sent
            await receiver.ping()
        records = [await reader.record() for _ in range(500)]
        assert [record and record.data["seq"] for record in records] == sent
