"""The stream is removed, or put back to an older state, under running web and worker: clients are told to come back."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from websockets.exceptions import ConnectionClosed

from bus import subjects
from testbed.planted import SECRET
from testbed.servers import wait_until
from testbed.system import System
from tests.clients import Client, client
from tests.http import get
from tests.quart_app.websocket.test_resume import broadcast, v1
from tests.raw_jetstream import connected


async def test_clients_reconnect_and_jobs_run_when_the_stream_was_removed(fresh: System) -> None:
    fresh.worker("--concurrency", "1")
    web = fresh.web()
    async with client(web.ws_url) as listener, connected(fresh.nats.url) as operator:
        await listener.submit("default", "before")
        await listener.receive_until("job_result", 30)
        await operator.ask(f"STREAM.DELETE.{subjects.STREAM}")
        assert await close_code(listener) == 1012
    await asyncio.to_thread(wait_until, lambda: "made anew" in web.output(), "word of the new stream")
    async with client(web.ws_url) as again:
        await again.submit("default", "after")
        assert (await again.receive_until("job_result", 30))[-1]["payload"].endswith("AFTER")


@pytest.mark.parametrize("overtaken", [False, True])
async def test_what_a_stream_lost_that_was_put_back_is_shown_to_nobody_and_what_has_its_place_is(
    fresh: System, overtaken: bool
) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    kept = await asyncio.to_thread(broadcast, fresh, "one", "two")
    fresh.nats.stop()
    older, stored = fresh.directory / "older", fresh.directory / "nats"
    await asyncio.to_thread(shutil.copytree, stored, older)
    fresh.nats.start()
    lost = await asyncio.to_thread(broadcast, fresh, "lost", "lost too")
    await asyncio.to_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "a web process with NATS")
    async with v1(web.ws_url, cursors={"system": kept[0]}) as (connected, welcome):
        assert [(await connected.receive())["seq"] for _ in range(welcome["replayed"])] == [kept[1], *lost]
        fresh.nats.kill()
        shutil.rmtree(stored)
        older.rename(stored)
        web.pause()
        fresh.nats.start()
        new = await asyncio.to_thread(broadcast, fresh, *["new"] * 3) if overtaken else []
        web.resume()
        assert await close_code(connected) == 1012
    new += await asyncio.to_thread(broadcast, fresh, *["later"] * 3)
    assert new[:2] == lost
    await asyncio.to_thread(wait_until, lambda: get(f"{web.url}/readyz")[0] == 200, "a web process with NATS")
    for seen in (kept[0], lost[1]):
        async with v1(web.ws_url, resume=welcome["resume"], cursors={"system": seen}) as (connected, again):
            assert (again["recovered"], again["epoch"]) == (False, welcome["epoch"])
            missed = [await connected.receive() for _ in range(again["replayed"])]
            assert [frame["seq"] for frame in missed] == [seq for seq in (kept[1], *new) if seq > seen]
            assert not any(frame["payload"].startswith("lost") for frame in missed)
            [seq] = await asyncio.to_thread(broadcast, fresh, "live")
            assert (await connected.receive())["seq"] == seq
            new.append(seq)
    async with v1(web.ws_url, resume=again["resume"], cursors={"system": new[-1]}) as (_, whole):
        assert (whole["recovered"], whole["replayed"]) == (True, 0)


async def close_code(connected: Client) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await connected.receive_until("nothing of this name", 15)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code
